//! One block of lines in, what is printed of each of them out; and everything is counted.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use jiff::tz::TimeZone;
use serde::Serialize;

use super::{criteria::Criteria, tally::Tally};
use crate::{
    cli::{
        Format,
        reading::{self, Rest, Sees},
    },
    dovecot::{Event, Judge, Judgement, Mode, Settings},
    time::LogTime,
};

/// What is asked of every line.
pub(super) struct Task {
    pub(super) criteria: Criteria,
    /// Of the timestamps without an offset.
    pub(super) zone: TimeZone,
    pub(super) now: LogTime,
    pub(super) printing: Printing,
}

/// Which lines are printed. "Some" are printed at the end, if they are few.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printing {
    pub(super) format: Format,
    pub(super) all_matched: bool,
    pub(super) all_missed: bool,
    pub(super) all_ignored: bool,
    pub(super) some_missed: bool,
    pub(super) some_ignored: bool,
}

impl Printing {
    /// Whether lines are printed while the log is read.
    pub(super) fn prints_lines(&self) -> bool {
        self.format == Format::Json || self.all_matched || self.all_missed || self.all_ignored
    }
}

/// What became of a line, in `fail2ban-regex`'s words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Matched { ip: IpAddr, rule: &'static str },
    Missed,
    Ignored,
}

/// One line of `--format json`.
#[derive(Serialize)]
struct JsonLine {
    line: u64,
    matched: bool,
    ip: Option<IpAddr>,
    rule: Option<&'static str>,
    /// The mode that was asked for.
    mode: &'static str,
    time: Option<String>,
}

/// Makes of a block what is printed of it, and counts.
pub(super) struct Clerk<'t> {
    task: &'t Task,
    judge: Judge,
    pub(super) tally: Tally,
}

impl<'t> Clerk<'t> {
    pub(super) fn new(task: &'t Task, sees: Sees) -> Self {
        let Criteria { mode, session_check, filter, rules, .. } = &task.criteria;
        let (mode, session_check) = (*mode, *session_check);
        let judge = Judge::new(Settings { mode, zone: task.zone.clone(), session_check });
        let judge = judge.with_filter(filter.clone(), *rules);
        let judge = if sees == Sees::Some { judge.out_of_order() } else { judge };
        Self { task, judge, tally: Tally::default() }
    }
}

impl reading::Clerk for Clerk<'_> {
    type Page = Vec<u8>;

    fn block(
        &mut self,
        block: &[u8],
        first_line: u64,
        out: &mut Vec<u8>,
    ) -> io::Result<Option<Rest>> {
        let Self { task, judge, tally } = self;
        let Task { criteria: Criteria { mode, .. }, now, printing, .. } = task;
        let mut number = first_line;
        let start = judge.each_line(block, *now, |line, judgement| {
            let fate = fate(judgement);
            tally.count(judgement, fate);
            match printing.format {
                Format::Json => print_json(out, number, *mode, judgement, fate)?,
                Format::Text => match fate {
                    Fate::Matched { ip, rule } if printing.all_matched => {
                        write!(out, "matched  {rule:<26}  {ip:<15}  ")?;
                        print_line(out, line)?;
                    }
                    Fate::Missed if printing.all_missed => {
                        out.write_all(b"missed   ")?;
                        print_line(out, line)?;
                    }
                    Fate::Ignored if printing.all_ignored => {
                        out.write_all(b"ignored  ")?;
                        print_line(out, line)?;
                    }
                    Fate::Missed if printing.some_missed => tally.missed.keep(number, line),
                    Fate::Ignored if printing.some_ignored => tally.ignored.keep(number, line),
                    Fate::Matched { .. } | Fate::Missed | Fate::Ignored => {}
                },
            }
            number += 1;
            Ok::<_, io::Error>(())
        })?;
        Ok((start < block.len()).then_some(Rest { start, first_line: number }))
    }
}

fn fate(judgement: &Judgement) -> Fate {
    match judgement.event {
        Some(Event::Failure(failure)) => Fate::Matched { ip: failure.ip, rule: failure.rule.name },
        _ if judgement.is_ignored => Fate::Ignored,
        Some(Event::Login(_) | Event::MasterLogin(_)) | None => Fate::Missed,
    }
}

fn print_json(
    out: &mut Vec<u8>,
    line: u64,
    mode: Mode,
    judgement: &Judgement,
    fate: Fate,
) -> io::Result<()> {
    let (ip, rule) = match fate {
        Fate::Matched { ip, rule } => (Some(ip), Some(rule)),
        Fate::Missed | Fate::Ignored => (None, None),
    };
    let mode = match mode {
        Mode::Normal => "normal",
        Mode::Aggressive => "aggressive",
    };
    let time = ip.and(judgement.time).map(|time| time.to_string());
    serde_json::to_writer(
        &mut *out,
        &JsonLine { line, matched: ip.is_some(), ip, rule, mode, time },
    )?;
    out.push(b'\n');
    Ok(())
}

/// A log line holds text of strangers; what could steer a terminal is made visible.
pub(super) fn print_line(out: &mut dyn Write, line: &[u8]) -> io::Result<()> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
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
