//! What time it is for the lines of a log.
//!
//! For those that were just written it is now. A log that a daemon goes on with after it was
//! down is caught up with: then it is as late as its lines say, so that they are judged as they
//! would have been without the pause. Lines and the wall clock in, a time out that never goes
//! back.

use crate::{source::Progress, time::LogTime};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Live,
    /// It is this late in the log, or later.
    CatchingUp(LogTime),
}

impl Pace {
    /// Of a log that was read up to what was written at `read_until`. A clock that was ahead
    /// then was wrong.
    pub(super) fn from(read_until: LogTime, wall: LogTime) -> Self {
        Self::CatchingUp(read_until.min(wall))
    }

    /// When a line is read that is dated to `at`.
    pub(super) fn line(&mut self, at: Option<LogTime>, wall: LogTime) -> LogTime {
        match self {
            Self::Live => wall,
            Self::CatchingUp(now) => {
                *now = at.unwrap_or(*now).min(wall).max(*now);
                *now
            }
        }
    }

    /// Takes note of how the last chunk was read; whether it was the last of what there was.
    pub(super) fn progress(&mut self, progress: Progress) -> bool {
        let is_read = matches!(progress, Progress::Idle | Progress::Ended);
        let is_over = *self != Self::Live && is_read;
        if is_over {
            *self = Self::Live;
        }
        is_over
    }

    /// How late it is.
    pub(super) fn now(self, wall: LogTime) -> LogTime {
        match self {
            Self::Live => wall,
            Self::CatchingUp(now) => now.min(wall),
        }
    }

    pub(super) fn is_live(self) -> bool {
        self == Self::Live
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use crate::{source::Progress, time::LogTime};

    fn at(secs: i64) -> LogTime {
        LogTime::from_secs(secs)
    }

    #[test]
    fn a_log_is_caught_up_with_in_its_own_time() {
        let mut pace = Pace::from(at(100), at(1000));
        let times = [Some(90), Some(150), None, Some(140), Some(5000)];
        let read = times.map(|time| pace.line(time.map(at), at(1000)));
        assert_eq!(read, [100, 150, 150, 150, 1000].map(at));
        assert!(!pace.progress(Progress::More) && !pace.progress(Progress::Pending));
        assert!(!pace.is_live());
        assert!(pace.progress(Progress::Idle) && pace.is_live());
        assert!(!pace.progress(Progress::Idle), "once");
        assert_eq!(pace.line(Some(at(7)), at(1001)), at(1001));
    }

    #[test]
    fn what_a_clock_said_that_was_ahead_is_not_believed() {
        let mut pace = Pace::from(at(9000), at(1000));
        assert_eq!(pace.line(Some(at(990)), at(1000)), at(1000));
    }
}
