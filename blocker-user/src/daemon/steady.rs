//! Whether somebody has set the wall clock.
//!
//! The kernel ends bans by a clock that nobody can set. Ends are known here by the wall clock,
//! so when that is set they are called something else from then on.

use std::time::{Duration, Instant};

use crate::{daemon::wall_clock, time::LogTime};

/// What is no more than clocks that are slowly being corrected. It adds up until it is more.
const TOLERATED_MICROS: i64 = 1_000_000;
/// Longer between two readings, and somebody else had the processor.
const AT_ONCE: Duration = Duration::from_millis(1);
const TRIES: usize = 10;

pub(super) struct Steady {
    start: Instant,
    /// Wall time less the time since `start`, in microseconds.
    offset: i64,
}

impl Steady {
    pub(super) fn new() -> Self {
        let start = Instant::now();
        Self { start, offset: offset(start) }
    }

    /// By how many microseconds the wall clock was set forth since this was last asked;
    /// negative where it was set back.
    pub(super) fn was_set(&mut self) -> Option<i64> {
        self.moved_to(offset(self.start))
    }

    fn moved_to(&mut self, offset: i64) -> Option<i64> {
        let by = offset.saturating_sub(self.offset);
        if by.saturating_abs() < TOLERATED_MICROS {
            return None;
        }
        self.offset = offset;
        Some(by)
    }
}

/// Both clocks read at once, or as near to that as it goes.
fn offset(start: Instant) -> i64 {
    let mut best: Option<(Duration, i64)> = None;
    for _ in 0..TRIES {
        let before = start.elapsed();
        let wall = wall_clock();
        let took = start.elapsed().saturating_sub(before);
        let offset = wall.before(before).as_micros();
        if best.is_none_or(|(least, _)| took < least) {
            best = Some((took, offset));
        }
        if took < AT_ONCE {
            break;
        }
    }
    best.map_or(LogTime::EPOCH.as_micros(), |(_, offset)| offset)
}

#[cfg(test)]
mod tests {
    use super::Steady;

    #[test]
    fn a_clock_that_is_set_is_noticed_once_and_one_that_is_slow_when_it_adds_up() {
        let mut steady = Steady::new();
        assert_eq!(steady.was_set(), None);
        let at = |secs: i64, steady: &Steady| steady.offset + secs * 1_000_000;
        let hour = at(3600, &steady);
        assert_eq!(steady.moved_to(hour), Some(3_600_000_000));
        assert_eq!(steady.moved_to(hour), None);
        let slowly = [hour - 400_000, hour - 800_000, hour - 1_200_000];
        assert_eq!(slowly.map(|offset| steady.moved_to(offset)), [None, None, Some(-1_200_000)]);
    }
}
