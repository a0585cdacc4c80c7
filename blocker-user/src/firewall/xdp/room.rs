//! Which ban makes room when a map is full: the one that ends soonest. Nothing is kept while
//! there is room. The first ban for which there is none reads the whole map once and remembers
//! the soonest ends, enough for thousands of bans more.

use std::collections::BTreeSet;

use ipnet::IpNet;

/// Ends that one look at the map yields: what it costs is shared by as many bans.
const WINDOW: usize = 4096;

/// The soonest ends in one map, of a time when it was full.
#[derive(Default)]
pub(super) struct Soonest {
    /// Deadlines and who is banned until then. Some of them may have been prolonged or lifted
    /// since; that is for the map to say.
    ends: BTreeSet<(u32, IpNet)>,
    /// Every ban with an earlier deadline is among them.
    horizon: u32,
}

impl Soonest {
    /// Remembers the soonest of `bans`, which are all there are.
    pub(super) fn look(&mut self, bans: impl Iterator<Item = (u32, IpNet)>) {
        self.ends.clear();
        self.horizon = u32::MAX;
        for ban in bans {
            if self.ends.len() < WINDOW {
                self.ends.insert(ban);
            } else if self.ends.last().is_some_and(|last| ban < *last) {
                self.ends.pop_last();
                self.ends.insert(ban);
            }
        }
        if self.ends.len() >= WINDOW
            && let Some((last, _)) = self.ends.last()
        {
            self.horizon = *last;
        }
    }

    /// A ban was set that may end sooner than those.
    pub(super) fn set(&mut self, deadline: u32, subject: IpNet) {
        if self.ends.is_empty() || deadline >= self.horizon {
            return;
        }
        self.ends.insert((deadline, subject));
        if self.ends.len() > 2 * WINDOW {
            // Nobody has asked for a long time: there is room again.
            self.ends.clear();
        }
    }

    /// The soonest end; `None` when it takes another look to know.
    pub(super) fn take(&mut self) -> Option<(u32, IpNet)> {
        self.ends.pop_first()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{Soonest, WINDOW};
    use ipnet::IpNet;

    fn subject(number: u32) -> IpNet {
        IpNet::from(IpAddr::from(Ipv4Addr::from(number)))
    }

    #[test]
    fn the_soonest_come_first_however_they_are_read() {
        let mut soonest = Soonest::default();
        assert_eq!(soonest.take(), None);
        soonest.look((0..20_000_u32).map(|n| (n * 7919 % 20_000, subject(n))));
        for end in 0..u32::try_from(WINDOW).unwrap() {
            assert_eq!(soonest.take().map(|(deadline, _)| deadline), Some(end));
        }
        assert_eq!(soonest.take(), None);
    }

    #[test]
    fn a_ban_that_ends_sooner_than_the_known_ones_goes_before_them() {
        let mut soonest = Soonest::default();
        soonest.look((100..10_000).map(|n| (n, subject(n))));
        soonest.set(50, subject(1));
        soonest.set(9_000, subject(2));
        assert_eq!(soonest.take(), Some((50, subject(1))));
        assert_eq!(soonest.take(), Some((100, subject(100))));
    }

    #[test]
    fn permanent_bans_go_last() {
        let mut soonest = Soonest::default();
        soonest.look([(u32::MAX, subject(1)), (7, subject(2))].into_iter());
        assert_eq!([soonest.take(), soonest.take()].map(|end| end.unwrap().0), [7, u32::MAX]);
    }
}
