//! Between the log's clock and the kernel's: a ban ends at a point of wall time, but the
//! program compares with `CLOCK_MONOTONIC`, which no one can set back or forth, in the coarse
//! moments that a ban has room for (`MOMENT_SHIFT`).

use blocker_common::abi::{MOMENT_SHIFT, NEVER};
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
    pub(super) fn is_ahead(deadline: u32) -> bool {
        i128::from(deadline) > nanos(clock_gettime(ClockId::Monotonic)) >> MOMENT_SHIFT
    }

    /// The kernel's deadline for a ban that ends at `expires`. Fractions of a second are
    /// rounded up, so that [`Clock::wall`] gives back the very second in spite of what passes
    /// between two readings of the clocks.
    pub(super) fn deadline(self, expires: Option<LogTime>) -> u32 {
        let Some(expires) = expires else { return NEVER };
        let secs = -(-i128::from(expires.as_micros())).div_euclid(1_000_000);
        self.deadline_at(secs * NANOS_PER_SEC - self.offset)
    }

    /// The same of nanoseconds of `CLOCK_MONOTONIC`, in which earlier layouts had it.
    pub(super) fn deadline_of_ns(nanos: u64) -> u32 {
        if nanos == u64::MAX { NEVER } else { Self { offset: 0 }.deadline_at(nanos.into()) }
    }

    /// No ban ends early: what is left of a moment is added to it.
    fn deadline_at(self, nanos: i128) -> u32 {
        let moment = (nanos + (1 << MOMENT_SHIFT) - 1) >> MOMENT_SHIFT;
        // A deadline before boot has passed; `NEVER` is not a deadline.
        u32::try_from(moment.max(0)).unwrap_or(NEVER).min(NEVER - 1)
    }

    /// The wall time of a kernel deadline, to the nearest second.
    pub(super) fn wall(self, deadline: u32) -> Option<LogTime> {
        if deadline == NEVER {
            return None;
        }
        // What was rounded up is, on the average, half a moment.
        let nanos = (i128::from(deadline) << MOMENT_SHIFT) - (1 << (MOMENT_SHIFT - 1));
        let secs = (nanos + self.offset + NANOS_PER_SEC / 2).div_euclid(NANOS_PER_SEC);
        Some(LogTime::from_secs(i64::try_from(secs).unwrap_or(i64::MAX)))
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
        for ns in [0, 1, 123_456_789, 268_435_455, 268_435_456, 999_999_999] {
            let set = Clock { offset: 1_700_000_000_000_000_000 + ns };
            for secs in 1_795_539_600..1_795_539_700 {
                let expires = Some(LogTime::from_secs(secs));
                for drift_ns in [-300_000_000, -3, 0, 3, 300_000_000] {
                    let read = Clock { offset: set.offset + drift_ns };
                    assert_eq!(read.wall(set.deadline(expires)), expires, "{ns} {drift_ns}");
                }
            }
        }
    }

    #[test]
    fn a_fraction_is_rounded_up_and_no_end_stays_no_end() {
        const MOMENT: i128 = 1 << 28;
        let clock = Clock { offset: 0 };
        let of_micros = |micros| i128::from(clock.deadline(Some(LogTime::from_micros(micros))));
        assert_eq!(of_micros(1_000_001), (2_000_000_000 + MOMENT - 1) / MOMENT);
        assert_eq!(clock.deadline(None), NEVER);
        assert_eq!(clock.wall(NEVER), None);
        assert!(clock.deadline(Some(LogTime::from_micros(i64::MAX))) < NEVER);
        assert_eq!(clock.deadline(Some(LogTime::from_secs(-5))), 0);
        assert_eq!(Clock::deadline_of_ns(u64::MAX), NEVER);
        assert_eq!(Clock::deadline_of_ns(1 << 28), 1);
        assert_eq!(Clock::deadline_of_ns((1 << 28) + 1), 2);
    }
}
