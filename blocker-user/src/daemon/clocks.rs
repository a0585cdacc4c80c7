//! The two clocks: the one that people and logs go by, and the one that nobody can set.

use std::time::{Duration, Instant};

use super::wall_clock;
use crate::time::LogTime;

/// Longer between two readings, and somebody else had the processor.
const AT_ONCE: Duration = Duration::from_millis(1);
const TRIES: usize = 10;

/// What a pipeline reads the time from, so that tests can tell it.
pub struct Clocks {
    pub wall: Box<dyn Fn() -> LogTime>,
    /// Since some moment.
    pub steady: Box<dyn Fn() -> Duration>,
}

impl Default for Clocks {
    /// This host's.
    fn default() -> Self {
        let start = Instant::now();
        Self { wall: Box::new(wall_clock), steady: Box::new(move || start.elapsed()) }
    }
}

impl Clocks {
    pub(super) fn now(&self) -> LogTime {
        (self.wall)()
    }

    /// By how many microseconds the one is ahead of the other, read at once or as near to that
    /// as it goes.
    pub(super) fn apart(&self) -> i64 {
        let mut best: Option<(Duration, i64)> = None;
        for _ in 0..TRIES {
            let before = (self.steady)();
            let wall = self.now();
            let took = (self.steady)().saturating_sub(before);
            if best.is_none_or(|(least, _)| took < least) {
                best = Some((took, wall.before(before).as_micros()));
            }
            if took < AT_ONCE {
                break;
            }
        }
        best.map_or(0, |(_, apart)| apart)
    }
}
