//! The end of the logs, judged once more: does it say anything, and does what it says count?

use std::{collections::HashMap, convert::Infallible, net::IpAddr};

use memchr::memmem;

use super::item::Item;
use crate::{
    control::api::Status,
    dovecot::{Event, Judge, Mode},
    time::LogTime,
};

/// What a line of Dovecot's has in it, in whatever form it comes.
const WORDS: [&[u8]; 3] = [b"dovecot", b"-login", b"auth"];

/// What the ends of the logs come to.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) lines: u64,
    /// Lines with a date.
    pub(super) dated: u64,
    /// Lines that look like Dovecot's.
    pub(super) dovecot: u64,
    pub(super) logins: u64,
    /// Lines that count in both modes.
    pub(super) failures: u64,
    /// Lines that count in the aggressive mode only.
    pub(super) probes: u64,
    /// The date of the last line, if that has one.
    pub(super) last: Option<LogTime>,
    /// When the findtime that matters began.
    pub(super) since: LogTime,
    /// Lines that count in both modes, of addresses within findtime.
    recent: HashMap<IpAddr, u64>,
    /// Whose lines are to be counted apart.
    pub(super) asked: Option<IpAddr>,
    pub(super) of_asked: OfAddress,
}

/// The same, of one address.
#[derive(Debug, Default)]
pub(super) struct OfAddress {
    /// Lines that name it, whatever they say.
    pub(super) named: u64,
    pub(super) logins: u64,
    pub(super) failures: u64,
    pub(super) probes: u64,
}

impl Tally {
    pub(super) fn new(since: LogTime, asked: Option<IpAddr>) -> Self {
        Self {
            lines: 0,
            dated: 0,
            dovecot: 0,
            logins: 0,
            failures: 0,
            probes: 0,
            last: None,
            since,
            recent: HashMap::new(),
            asked,
            of_asked: OfAddress::default(),
        }
    }

    /// Takes in whole lines. `judge` is one of the aggressive mode.
    pub(super) fn add(&mut self, judge: &mut Judge, text: &[u8], now: LogTime) {
        let name = self.asked.map(|ip| ip.to_string());
        let judged = judge.each_line::<Infallible>(text, now, |line, judgement| {
            self.lines += 1;
            self.last = judgement.time;
            self.dated += u64::from(judgement.time.is_some());
            let names = |words: &[u8]| memmem::find(line, words).is_some();
            self.dovecot += u64::from(WORDS.iter().any(|words| names(words)));
            let of_asked = &mut self.of_asked;
            of_asked.named += u64::from(name.as_ref().is_some_and(|name| names(name.as_bytes())));
            match judgement.event {
                Some(Event::Failure(failure)) => {
                    let is_asked = self.asked == Some(failure.ip);
                    if failure.rule.mode == Mode::Aggressive {
                        self.probes += 1;
                        of_asked.probes += u64::from(is_asked);
                    } else {
                        self.failures += 1;
                        of_asked.failures += u64::from(is_asked);
                        if judgement.time.is_none_or(|at| at >= self.since) {
                            *self.recent.entry(failure.ip).or_default() += 1;
                        }
                    }
                }
                Some(Event::Login(login)) => {
                    self.logins += 1;
                    of_asked.logins += u64::from(self.asked == Some(login.ip));
                }
                Some(Event::MasterLogin(_)) | None => {}
            }
            Ok(())
        });
        let Ok(_all_of_it) = judged;
    }
}

pub(super) fn understood(tally: &Tally) -> Item {
    const CHECK: &str = "lines";
    let Tally { lines, dated, dovecot, logins, failures, probes, .. } = tally;
    if *lines == 0 {
        return Item::warning(
            CHECK,
            "there is no line to judge",
            "connect to Dovecot once, and look again; docs/log-sources.md says what is read",
        );
    }
    if *dovecot == 0 {
        return Item::fault(
            CHECK,
            format!("none of the last {lines} lines looks like Dovecot's"),
            "name the log that Dovecot writes with logpath or --log; `doveconf log_path` tells",
        );
    }
    if *dated == 0 {
        return Item::warning(
            CHECK,
            format!("none of the last {lines} lines begins with a date that doveblock knows"),
            "docs/log-formats.md has the forms; until then lines count by when they are read",
        );
    }
    Item::ok(
        CHECK,
        format!(
            "of the last {lines}, {failures} are failed logins, {probes} silent probes, {logins} \
             logins"
        ),
    )
}

