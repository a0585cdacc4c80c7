//! How far the reading of a log is behind its writing, in log time: what a source has read in;
//! now and then a sentence for the daemon's log out. Reads no clock, logs nothing.

use crate::{source::Progress, time::LogTime};

/// A log that is read from its beginning is behind for a moment, which is nobody's concern.
const UNSAID_SECS: u64 = 3;
const AGAIN_SECS: u64 = 30;
/// Lines this old are not what was written just now.
const BEHIND_SECS: u64 = 60;

#[derive(Debug, Default)]
pub(super) struct Lag {
    /// The age of what was read last, while there is more; zero where there is none.
    secs: u64,
    catching_up: Option<CatchingUp>,
}

#[derive(Debug)]
struct CatchingUp {
    since: LogTime,
    lines: u64,
    said: Option<LogTime>,
}

/// What there is to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Behind { at: LogTime, secs: u64 },
    CaughtUp { lines: u64, secs: u64 },
}

impl Lag {
    pub(super) fn secs(&self) -> u64 {
        self.secs
    }

    /// Takes note of a chunk with so many `lines`, the last of which is from `last`.
    pub(super) fn read(
        &mut self,
        progress: Progress,
        lines: u64,
        last: Option<LogTime>,
        now: LogTime,
    ) -> Option<Said> {
        match progress {
            Progress::More => self.more(lines, last, now),
            Progress::Pending => None,
            Progress::Idle | Progress::Ended => {
                self.secs = 0;
                let done = self.catching_up.take()?;
                let secs = now.since(done.since).as_secs();
                done.said.map(|_| Said::CaughtUp { lines: done.lines, secs })
            }
        }
    }

    fn more(&mut self, lines: u64, last: Option<LogTime>, now: LogTime) -> Option<Said> {
        if let Some(last) = last {
            self.secs = now.since(last).as_secs();
        }
        let state = self.catching_up.get_or_insert(CatchingUp { since: now, lines: 0, said: None });
        state.lines += lines;
        let (from, wait) = match state.said {
            Some(said) => (said, AGAIN_SECS),
            None => (state.since, UNSAID_SECS),
        };
        let is_due = now.since(from).as_secs() >= wait && self.secs > BEHIND_SECS;
        is_due.then(|| {
            state.said = Some(now);
            Said::Behind {
                at: now.before(std::time::Duration::from_secs(self.secs)),
                secs: self.secs,
            }
        })
    }
}

impl Said {
    /// The sentence, about the log of this name.
    pub(super) fn of(&self, name: &str) -> String {
        match self {
            Self::Behind { at, secs } => {
                format!("catching up with {name}: at {at}, {} behind", span(*secs))
            }
            Self::CaughtUp { lines, secs } => {
                format!("caught up with {name}: {lines} lines in {}", span(*secs))
            }
        }
    }
}

/// The two largest units are enough.
fn span(secs: u64) -> String {
    match (secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60) {
        (0, 0, 0, secs) => format!("{secs} s"),
        (0, 0, minutes, secs) => format!("{minutes} min {secs} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Lag, Said, span};
    use crate::{
        source::Progress::{Idle, More, Pending},
        time::LogTime,
    };

    const NOW: i64 = 1_795_539_600;

    fn at(secs: i64) -> LogTime {
        LogTime::from_secs(NOW + secs)
    }

    #[test]
    fn a_short_look_at_an_old_log_says_nothing() {
        let mut lag = Lag::default();
        assert_eq!(lag.read(More, 9, Some(at(-9000)), at(0)), None);
        assert_eq!(lag.secs(), 9000);
        assert_eq!(lag.read(Idle, 0, None, at(1)), None);
        assert_eq!(lag.secs(), 0);
    }

    #[test]
    fn a_long_one_is_told_now_and_then_and_at_its_end() {
        let mut lag = Lag::default();
        let mut said = Vec::new();
        for second in 0..=40 {
            said.extend(lag.read(More, 10, Some(at(-9000)), at(second)));
            assert_eq!(lag.read(Pending, 0, None, at(second)), None);
        }
        said.extend(lag.read(Idle, 0, None, at(41)));
        said.extend(lag.read(Idle, 0, None, at(42)));
        assert_eq!(
            said,
            [
                Said::Behind { at: at(-9000), secs: 9003 },
                Said::Behind { at: at(-9000), secs: 9033 },
                Said::CaughtUp { lines: 410, secs: 41 },
            ]
        );
        assert_eq!(
            said[0].of("x"),
            "catching up with x: at 2026-11-24T14:30:00Z, 2 h 30 min behind"
        );
        assert_eq!(said[2].of("x"), "caught up with x: 410 lines in 41 s");
    }

    #[test]
    fn a_busy_log_that_is_read_as_it_is_written_is_not_behind() {
        let mut lag = Lag::default();
        let said = (0..99).find_map(|second| lag.read(More, 10, Some(at(second - 2)), at(second)));
        assert_eq!(said, None);
        assert_eq!(lag.secs(), 2);
        // Without times nothing is known.
        assert_eq!(Lag::default().read(More, 1, None, at(0)), None);
    }

    #[test]
    fn spans_have_two_units() {
        assert_eq!([59, 61, 3660, 90_000].map(span), ["59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}
