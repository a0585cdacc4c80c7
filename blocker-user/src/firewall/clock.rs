//! Between the log's clock and the kernel's: a ban ends at a point of wall time, but the
//! program compares with `CLOCK_MONOTONIC`, which no one can set back or forth.

use blocker_common::abi::NEVER;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::time::LogTime;

const NANOS_PER_SEC: i128 = 1_000_000_000;

/// One reading of both clocks.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    /// Nanoseconds of wall time minus nanoseconds of `CLOCK_MONOTONIC`.
    offset: i128,
}

impl Clock {
    pub(super) fn now() -> Self {
        let monotonic = nanos(clock_gettime(ClockId::Monotonic));
        Self { offset: nanos(clock_gettime(ClockId::Realtime)) - monotonic }
    }

    /// Whether a kernel deadline has not come.
    pub(super) fn is_ahead(deadline: u64) -> bool {
        i128::from(deadline) > nanos(clock_gettime(ClockId::Monotonic))
    }

    /// The kernel's deadline for a ban that ends at `expires`. Fractions of a second are
    /// rounded up, so that [`Clock::wall`] gives back the very second in spite of the
    /// microseconds between two readings of the clocks.
    pub(super) fn deadline(self, expires: Option<LogTime>) -> u64 {
        let Some(expires) = expires else { return NEVER };
        let secs = -(-i128::from(expires.as_micros())).div_euclid(1_000_000);
        let deadline = secs * NANOS_PER_SEC - self.offset;
        // A deadline before boot has passed; `NEVER` is not a deadline.
        u64::try_from(deadline.max(0)).unwrap_or(NEVER).min(NEVER - 1)
    }

    /// The wall time of a kernel deadline, to the nearest second.
    pub(super) fn wall(self, deadline: u64) -> Option<LogTime> {
        if deadline == NEVER {
            return None;
        }
        let nanos = i128::from(deadline) + self.offset + NANOS_PER_SEC / 2;
        let secs = i64::try_from(nanos.div_euclid(NANOS_PER_SEC)).unwrap_or(i64::MAX);
        Some(LogTime::from_secs(secs))
    }
}

fn nanos(time: Timespec) -> i128 {
    i128::from(time.tv_sec) * NANOS_PER_SEC + i128::from(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::{Clock, NEVER};
    use crate::time::LogTime;

    #[test]
    fn a_deadline_reads_back_as_the_second_it_was_set_to() {
        let expires = LogTime::from_secs(1_795_539_600);
        let set = Clock { offset: 1_700_000_000_123_456_789 };
        for drift_ns in [-400_000_000, -3, 0, 3, 400_000_000] {
            let read = Clock { offset: set.offset + drift_ns };
            assert_eq!(read.wall(set.deadline(Some(expires))), Some(expires));
        }
    }

    #[test]
    fn a_fraction_of_a_second_is_rounded_up_and_no_end_stays_no_end() {
        let clock = Clock { offset: 0 };
        assert_eq!(clock.deadline(Some(LogTime::from_micros(1_000_001))), 2_000_000_000);
        assert_eq!(clock.deadline(None), NEVER);
        assert_eq!(clock.wall(NEVER), None);
        assert!(clock.deadline(Some(LogTime::from_micros(i64::MAX))) < NEVER);
        assert_eq!(clock.deadline(Some(LogTime::from_secs(-5))), 0);
    }
}
