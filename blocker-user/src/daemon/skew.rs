//! Whether a log's clock is another than the daemon's: a log that a container writes in UTC
//! and a daemon on local time reads is hours old or hours ahead, and nothing in it counts as
//! it should. The progress of a source, and times of lines and of their reading in; at most one
//! hint per source out. Reads no clock, logs nothing.

use crate::{source::Progress, time::LogTime};

/// A line may be this much late, or a clock this much off, without a word.
const TOLERATED_SECS: u64 = 5 * 60;
/// One line can be late by itself, as when a server that hung writes what it had to say.
const IN_A_ROW: u8 = 3;
/// Lines of a log in another zone are all off by the same, within what they wait in buffers.
const STEADY_SECS: u64 = 60;

/// What is known of one source.
#[derive(Debug, Default)]
pub(super) struct Skew {
    /// The shift of the last lines, and how many of them had it.
    row: Option<(i64, u8)>,
    is_said: bool,
    /// Whether anything was read, or a file opened at least: what a pipe holds when it is first
    /// looked at can be as old as a file's first lines.
    is_open: bool,
    /// Whether it had been read to its end when it was last looked at, so that what comes next
    /// was written since. A file that took the path anew is read from its start first.
    is_live: bool,
}

/// How far a log is off, in seconds; negative where it is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shift(i64);

impl Skew {
    /// Takes note of how the last chunk was read.
    pub(super) fn progress(&mut self, progress: Progress) {
        self.is_live = self.is_open && progress == Progress::Idle;
        self.is_open |= progress == Progress::More;
    }

    /// Takes note of a line from `at`, read at `now`. Returns the shift once there is
    /// certainty, and only once.
    pub(super) fn line(&mut self, at: LogTime, now: LogTime) -> Option<Shift> {
        if self.is_said || !self.is_live {
            return None;
        }
        let shift = at.as_secs().saturating_sub(now.as_secs());
        if shift.unsigned_abs() <= TOLERATED_SECS {
            self.row = None;
            return None;
        }
        let count = match self.row {
            Some((first, count)) if first.abs_diff(shift) <= STEADY_SECS => count + 1,
            _ => 1,
        };
        let first = self.row.filter(|_| count > 1).map_or(shift, |(first, _)| first);
        self.row = Some((first, count));
        self.is_said = count >= IN_A_ROW;
        self.is_said.then_some(Shift(first))
    }
}

/// `2 hours behind`, `5 hours 30 minutes ahead of`.
impl std::fmt::Display for Shift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let minutes = (self.0.unsigned_abs() + 30) / 60;
        let parts =
            [(minutes / 1440, "day"), (minutes / 60 % 24, "hour"), (minutes % 60, "minute")];
        for (number, unit) in parts.into_iter().filter(|(number, _)| *number > 0) {
            let s = if number == 1 { "" } else { "s" };
            write!(f, "{number} {unit}{s} ")?;
        }
        f.write_str(if self.0 < 0 { "behind" } else { "ahead of" })
    }
}

#[cfg(test)]
mod tests {
    use super::Skew;
    use crate::{source::Progress, time::LogTime};

    const NOW: i64 = 1_795_539_600;

    /// A source that was read to its end.
    fn live() -> Skew {
        let mut skew = Skew::default();
        skew.progress(Progress::More);
        skew.progress(Progress::Idle);
        skew
    }

    /// What is said of lines that are off by so many seconds, one after the other.
    fn said(shifts: &[i64]) -> Vec<String> {
        let mut skew = live();
        let hint = |(number, shift): (i64, &i64)| {
            let now = NOW + number;
            skew.line(LogTime::from_secs(now + shift), LogTime::from_secs(now))
        };
        (0..).zip(shifts).filter_map(hint).map(|shift| shift.to_string()).collect()
    }

    #[test]
    fn a_log_in_another_zone_is_said_once() {
        assert_eq!(said(&[-7200; 9]), ["2 hours behind"]);
        assert_eq!(said(&[19_800; 9]), ["5 hours 30 minutes ahead of"]);
        assert_eq!(said(&[-3601, -3599, -3603]), ["1 hour behind"]);
        assert_eq!(said(&[90_061; 3]), ["1 day 1 hour 1 minute ahead of"]);
    }

    #[test]
    fn a_late_line_says_nothing() {
        assert!(said(&[-7200, -7200]).is_empty());
        assert!(said(&[-7200, 0, -7200, -7200, 0, -7200]).is_empty());
        assert!(said(&[0, -1, 299, -300, 300, 2]).is_empty());
    }

    #[test]
    fn lines_that_are_late_by_something_different_each_are_no_zone() {
        assert!(said(&[-7200, -5000, -3000, -1000, -400]).is_empty());
        assert_eq!(said(&[-900, -7200, -7201, -7200]), ["2 hours behind"]);
    }

    #[test]
    fn lines_from_before_the_end_was_reached_are_old_and_nothing_else() {
        use Progress::{Idle, More};
        let is_said = |before: &[Progress]| {
            let mut skew = Skew::default();
            before.iter().for_each(|progress| skew.progress(*progress));
            let (at, now) = (LogTime::from_secs(NOW - 7200), LogTime::from_secs(NOW));
            (0..3).any(|_| skew.line(at, now).is_some())
        };
        assert!(!is_said(&[]), "the first chunk of all");
        assert!(!is_said(&[More, More]), "the next one of a long file");
        assert!(!is_said(&[Idle, Idle]), "what a pipe held first");
        assert!(!is_said(&[Idle, More]), "a file that was waited for");
        assert!(!is_said(&[More, Idle, More]), "a file that took the place of another");
        assert!(is_said(&[More, Idle]));
        assert!(is_said(&[More, Idle, More, Idle, Idle]));
    }

    #[test]
    fn the_ends_of_time_are_far_away_and_nothing_else() {
        let mut skew = live();
        let far = LogTime::from_micros(i64::MIN);
        let hint = (0..3).find_map(|_| skew.line(far, LogTime::from_micros(i64::MAX)));
        assert!(hint.is_some());
    }
}
