//! How regularly a client connects: monitoring does by the clock, people and scanners do not.
//!
//! Bounded and streaming: a candidate for the interval, found as a majority is (who agrees
//! strengthens it, who does not weakens it, and a new one takes its place when it has no support
//! left), and how many intervals agreed with it. A pause of the monitoring costs one interval,
//! not, as with a variance, all.

use crate::time::LogTime;

/// Connections this close together are one visit: several services are looked at in one go.
const VISIT_SECS: f32 = 3.0;
/// Intervals that differ by less agree.
const TOLERANCE: f32 = 0.15;
/// So many intervals at least, so that chance is no explanation.
const FEWEST: u32 = 30;
/// So many of a hundred have to agree.
const MOST_PERCENT: u32 = 90;
/// Nobody's monitoring connects more often. Scanners do.
const SHORTEST_SECS: f32 = 20.0;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rhythm {
    last_secs: u32,
    interval: f32,
    support: u16,
    agreed: u32,
    intervals: u32,
}

impl Rhythm {
    /// Takes note of a connection.
    pub(super) fn connection(&mut self, at: LogTime) {
        let secs = u32::try_from(at.as_secs()).unwrap_or(0);
        if self.last_secs == 0 {
            self.last_secs = secs;
            return;
        }
        let passed = secs.saturating_sub(self.last_secs);
        // Seconds between two lines of a log: far from where f32 gets coarse.
        let passed = f32::from(u16::try_from(passed).unwrap_or(u16::MAX));
        if passed < VISIT_SECS {
            return;
        }
        self.last_secs = secs;
        self.intervals = self.intervals.saturating_add(1);
        if (passed - self.interval).abs() <= TOLERANCE * self.interval {
            self.agreed = self.agreed.saturating_add(1);
            self.support = self.support.saturating_add(1);
            // Follows a slow drift.
            self.interval += (passed - self.interval) / 16.0;
        } else if self.support == 0 {
            (self.interval, self.support) = (passed, 1);
        } else {
            self.support -= 1;
        }
    }

    /// The interval in seconds, of a client that keeps to one.
    pub(super) fn interval(&self) -> Option<f64> {
        let is_regular = self.intervals >= FEWEST
            && u64::from(self.agreed) * 100 >= u64::from(self.intervals) * u64::from(MOST_PERCENT)
            && self.interval >= SHORTEST_SECS;
        is_regular.then(|| f64::from(self.interval))
    }

    pub(super) fn intervals(&self) -> u32 {
        self.intervals
    }
}

#[cfg(test)]
mod tests {
    use super::{LogTime, Rhythm};

    fn interval(times: impl IntoIterator<Item = i64>) -> Option<f64> {
        let mut rhythm = Rhythm::default();
        times.into_iter().for_each(|secs| rhythm.connection(LogTime::from_secs(secs + 1_000_000)));
        rhythm.interval()
    }

    #[test]
    fn who_comes_every_minute_is_regular_with_jitter_pauses_and_several_services() {
        let every_minute = |n: i64| n * 60;
        assert_eq!(interval((0..100).map(every_minute)), Some(60.0));
        let jitter = (0..100).map(|n| n * 60 + n * 7 % 5);
        assert!((interval(jitter).unwrap() - 60.0).abs() < 2.0);
        let services = (0..100).flat_map(|n| [n * 60, n * 60 + 1, n * 60 + 2]);
        assert!((interval(services).unwrap() - 60.0).abs() < 1.0);
        let paused = (0..50).chain(500..550).map(every_minute);
        assert_eq!(interval(paused), Some(60.0));
    }

    #[test]
    fn few_connections_quick_ones_and_random_ones_are_not() {
        assert_eq!(interval((0..20).map(|n| n * 60)), None, "too few");
        assert_eq!(interval((0..1000).map(|n| n * 10)), None, "a scanner");
        // A linear congruential generator's idea of people.
        let mut state = 12_345_u32;
        let mut at = 0;
        let people = (0..1000).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            at += i64::from(state >> 20);
            at
        });
        assert_eq!(interval(people.collect::<Vec<_>>()), None);
    }
}
