//! `bantime.increment`: who was banned before is banned for longer.
//!
//! fail2ban's arithmetic. Its `bantime.formula` is a piece of Python and is not taken; its
//! default one and `bantime.multipliers` are here. `bantime.overalljails` decides whose bans
//! count as earlier ones; as there is one jail, all are its own and both values of the option
//! mean the same.

use std::time::Duration;

use super::policy::Bantime;

#[derive(Clone, Debug, PartialEq)]
pub struct Increment {
    pub enabled: bool,
    pub factor: f64,
    /// Used by the number of earlier bans; the last one is for all that are more. Where there
    /// are none the ban doubles with each earlier one.
    pub multipliers: Vec<f64>,
    /// No ban that was made longer is longer than this, `rndtime` not included.
    pub maxtime: Option<Duration>,
    /// Up to this much is added at random.
    pub rndtime: Duration,
}

impl Default for Increment {
    fn default() -> Self {
        Self {
            enabled: false,
            factor: 1.0,
            multipliers: Vec::new(),
            maxtime: None,
            rndtime: Duration::ZERO,
        }
    }
}

/// Beyond that many earlier bans a ban grows no further.
const MOST_DOUBLINGS: u32 = 20;
/// A thousand years. Longer is not different, and would not fit a deadline.
const LONGEST: Duration = Duration::from_secs(1000 * 366 * 24 * 60 * 60);

impl Increment {
    /// How long the ban after `earlier` others lasts. `random` is at least 0 and below 1.
    pub(super) fn bantime(&self, bantime: Bantime, earlier: u32, random: f64) -> Bantime {
        let Bantime::For(span) = bantime else { return bantime };
        if !self.enabled || earlier == 0 {
            return bantime;
        }
        let mut secs = span.as_secs_f64() * self.multiplier(earlier) * self.factor;
        if let Some(maxtime) = self.maxtime {
            secs = secs.min(maxtime.as_secs_f64());
        }
        secs += self.rndtime.as_secs_f64() * random;
        let longer = Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or(LONGEST);
        Bantime::For(longer.min(LONGEST))
    }

    fn multiplier(&self, earlier: u32) -> f64 {
        let index = usize::try_from(earlier).unwrap_or(usize::MAX);
        match self.multipliers.last() {
            Some(&last) => self.multipliers.get(index).copied().unwrap_or(last),
            None => f64::from(1_u32 << earlier.min(MOST_DOUBLINGS)),
        }
    }

    /// How many failures one failure of somebody banned `earlier` times stands for: fail2ban
    /// counts 2 after the first ban, then 3, 5, 9 and so on, but never more than maxretry.
    pub(super) fn failures(&self, earlier: u32, maxretry: u32) -> u32 {
        if !self.enabled || earlier == 0 {
            return 1;
        }
        ((1_u32 << earlier.min(MOST_DOUBLINGS)) / 2 + 1).min(maxretry)
    }
}

/// At least 0 and below 1, by `seed` and what it is drawn for. A draw depends on nothing else,
/// so a replay with the same seed draws the same whatever happened to others in between.
pub(super) fn draw(seed: u64, of: impl IntoIterator<Item = u64>) -> f64 {
    let bits = of.into_iter().fold(mix(seed), |state, part| mix(state ^ part));
    // The upper 32 bits are plenty for a time of day to hide in.
    let upper = u32::try_from(bits >> 32).unwrap_or_default();
    f64::from(upper) / (f64::from(u32::MAX) + 1.0)
}

/// The output function of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Increment, LONGEST, draw};
    use crate::jail::Bantime;
    use std::time::Duration;

    fn secs(increment: &Increment, earlier: u32, random: f64) -> u64 {
        match increment.bantime(Bantime::For(Duration::from_secs(600)), earlier, random) {
            Bantime::For(span) => span.as_secs(),
            Bantime::Forever => u64::MAX,
        }
    }

    #[test]
    fn doubles_up_to_twenty_times() {
        let on = Increment { enabled: true, ..Increment::default() };
        let spans = [0, 1, 2, 3, 20, 99].map(|earlier| secs(&on, earlier, 0.0));
        assert_eq!(spans, [600, 1200, 2400, 4800, 600 << 20, 600 << 20]);
        assert_eq!(secs(&Increment::default(), 3, 0.9), 600, "it is off by default");
    }

    #[test]
    fn multipliers_stand_for_the_doubling_and_the_random_part_comes_after_the_limit() {
        let on = Increment {
            enabled: true,
            factor: 0.5,
            multipliers: vec![1.0, 5.0, 30.0],
            maxtime: Some(Duration::from_secs(5000)),
            rndtime: Duration::from_secs(100),
        };
        assert_eq!([0, 1, 2, 9].map(|earlier| secs(&on, earlier, 0.5)), [600, 1550, 5050, 5050]);
    }

    #[test]
    fn nonsense_factors_make_no_nonsense_times() {
        for factor in [f64::INFINITY, f64::NAN, -1.0, 1e300] {
            let on = Increment { enabled: true, factor, ..Increment::default() };
            assert!(secs(&on, 20, 0.0) <= LONGEST.as_secs(), "{factor}");
        }
    }

    #[test]
    fn draws_are_spread_and_repeatable() {
        let draws: Vec<f64> = (0..1000).map(|n| draw(7, [n])).collect();
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        let mean = draws.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
        assert_eq!(draw(7, [3]), draws[3]);
        assert_ne!(draw(8, [3]), draws[3]);
    }
}
