//! Bans that ended before their time because the table is full: counted one by one, told of
//! once a minute, since a flood that fills the table must not fill the log as well.

use crate::time::LogTime;

const EVERY_SECS: i64 = 60;

#[derive(Default)]
pub(super) struct Evictions {
    untold: usize,
    told_at: Option<LogTime>,
}

impl Evictions {
    pub(super) fn add(&mut self, count: usize) {
        self.untold += count;
    }

    /// How many there were since the log was told, if it is to be told now.
    pub(super) fn due(&mut self, now: LogTime) -> Option<usize> {
        let told_lately = self.told_at.is_some_and(|at| {
            (0..EVERY_SECS).contains(&now.as_secs().saturating_sub(at.as_secs()))
        });
        if self.untold == 0 || told_lately {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::Evictions;
    use crate::time::LogTime;

    #[test]
    fn the_first_is_told_at_once_and_the_others_together() {
        let at = |secs: i64| LogTime::from_secs(1_795_539_600 + secs);
        let mut evictions = Evictions::default();
        assert_eq!(evictions.due(at(0)), None);
        evictions.add(1);
        assert_eq!(evictions.due(at(0)), Some(1));
        for secs in 1..60 {
            evictions.add(2);
            assert_eq!(evictions.due(at(secs)), None);
        }
        assert_eq!(evictions.due(at(60)), Some(118));
        assert_eq!(evictions.due(at(300)), None);
    }

    #[test]
    fn a_clock_that_goes_back_silences_nothing() {
        let mut evictions = Evictions::default();
        evictions.add(1);
        assert_eq!(evictions.due(LogTime::from_secs(1000)), Some(1));
        evictions.add(1);
        assert_eq!(evictions.due(LogTime::from_secs(10)), Some(1));
    }
}
