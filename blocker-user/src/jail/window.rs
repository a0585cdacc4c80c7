//! Failures per client within findtime.
//!
//! fail2ban keeps no list of failure times. Per address it knows the first and last time
//! and a count; when the first slips out of findtime, it estimates from the rate so far how
//! many would still lie inside. That is reproduced here to the digit, because admins have
//! tuned maxretry and findtime by it, and because it needs 40 bytes an address.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use ipnet::IpNet;

use crate::time::LogTime;

#[derive(Clone, Copy, Debug)]
struct Window {
    first: LogTime,
    last: LogTime,
    count: u32,
}

impl Window {
    fn add(&mut self, at: LogTime, findtime: Duration) {
        if at > self.last {
            if self.first < at.before(findtime) {
                let span = at.since(self.first).as_secs_f64();
                let estimate = f64::from(self.count) / span * findtime.as_secs_f64();
                self.count = round_half_even(estimate);
                self.first = at.before(findtime);
            }
            self.last = at;
        }
        self.count = self.count.saturating_add(1);
    }

    /// No failure lies inside findtime any more.
    fn is_over(&self, now: LogTime, findtime: Duration) -> bool {
        self.last < now.before(findtime)
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

/// The windows of all clients. Bounded: the one whose last failure is oldest goes first.
pub(super) struct Windows {
    by_subject: HashMap<IpNet, Window>,
    by_last: BTreeSet<(LogTime, IpNet)>,
    capacity: usize,
    evicted: bool,
}

impl Windows {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            by_subject: HashMap::new(),
            by_last: BTreeSet::new(),
            capacity: capacity.max(1),
            evicted: false,
        }
    }

    /// Adds a failure and returns how many count now.
    pub(super) fn count(&mut self, subject: IpNet, at: LogTime, findtime: Duration) -> u32 {
        let window = match self.by_subject.get_mut(&subject) {
            // fail2ban sweeps such windows away every now and then; doing so exactly when the
            // next failure comes makes the outcome independent of when that is.
            Some(window) if window.is_over(at, findtime) => {
                self.by_last.remove(&(window.last, subject));
                *window = Window { first: at, last: at, count: 1 };
                window
            }
            Some(window) => {
                self.by_last.remove(&(window.last, subject));
                window.add(at, findtime);
                window
            }
            None => {
                self.make_room();
                let window = Window { first: at, last: at, count: 1 };
                self.by_subject.entry(subject).or_insert(window)
            }
        };
        self.by_last.insert((window.last, subject));
        window.count
    }

    pub(super) fn forget(&mut self, subject: &IpNet) {
        if let Some(window) = self.by_subject.remove(subject) {
            self.by_last.remove(&(window.last, *subject));
        }
    }

    pub(super) fn expire(&mut self, now: LogTime, findtime: Duration) {
        while let Some(&(last, subject)) = self.by_last.first() {
            if last >= now.before(findtime) {
                break;
            }
            self.by_last.pop_first();
            self.by_subject.remove(&subject);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_subject.len()
    }

    fn make_room(&mut self) {
        if self.by_subject.len() < self.capacity {
            return;
        }
        if let Some((_, oldest)) = self.by_last.pop_first() {
            self.by_subject.remove(&oldest);
            if !self.evicted {
                self.evicted = true;
                tracing::warn!(
                    "failures of {} clients are remembered, which is the limit: the one heard \
                     of least recently is forgotten for each new one (said once)",
                    self.capacity
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Windows, round_half_even};
    use crate::time::LogTime;
    use std::time::Duration;

    const FINDTIME: Duration = Duration::from_secs(600);

    fn counts(seconds: &[i64]) -> Vec<u32> {
        let mut windows = Windows::new(10);
        let subject = "192.0.2.7/32".parse().unwrap();
        seconds.iter().map(|&at| windows.count(subject, LogTime::from_secs(at), FINDTIME)).collect()
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
    fn halves_round_to_the_even_number_as_in_python() {
        assert_eq!([0.5, 1.5, 2.5, 2.6].map(round_half_even), [0, 2, 2, 3]);
        assert_eq!(round_half_even(f64::NAN), 0);
        assert_eq!(round_half_even(f64::INFINITY), u32::MAX);
    }

    #[test]
    fn the_client_heard_of_least_recently_makes_room() {
        let mut windows = Windows::new(2);
        let subject = |n: u8| format!("192.0.2.{n}/32").parse().unwrap();
        for (client, at) in [(1, 0), (2, 1), (1, 2), (3, 3)] {
            windows.count(subject(client), LogTime::from_secs(at), FINDTIME);
        }
        assert_eq!(windows.len(), 2);
        assert_eq!(windows.count(subject(1), LogTime::from_secs(4), FINDTIME), 3);
        assert_eq!(windows.count(subject(2), LogTime::from_secs(5), FINDTIME), 1);
        assert_eq!(windows.by_last.len(), windows.len());
    }
}
