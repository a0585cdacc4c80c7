//! Failures per client within findtime.
//!
//! fail2ban keeps no list of failure times. Per address it knows the first and last time
//! and a count; when the first slips out of findtime, it estimates from the rate so far how
//! many would still lie inside. That is reproduced here to the digit, because admins have
//! tuned maxretry and findtime by it, and because it needs so little an address.
//!
//! What is counted is a sum of shares ([`super::policy::Share`]); mostly each is 1.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{key::Key, limit::Limit, lru::Lru, policy::Count, state::Batched};
use crate::time::LogTime;

/// The longest that a line tells back. Dovecot hangs up on a client that does not log in
/// after three minutes, and delays its answers by less than another three.
pub(super) const LATEST: Duration = Duration::from_secs(600);

/// When failures happened: at one moment, or spread over a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub(super) from: LogTime,
    pub(super) to: LogTime,
}

/// What a ban is decided on: the sum of its failures, and the batch they were counted in. A
/// batch begins with the first failure of a client, and ends when its failures are forgotten;
/// those during a ban belong to that ban's. So whatever is taken back later is taken from
/// where it was counted and from nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Evidence {
    pub(super) sum: u32,
    /// As much of that as silent probes make up.
    pub(super) probes: u32,
    pub(super) batch: u32,
}

impl Evidence {
    /// Of a ban that was not decided here.
    pub(super) const NONE: Self = Self { sum: 0, probes: 0, batch: 0 };

    pub(super) fn with(self, more: Self) -> Self {
        if self.batch == more.batch {
            self.and(Added { sum: more.sum, probes: more.probes })
        } else {
            self
        }
    }

    fn and(self, more: Added) -> Self {
        let sum = self.sum.saturating_add(more.sum);
        Self { sum, probes: self.probes.saturating_add(more.probes), ..self }
    }

    /// Without some of its guesses.
    pub(super) fn without(self, sum: u32) -> Self {
        let sum = self.sum.saturating_sub(sum);
        Self { sum, probes: self.probes.min(sum), ..self }
    }

    pub(super) fn without_probes(self) -> Self {
        Self { sum: self.sum.saturating_sub(self.probes), probes: 0, ..self }
    }
}

/// What a failure adds to the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) sum: u32,
    /// As much of that as silent probes make up.
    pub(super) probes: u32,
}

impl Added {
    fn scaled(self, sum: u32) -> Self {
        let probes = u64::from(self.probes) * u64::from(sum) / u64::from(self.sum.max(1));
        Self { sum, probes: u32::try_from(probes).unwrap_or(sum) }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Window {
    first: LogTime,
    last: LogTime,
    evidence: Evidence,
}

impl Window {
    fn add(&mut self, at: LogTime, added: Added, findtime: Duration) {
        if at > self.last {
            if self.first < at.before(findtime) {
                let span = at.since(self.first).as_secs_f64();
                let estimate = f64::from(self.evidence.sum) / span * findtime.as_secs_f64();
                let Evidence { sum, probes, batch } = self.evidence;
                let Added { sum, probes } = Added { sum, probes }.scaled(round_half_even(estimate));
                self.evidence = Evidence { sum, probes, batch };
                self.first = at.before(findtime);
            }
            self.last = at;
        }
        self.evidence = self.evidence.and(added);
    }

    pub(super) fn last(&self) -> LogTime {
        self.last
    }

    /// No failure lies inside findtime any more.
    fn is_over(&self, now: LogTime, findtime: Duration) -> bool {
        self.last < now.before(findtime)
    }
}

impl Batched for Window {
    fn batch(&self) -> u32 {
        self.evidence.batch
    }
}

/// Python's `round`, which fail2ban uses: to the nearest integer, halves to the even one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates at both ends, which is what a count must do"
)]
fn round_half_even(value: f64) -> u32 {
    value.round_ties_even() as u32
}

/// What a failure has come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) added: Added,
    pub(super) evidence: Evidence,
    /// The latest of the failures.
    pub(super) last: LogTime,
}

/// The windows of all clients. Bounded: the one heard of least recently goes first.
pub(super) struct Windows {
    by_subject: Lru<Key, Window>,
    findtime: Duration,
    count: Count,
    limit: Limit,
    batches: u32,
}

impl Windows {
    pub(super) fn new(findtime: Duration, count: Count, capacity: usize) -> Self {
        Self {
            by_subject: Lru::new(),
            findtime,
            count,
            limit: Limit::new(capacity, "clients with failures"),
            batches: Evidence::NONE.batch,
        }
    }

