//! What `regex` prints: one JSON object a line, or totals for people.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
    net::IpAddr,
};

use serde::Serialize;

use crate::{
    dovecot::{Event, Judgement, Mode, RULES},
    time::LogTime,
};

/// How many addresses the text report names.
const TOP: usize = 10;

pub(super) trait Report {
    fn line(&mut self, out: &mut dyn Write, line: &[u8], judgement: &Judgement) -> io::Result<()>;
    fn end(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

/// One line of `--format json`.
#[derive(Serialize)]
struct JsonLine {
    line: u64,
    matched: bool,
    ip: Option<IpAddr>,
    rule: Option<&'static str>,
    /// The mode that was asked for.
    mode: String,
    time: Option<String>,
}

pub(super) struct JsonLines {
    mode: Mode,
    number: u64,
}

impl JsonLines {
    pub(super) fn new(mode: Mode) -> Self {
        Self { mode, number: 0 }
    }
}

impl Report for JsonLines {
    fn line(&mut self, out: &mut dyn Write, _: &[u8], judgement: &Judgement) -> io::Result<()> {
        self.number += 1;
        let failure = failure(judgement);
        let line = JsonLine {
            line: self.number,
            matched: failure.is_some(),
            ip: failure.map(|(ip, _)| ip),
            rule: failure.map(|(_, rule)| rule),
            mode: self.mode.to_string(),
            time: failure.and(judgement.time).map(|time| time.to_string()),
        };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")
    }

    fn end(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

pub(super) struct TextSummary {
    mode: Mode,
    print_matched: bool,
    print_missed: bool,
    lines: u64,
    logins: u64,
    without_time: u64,
    by_rule: BTreeMap<&'static str, u64>,
    by_ip: HashMap<IpAddr, u64>,
    first: Option<LogTime>,
    last: Option<LogTime>,
}

impl TextSummary {
    pub(super) fn new(mode: Mode, print_matched: bool, print_missed: bool) -> Self {
        Self {
            mode,
            print_matched,
            print_missed,
            lines: 0,
            logins: 0,
            without_time: 0,
            by_rule: BTreeMap::new(),
            by_ip: HashMap::new(),
            first: None,
            last: None,
        }
    }
}

impl Report for TextSummary {
    fn line(&mut self, out: &mut dyn Write, line: &[u8], judgement: &Judgement) -> io::Result<()> {
        self.lines += 1;
        match judgement.time {
            Some(time) => {
                self.first = Some(self.first.map_or(time, |first| first.min(time)));
                self.last = Some(self.last.map_or(time, |last| last.max(time)));
            }
            None => self.without_time += 1,
        }
        if matches!(judgement.event, Some(Event::Login { .. })) {
            self.logins += 1;
        }
        match failure(judgement) {
            Some((ip, rule)) => {
                *self.by_rule.entry(rule).or_default() += 1;
                *self.by_ip.entry(ip).or_default() += 1;
                if self.print_matched {
                    write!(out, "matched  {rule:<26}  {ip:<15}  ")?;
                    print_line(out, line)?;
                }
            }
            None if self.print_missed => {
                out.write_all(b"missed   ")?;
                print_line(out, line)?;
            }
            None => {}
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let matched: u64 = self.by_rule.values().sum();
        if (self.print_matched || self.print_missed) && self.lines > 0 {
            writeln!(out)?;
        }
        writeln!(out, "filter    dovecot[mode={}]", self.mode)?;
        if let (Some(first), Some(last)) = (self.first, self.last) {
            writeln!(out, "period    {first} to {last}")?;
        }
        writeln!(
            out,
            "lines     {}: {matched} matched, {} missed ({} of them logins)",
            self.lines,
            self.lines - matched,
            self.logins
        )?;
        if self.without_time > 0 {
            writeln!(out, "undated   {} lines begin with no known timestamp", self.without_time)?;
        }
        writeln!(out, "\nhits by rule")?;
        for rule in RULES.iter().filter(|rule| rule.mode <= self.mode) {
            let hits = self.by_rule.get(rule.name).copied().unwrap_or(0);
            writeln!(out, "{hits:>9}  {}", rule.name)?;
        }
        let mut by_ip: Vec<_> = self.by_ip.iter().collect();
        by_ip.sort_by_key(|&(ip, hits)| (std::cmp::Reverse(*hits), *ip));
        if !by_ip.is_empty() {
            writeln!(out, "\nhits by address ({} in all)", by_ip.len())?;
        }
        for (ip, hits) in by_ip.into_iter().take(TOP) {
            writeln!(out, "{hits:>9}  {ip}")?;
        }
        Ok(())
    }
}

fn failure(judgement: &Judgement) -> Option<(IpAddr, &'static str)> {
    match judgement.event {
        Some(Event::Failure(failure)) => Some((failure.ip, failure.rule.name)),
        _ => None,
    }
}

/// A log line holds text of strangers; what could steer a terminal is made visible.
fn print_line(out: &mut dyn Write, line: &[u8]) -> io::Result<()> {
    let text = String::from_utf8_lossy(line);
    for part in text.split_inclusive(char::is_control) {
        let (plain, control) = match part.char_indices().next_back() {
            Some((at, last)) if last.is_control() => (part.get(..at), Some(last)),
            _ => (Some(part), None),
        };
        out.write_all(plain.unwrap_or_default().as_bytes())?;
        match control {
            Some('\t') => out.write_all(b"\t")?,
            Some(control) => write!(out, "{}", control.escape_default())?,
            None => {}
        }
    }
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::print_line;

    #[test]
    fn a_line_cannot_steer_the_terminal() {
        let mut out = Vec::new();
        print_line(&mut out, b"user=<\x1b[2J\xff>\tx\0").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "user=<\\u{1b}[2J\u{fffd}>\tx\\u{0}\n");
    }
}
