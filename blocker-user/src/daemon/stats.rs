//! Numbers that the pipeline keeps and other threads read.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use super::service::{self, SERVICES};
use crate::{
    dovecot::{FAILREGEX, RULES, Rule},
    store::Totals,
    time::LogTime,
};

/// The built-in ones, and the admin's.
const RULE_COUNT: usize = RULES.len() + 1;

/// Totals count since there has been a database, or since the daemon started where it keeps
/// none; everything else since the daemon started.
#[derive(Debug, Default)]
pub struct Stats {
    pub(super) lines: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) bans: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) currently_failed: AtomicUsize,
    pub(super) bans_by_hand: AtomicU64,
    /// Lines that no known timestamp leads.
    pub(super) undated: AtomicU64,
    /// Of the last line that has one, in microseconds; 0 before there was any.
    pub(super) last_line: AtomicI64,
    pub(super) bytes_behind: AtomicU64,
    pub(super) database_errors: AtomicU64,
    by_rule: [[AtomicU64; SERVICES.len()]; RULE_COUNT],
    started_bans: u64,
    pub(super) lag_secs: AtomicU64,
}

impl From<Totals> for Stats {
    fn from(totals: Totals) -> Self {
        let Totals { lines, failures, bans, evicted } = totals;
        Self {
            lines: lines.into(),
            failures: failures.into(),
            bans: bans.into(),
            evicted: evicted.into(),
            started_bans: bans,
            ..Self::default()
        }
    }
}

impl Stats {
    pub(super) fn totals(&self) -> Totals {
        Totals {
            lines: self.lines(),
            failures: self.total_failed(),
            bans: self.total_banned(),
            evicted: self.total_evicted(),
        }
    }

    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Failures that counted.
    pub fn total_failed(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub fn total_banned(&self) -> u64 {
        self.bans.load(Ordering::Relaxed)
    }

    /// Bans that ended before their time because `max_bans` was reached.
    pub fn total_evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// How old the lines are that are being read, of the log that is furthest behind; zero when
    /// all have been read to their ends.
    pub fn lag_secs(&self) -> u64 {
        self.lag_secs.load(Ordering::Relaxed)
    }

    /// Clients with failures inside findtime.
    pub fn currently_failed(&self) -> usize {
        self.currently_failed.load(Ordering::Relaxed)
    }

    pub fn bans_by_hand(&self) -> u64 {
        self.bans_by_hand.load(Ordering::Relaxed)
    }

    pub fn bans_by_log(&self) -> u64 {
        let all = self.total_banned().saturating_sub(self.started_bans);
        all.saturating_sub(self.bans_by_hand())
    }

    pub fn undated(&self) -> u64 {
        self.undated.load(Ordering::Relaxed)
    }

    /// When the last line was written that says so.
    pub fn last_line(&self) -> Option<LogTime> {
        let micros = self.last_line.load(Ordering::Relaxed);
        (micros != 0).then(|| LogTime::from_micros(micros))
    }

    /// What is in the logs and has not been read yet.
    pub fn bytes_behind(&self) -> u64 {
        self.bytes_behind.load(Ordering::Relaxed)
    }

    pub fn database_errors(&self) -> u64 {
        self.database_errors.load(Ordering::Relaxed)
    }

    /// Failures that counted, by rule and service, those that there were none of too.
    pub fn by_rule(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let names = RULES.iter().map(|rule| rule.name).chain([FAILREGEX.name]);
        names.zip(&self.by_rule).flat_map(|(rule, services)| {
            let counts = services.iter().map(|count| count.load(Ordering::Relaxed));
            SERVICES.into_iter().zip(counts).map(move |(service, count)| (rule, service, count))
        })
    }

    /// A little of everything.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        let rule = RULES.iter().find(|rule| rule.name == "no-auth-attempts").unwrap();
        let stats = Self { last_line: 1_795_539_600_000_000.into(), ..Self::default() };
        stats.bytes_behind.store(512, Ordering::Relaxed);
        stats.lag_secs.store(12, Ordering::Relaxed);
        stats.failure(rule, b"managesieve-login: Disconnected");
        stats
    }

    /// Takes note of a failure that counts.
    pub(super) fn failure(&self, rule: &Rule, line: &[u8]) {
        add(&self.failures);
        // What is not in the table is the admin's.
        let at = RULES.iter().position(|known| *known == rule).unwrap_or(RULES.len());
        let service = service::of(line);
        if let Some(count) = self.by_rule.get(at).and_then(|services| services.get(service)) {
            add(count);
        }
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::Stats;
    use crate::{
        dovecot::{FAILREGEX, RULES},
        store::Totals,
    };

    #[test]
    fn failures_are_counted_by_rule_and_service() {
        let stats = Stats::default();
        stats.failure(RULES[0], b"Nov 25 06:25:01 mx dovecot: imap-login: x");
        stats.failure(&FAILREGEX, b"x");
        let counted: Vec<_> = stats.by_rule().filter(|&(_, _, count)| count > 0).collect();
        assert_eq!(counted, [(RULES[0].name, "imap", 1), ("failregex", "other", 1)]);
        assert_eq!(stats.total_failed(), 2);
    }

    #[test]
    fn bans_of_earlier_daemons_are_none_of_this_one() {
        let stats = Stats::from(Totals { bans: 7, ..Totals::default() });
        assert_eq!((stats.total_banned(), stats.bans_by_log()), (7, 0));
    }
}