    /// Adds failures and returns how many count now. `batch` is that of a ban in force.
    pub(super) fn add(
        &mut self,
        key: Key,
        moments: Moments,
        added: Added,
        batch: Option<u32>,
    ) -> Counted {
        let findtime = self.findtime;
        let Moments { from, to } = moments;
        // Those of a long connection that are out of findtime when it ends count no more.
        let (from, added) = if from < to.before(findtime) {
            let inside = findtime.as_secs_f64() / to.since(from).as_secs_f64();
            let sum = round_half_even(f64::from(added.sum) * inside).max(1);
            (to.before(findtime), added.scaled(sum))
        } else {
            (from, added)
        };
        let attempts = self.count == Count::Attempts;
        match self.by_subject.touch(&key) {
            // fail2ban sweeps such windows away every now and then; doing so exactly when the
            // next failure comes makes the outcome independent of when that is.
            Some(window) if !window.is_over(to, findtime) => {
                // What happened more than findtime before the latest failure does not count
                // with it, however late its line is. fail2ban counts it at its line's time.
                if attempts && to < window.last.before(findtime) {
                    let added = Added { sum: 0, probes: 0 };
                    return Counted { added, evidence: window.evidence, last: window.last };
                }
                window.add(to, added, findtime);
                if attempts {
                    window.first = window.first.min(from.max(window.last.before(findtime)));
                }
                Counted { added, evidence: window.evidence, last: window.last }
            }
            _ => {
                self.limit.make_room(&mut self.by_subject, &key);
                let batch = batch.unwrap_or_else(|| self.next_batch());
                let evidence = Evidence { batch, ..Evidence::NONE }.and(added);
                self.by_subject.insert(key, Window { first: from, last: to, evidence });
                Counted { added, evidence, last: to }
            }
        }
    }

    /// Takes failures back, as many as there are; returns how many were not there.
    pub(super) fn take_back(&mut self, key: &Key, what: Evidence) -> u32 {
        let Some(window) = self.by_subject.get_mut(key) else { return what.sum };
        if window.evidence.batch != what.batch {
            return what.sum;
        }
        let missing = what.sum.saturating_sub(window.evidence.sum);
        window.evidence = window.evidence.without(what.sum);
        if window.evidence.sum == 0 {
            self.by_subject.remove(key);
        }
        missing
    }

    /// Takes silent probes back that count at `login` and were at most `span` after it; whether
    /// there were any.
    pub(super) fn take_back_probes(&mut self, key: &Key, login: LogTime, span: Duration) -> bool {
        let Some(window) = self.by_subject.get_mut(key) else { return false };
        let is_over = window.is_over(login, self.findtime) || window.last > login.after(span);
        if is_over || window.evidence.probes == 0 {
            return false;
        }
        window.evidence = window.evidence.without_probes();
        if window.evidence.sum == 0 {
            self.by_subject.remove(key);
        }
        true
    }

    /// What counts of `batch` at the moment `at`.
    pub(super) fn of(&self, key: &Key, batch: u32, at: LogTime) -> Evidence {
        let window = self.by_subject.get(key);
        window
            .filter(|it| it.evidence.batch == batch && !it.is_over(at, self.findtime))
            .map_or(Evidence::NONE, |window| window.evidence)
    }

    /// Counts failures again whose ban was lifted. When they happened is not known any more;
    /// `at` is later than any of them.
    pub(super) fn put_back(&mut self, key: Key, at: LogTime, evidence: Evidence) {
        let findtime = self.findtime;
        match self.by_subject.get_mut(&key) {
            // One that is over may have been swept away already; it must make no difference.
            Some(window) if !window.is_over(at, findtime) => {
                window.evidence = evidence;
                return;
            }
            _ => self.forget(&key),
        }
        if evidence.sum > 0 {
            self.limit.make_room(&mut self.by_subject, &key);
            self.by_subject.insert(key, Window { first: at, last: at, evidence });
        }
    }

    /// What counts by `now`, and when the first and the last of it happened.
    pub(super) fn counted(&self, key: &Key, now: LogTime) -> Option<(Evidence, LogTime, LogTime)> {
        let window = self.by_subject.get(key).filter(|it| !it.is_over(now, self.findtime))?;
        Some((window.evidence, window.first, window.last))
    }

    pub(super) fn set_rules(&mut self, findtime: Duration, count: Count) {
        (self.findtime, self.count) = (findtime, count);
    }

    pub(super) fn forget(&mut self, key: &Key) {
        self.by_subject.remove(key);
    }

    /// `now` is the time of the oldest line that could still come.
    pub(super) fn expire(&mut self, now: LogTime) {
        // Lines that tell of an earlier moment still come, and belong with these.
        let late = if self.count == Count::Attempts { LATEST } else { Duration::ZERO };
        let (findtime, now) = (self.findtime, now.before(late));
        self.by_subject.expire(|window| window.is_over(now, findtime));
    }

    pub(super) fn len(&self) -> usize {
        self.by_subject.len()
    }

    pub(super) fn table(&mut self) -> &mut Lru<Key, Window> {
        &mut self.by_subject
    }

    /// Batches up to `latest` have been given.
    pub(super) fn resume_batches(&mut self, latest: u32) {
        self.batches = latest;
    }

    fn next_batch(&mut self) -> u32 {
        self.batches = self.batches.wrapping_add(1);
        if self.batches == Evidence::NONE.batch {
            self.batches = self.batches.wrapping_add(1);
        }
        self.batches
    }
}

#[cfg(test)]
mod tests {
    use super::{Added, Count, Key, Moments, Windows, round_half_even};
    use crate::time::LogTime;
    use std::{net::IpAddr, time::Duration};

