//! Whether somebody has set the wall clock.
//!
//! The kernel ends bans by a clock that nobody can set. Ends are known here by the wall clock,
//! so when that is set they are called something else from then on. How far the two clocks are
//! apart goes in, by how much that has changed comes out.

/// What is no more than clocks that are slowly being corrected. It adds up until it is more.
const TOLERATED_MICROS: i64 = 1_000_000;

pub(super) struct Steady {
    apart: i64,
}

impl Steady {
    pub(super) fn new(apart: i64) -> Self {
        Self { apart }
    }

    /// By how many microseconds the wall clock was set forth since it was told of last; negative
    /// where it was set back.
    pub(super) fn was_set(&mut self, apart: i64) -> Option<i64> {
        let by = apart.saturating_sub(self.apart);
        if by.saturating_abs() < TOLERATED_MICROS {
            return None;
        }
        self.apart = apart;
        Some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::Steady;

    #[test]
    fn a_clock_that_is_set_is_noticed_once_and_one_that_is_slow_when_it_adds_up() {
        let mut steady = Steady::new(5_000_000);
        let readings = [5_000_000, 3_605_000_000, 3_605_400_000, 3_604_200_000, 3_603_900_000];
        let said = readings.map(|apart| steady.was_set(apart));
        assert_eq!(said, [None, Some(3_600_000_000), None, None, Some(-1_100_000)]);
    }
}