/// `mode` is the one that holds.
pub(super) fn mode(tally: &Tally, mode: &str) -> Option<Item> {
    const CHECK: &str = "mode";
    let Tally { lines, failures, probes, .. } = tally;
    match (mode, failures, probes) {
        (_, 0, 0) => None,
        ("normal", 0, probes) => Some(Item::warning(
            CHECK,
            format!(
                "normal: of the last {lines} lines {probes} are silent probes, which do not count \
                 in it, and no other counts"
            ),
            "set mode = aggressive; `doveblock regex LOG 'dovecot[mode=aggressive]'` shows first \
             what would count",
        )),
        (mode, failures, probes) => {
            let counting = failures + if mode == "aggressive" { *probes } else { 0 };
            Some(Item::ok(CHECK, format!("{mode}: {counting} of the last {lines} lines count")))
        }
    }
}

pub(super) fn failures(tally: &Tally, status: &Status) -> Item {
    const CHECK: &str = "failures";
    let Status { currently_failed, currently_banned, maxretry, findtime_secs, .. } = status;
    let most = tally.recent.iter().max_by_key(|(ip, count)| (**count, **ip));
    let known = *currently_failed > 0 || *currently_banned > 0 || status.total_failed > 0;
    match most {
        Some((ip, count)) if !known => Item::warning(
            CHECK,
            format!(
                "within findtime ({findtime_secs} s) there are failed logins in the log, most from \
                 {ip} ({count}), and the daemon has counted none"
            ),
            format!("`doveblock check --live {ip}` walks through what became of them"),
        ),
        _ if *currently_failed > 0 && *currently_banned == 0 => Item::ok(
            CHECK,
            format!(
                "{currently_failed} clients have failures within findtime ({findtime_secs} s), none \
                 as many as the {maxretry} that make a ban"
            ),
        ),
        _ => Item::ok(
            CHECK,
            format!(
                "{currently_failed} clients have failures within findtime ({findtime_secs} s), \
                 {currently_banned} are banned; {maxretry} failures make a ban"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::{super::item::Verdict, Judge, LogTime, Mode, Tally, failures, mode, understood};
    use crate::control::api::Status;
    use crate::dovecot::{SessionCheck, Settings};

    const PROBE: &str = "2026-11-25T06:25:01Z mx dovecot: managesieve-login: Disconnected: \
        Connection closed (no auth attempts in 2 secs): user=<>, rip=192.0.2.7, lip=192.0.2.1\n";
    const GUESS: &str = "2026-11-25T06:25:01Z mx dovecot: imap-login: Disconnected (auth failed, 1 \
        attempts in 2 secs): user=<a>, method=PLAIN, rip=192.0.2.8, lip=192.0.2.1\n";

    fn tally(text: &str) -> Tally {
        let mut judge = Judge::new(Settings {
            mode: Mode::Aggressive,
            zone: TimeZone::UTC,
            session_check: SessionCheck::default(),
        });
        let mut tally = Tally::new(LogTime::EPOCH, Some("192.0.2.7".parse().unwrap()));
        tally.add(&mut judge, text.as_bytes(), LogTime::from_secs(1_795_600_000));
        tally
    }

    #[test]
    fn lines_are_dovecots_and_dated_or_it_is_said() {
        assert_eq!(understood(&tally(PROBE)).verdict, Verdict::Ok);
        assert_eq!(understood(&tally("")).verdict, Verdict::Warning);
        let other = "2026-11-25T06:25:01Z mx sshd[1]: Connection closed\n";
        assert_eq!(understood(&tally(other)).verdict, Verdict::Fault);
        let undated = "dovecot: imap-login: x\n";
        assert!(understood(&tally(undated)).what.contains("date"));
    }

    #[test]
    fn probes_alone_ask_for_the_other_mode() {
        let verdict = |text: &str, name| mode(&tally(text), name).map(|item| item.verdict);
        assert_eq!(verdict(PROBE, "normal"), Some(Verdict::Warning));
        assert_eq!(verdict(PROBE, "aggressive"), Some(Verdict::Ok));
        assert_eq!(verdict(&(PROBE.to_owned() + GUESS), "normal"), Some(Verdict::Ok));
        assert_eq!(verdict("", "normal"), None);
    }

    #[test]
    fn an_address_is_counted_apart() {
        let tally = tally(&[PROBE, PROBE, GUESS].concat());
        assert_eq!((tally.of_asked.named, tally.of_asked.probes), (2, 2));
        assert_eq!((tally.failures, tally.probes, tally.of_asked.failures), (1, 2, 0));
    }

    #[test]
    fn failures_that_nobody_counted_are_told() {
        let mut status = Status::example();
        (status.currently_failed, status.currently_banned, status.total_failed) = (0, 0, 0);
        let item = failures(&tally(GUESS), &status);
        assert!(item.verdict == Verdict::Warning && item.what.contains("192.0.2.8"), "{item:?}");
        status.currently_failed = 1;
        let item = failures(&tally(GUESS), &status);
        assert!(item.verdict == Verdict::Ok && item.what.contains("none as many"), "{item:?}");
    }
}