    const FINDTIME: Duration = Duration::from_secs(600);

    fn key() -> Key {
        Key::from(IpAddr::from([192, 0, 2, 7]))
    }

    fn guesses(sum: u32) -> Added {
        Added { sum, probes: 0 }
    }

    fn sums(count: Count, failures: &[(i64, i64, u32)]) -> Vec<u32> {
        let mut windows = Windows::new(FINDTIME, count, 10);
        let add = |&(from, to, sum): &(i64, i64, u32)| {
            let moments = Moments { from: LogTime::from_secs(from), to: LogTime::from_secs(to) };
            windows.add(key(), moments, guesses(sum), None).evidence.sum
        };
        failures.iter().map(add).collect()
    }

    fn counts(seconds: &[i64]) -> Vec<u32> {
        let failures: Vec<_> = seconds.iter().map(|&at| (at, at, 1)).collect();
        sums(Count::Lines, &failures)
    }

    #[test]
    fn failures_within_findtime_add_up() {
        assert_eq!(counts(&[0, 1, 300, 600]), [1, 2, 3, 4]);
    }

    #[test]
    fn a_pause_longer_than_findtime_starts_over() {
        assert_eq!(counts(&[0, 1, 602]), [1, 2, 1]);
    }

    #[test]
    fn a_window_that_grew_too_long_keeps_the_estimate_of_its_rate() {
        // 3 failures in 900 s are 2 in 600 s; with the new one that is 3.
        assert_eq!(counts(&[0, 300, 600, 900]), [1, 2, 3, 3]);
    }

    #[test]
    fn a_line_that_comes_late_counts_without_moving_the_window() {
        assert_eq!(counts(&[100, 50, 700]), [1, 2, 3]);
    }

    #[test]
    fn attempts_count_with_those_that_happened_within_findtime_of_them_only() {
        let late = [(1000, 1000, 1), (399, 399, 1), (400, 400, 1)];
        assert_eq!(sums(Count::Attempts, &late), [1, 1, 2]);
        assert_eq!(sums(Count::Lines, &late), [1, 2, 3]);
    }

    #[test]
    fn of_guesses_spread_over_more_than_findtime_the_last_ones_count() {
        assert_eq!(sums(Count::Attempts, &[(0, 171, 12)]), [12]);
        assert_eq!(sums(Count::Attempts, &[(0, 1200, 12)]), [6]);
        // The first six were out of findtime at 1200, the first nine at 1500.
        assert_eq!(sums(Count::Attempts, &[(0, 1200, 12), (1500, 1500, 1)]), [6, 5]);
    }

    #[test]
    fn what_is_taken_back_is_taken_from_its_own_batch() {
        let mut windows = Windows::new(FINDTIME, Count::Attempts, 10);
        let at = |secs| Moments { from: LogTime::from_secs(secs), to: LogTime::from_secs(secs) };
        let first = windows.add(key(), at(0), guesses(2), None).evidence;
        windows.forget(&key());
        let second = windows.add(key(), at(1), guesses(3), None).evidence;
        assert_eq!(windows.take_back(&key(), first), 2, "nothing of the first is left");
        assert_eq!(windows.of(&key(), second.batch, LogTime::from_secs(1)), second);
        assert_eq!(windows.take_back(&key(), second), 0);
        assert_eq!(windows.len(), 0);
    }

    #[test]
    fn probes_are_taken_back_and_guesses_stay() {
        let mut windows = Windows::new(FINDTIME, Count::Attempts, 10);
        let at = |secs| Moments { from: LogTime::from_secs(secs), to: LogTime::from_secs(secs) };
        let probes = |sum| Added { sum, probes: sum };
        windows.add(key(), at(0), probes(4), None);
        let batch = windows.add(key(), at(500), guesses(2), None).evidence.batch;
        // 6 in 1000 s are 4 in 600 s, and what was probes in proportion.
        let evidence = windows.add(key(), at(1000), guesses(1), None).evidence;
        assert_eq!((evidence.sum, evidence.probes), (5, 2));
        let login = LogTime::from_secs(990);
        assert!(!windows.take_back_probes(&key(), login, Duration::from_secs(9)), "too late");
        assert!(windows.take_back_probes(&key(), login, Duration::from_secs(10)));
        assert_eq!(windows.of(&key(), batch, login).sum, 3);
        assert!(!windows.take_back_probes(&key(), login, FINDTIME));
        windows.add(Key::from(IpAddr::from([192, 0, 2, 8])), at(500), probes(1), None);
        assert!(windows.take_back_probes(&IpAddr::from([192, 0, 2, 8]).into(), login, FINDTIME));
        assert_eq!(windows.len(), 1);
    }

    #[test]
    fn halves_round_to_the_even_number_as_in_python() {
        assert_eq!([0.5, 1.5, 2.5, 2.6].map(round_half_even), [0, 2, 2, 3]);
        assert_eq!(round_half_even(f64::NAN), 0);
        assert_eq!(round_half_even(f64::INFINITY), u32::MAX);
    }
}
