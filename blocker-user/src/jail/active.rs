//! The bans in force, by subject and by end.

use std::{cmp::Reverse, collections::BinaryHeap};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{key::Key, lru::Lru, window::Evidence};
use crate::time::LogTime;

pub(super) struct Active {
    bans: Lru<Key, InForce>,
    /// The first on top, of bans that end; those too that were lifted since, or prolonged. A tree
    /// would forget these at once, and take twice the memory: it is half empty where ends come
    /// in their order, as they do.
    by_end: BinaryHeap<Reverse<End>>,
}

/// As many ends of bans that are not in force any more are not worth looking for.
const FEW: usize = 1024;

/// Orders as the time does. Bytes need no padding, a fifth of all this.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    time: [u8; 8],
    key: Key,
}

impl End {
    fn new(end: LogTime, key: Key) -> Self {
        // The sign bit turned over puts the times before 1970 first.
        Self { time: (end.as_micros() ^ i64::MIN).to_be_bytes(), key }
    }

    fn time(self) -> LogTime {
        LogTime::from_micros(i64::from_be_bytes(self.time) ^ i64::MIN)
    }

    /// Whether it is the end of `ban`, and not of an earlier one, or one that was prolonged.
    fn is_of(self, ban: &InForce) -> bool {
        self.time() == ban.end
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct InForce {
    /// [`FOREVER`] where there is none.
    end: LogTime,
    evidence: Evidence,
}

impl InForce {
    pub(super) fn evidence(&self) -> &Evidence {
        &self.evidence
    }
}

/// What an end may be off by because others know it in whole seconds.
const SAME_MICROS: u64 = 2_000_000;

/// An end that never comes. Half the size of an `Option`.
const FOREVER: LogTime = LogTime::from_micros(i64::MAX);

impl Active {
    pub(super) fn new() -> Self {
        Self { bans: Lru::new(), by_end: BinaryHeap::new() }
    }

    /// Whether a ban is in force. One whose end has passed is not, though nobody has been told
    /// of that yet; at its very end it is, as in fail2ban.
    pub(super) fn is_banned(&self, key: &Key, now: LogTime) -> bool {
        self.bans.get(key).is_some_and(|ban| ban.end >= now)
    }

    /// The end of the ban in force, if there is one.
    pub(super) fn end(&self, key: &Key, now: LogTime) -> Option<Option<LogTime>> {
        let ban = self.bans.get(key).filter(|ban| ban.end >= now)?;
        Some((ban.end != FOREVER).then_some(ban.end))
    }

    /// What the ban in force was decided on.
    pub(super) fn evidence(&mut self, key: &Key, now: LogTime) -> Option<&mut Evidence> {
        self.bans.get_mut(key).filter(|ban| ban.end >= now).map(|ban| &mut ban.evidence)
    }

    /// Adds more evidence to a ban in force, and moves its end back if `end` is later; `false`
    /// if it is not.
    pub(super) fn prolong(&mut self, key: Key, end: Option<LogTime>, more: Evidence) -> bool {
        let Some(ban) = self.bans.get_mut(&key) else { return false };
        let evidence = ban.evidence.with(more);
        ban.evidence = evidence;
        if end.unwrap_or(FOREVER) <= ban.end {
            return false;
        }
        self.set(key, end, evidence);
        true
    }

    /// Sets a ban, whatever was in force.
    pub(super) fn set(&mut self, key: Key, end: Option<LogTime>, evidence: Evidence) {
        let end = end.unwrap_or(FOREVER);
        self.bans.insert(key, InForce { end, evidence });
        if end != FOREVER {
            self.make_room();
            self.by_end.push(Reverse(End::new(end, key)));
        }
    }

    fn make_room(&mut self) {
        let Self { bans, by_end } = self;
        if by_end.len() > bans.len() + bans.len() / 4 + FEW {
            by_end.retain(|Reverse(end)| bans.get(&end.key).is_some_and(|ban| end.is_of(ban)));
        }
        if by_end.len() == by_end.capacity() {
            // Twice as much, which is the rule, would be half of it for nothing.
            by_end.reserve_exact(FEW + by_end.len() / 8);
        }
    }

    pub(super) fn is_known(&self, key: &Key) -> bool {
        self.bans.get(key).is_some()
    }

    /// Moves the end of a ban, for which there is the evidence that there was; `false` where
    /// there is no such ban.
    pub(super) fn set_end(&mut self, key: Key, end: Option<LogTime>) -> bool {
        let Some(ban) = self.bans.get(&key).copied() else { return false };
        let off = ban.end.as_micros().abs_diff(end.unwrap_or(FOREVER).as_micros());
        if off > SAME_MICROS {
            self.set(key, end, ban.evidence);
        }
        true
    }

    /// The clock by which ends are told was set forth by so much: the ends move with it.
    pub(super) fn shift(&mut self, micros: i64) {
        let ends = self.bans.iter().filter(|(_, ban)| ban.end != FOREVER);
        let keys: Vec<Key> = ends.map(|(key, _)| *key).collect();
        self.by_end.clear();
        for key in keys {
            let Some(ban) = self.bans.get_mut(&key) else { continue };
            ban.end = LogTime::from_micros(ban.end.as_micros().saturating_add(micros));
            self.by_end.push(Reverse(End::new(ban.end, key)));
        }
    }

    pub(super) fn table(&mut self) -> &mut Lru<Key, InForce> {
        &mut self.bans
    }

    pub(super) fn restore(&mut self, key: Key, ban: InForce) {
        self.set(key, (ban.end != FOREVER).then_some(ban.end), ban.evidence);
    }

    /// Bans that have not been removed, and their ends.
    pub(super) fn iter(&self) -> impl Iterator<Item = (IpNet, Option<LogTime>)> {
        self.bans.iter().map(|(key, ban)| ((*key).into(), (ban.end != FOREVER).then_some(ban.end)))
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.bans.remove(key);
    }

    /// Removes and returns the bans that have ended.
    pub(super) fn expire(&mut self, now: LogTime) -> Vec<IpNet> {
        let mut ended = Vec::new();
        while let Some(Reverse(first)) = self.by_end.peek().filter(|first| first.0.time() < now) {
            let first = *first;
            self.by_end.pop();
            if self.bans.get(&first.key).is_some_and(|ban| first.is_of(ban)) {
                self.bans.remove(&first.key);
                ended.push(first.key.into());
            }
        }
        if self.by_end.len() < self.by_end.capacity() / 4 {
            self.by_end.shrink_to(FEW + self.by_end.len() * 2);
        }
        ended
    }

    pub(super) fn len(&self) -> usize {
        self.bans.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Active, End, FEW, Key};
    use crate::{jail::window::Evidence, time::LogTime};
    use proptest::prelude::*;
    use std::{collections::BTreeMap, net::IpAddr};

    #[test]
    fn ends_are_in_the_order_of_time() {
        let key = Key::from(IpAddr::from([192, 0, 2, 7]));
        let times = [i64::MIN, -300, -1, 0, 1, 255, 256, i64::MAX].map(LogTime::from_micros);
        let ends = times.map(|time| End::new(time, key));
        assert!(ends.is_sorted());
        assert_eq!(ends.map(End::time), times);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u8, i64),
        Remove(u8),
        Shift(i64),
        Expire(i64),
    }

    fn key(client: u8) -> Key {
        Key::from(IpAddr::from([192, 0, 2, client]))
    }

    proptest! {
        /// Against a plain map. A time of 50 is none.
        #[test]
        fn what_ends_are_the_bans_in_force_that_are_over(steps in proptest::collection::vec(prop_oneof![
            4 => (0_u8..10, 0_i64..51).prop_map(|(client, end)| Step::Set(client, end)),
            1 => (0_u8..10).prop_map(Step::Remove),
            1 => (-9_i64..10).prop_map(Step::Shift),
            1 => (0_i64..50).prop_map(Step::Expire),
        ], 0..100)) {
            let mut active = Active::new();
            let mut bans = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Set(client, end) => {
                        let end = Some(end).filter(|end| *end < 50);
                        active.set(key(client), end.map(LogTime::from_secs), Evidence::NONE);
                        bans.insert(client, end);
                    }
                    Step::Remove(client) => {
                        active.remove(&key(client));
                        bans.remove(&client);
                    }
                    Step::Shift(by) => {
                        active.shift(by * 1_000_000);
                        bans.values_mut().flatten().for_each(|end| *end += by);
                    }
                    Step::Expire(now) => {
                        let ended = active.expire(LogTime::from_secs(now));
                        let is_over = |end: &Option<i64>| end.is_some_and(|end| end < now);
                        let expected: Vec<u8> =
                            bans.iter().filter(|(_, end)| is_over(end)).map(|(it, _)| *it).collect();
                        bans.retain(|_, end| !is_over(end));
                        let mut clients: Vec<Key> = ended.into_iter().map(Key::from).collect();
                        clients.sort();
                        prop_assert_eq!(clients, expected.into_iter().map(key).collect::<Vec<_>>());
                    }
                }
                prop_assert_eq!(active.len(), bans.len());
            }
        }
    }

    #[test]
    fn bans_that_are_prolonged_again_and_again_leave_no_more_than_a_few_ends() {
        let mut active = Active::new();
        for end in 0..100_000 {
            active.set(key(7), Some(LogTime::from_secs(end)), Evidence::NONE);
        }
        assert!(active.by_end.len() <= 2 * FEW, "{}", active.by_end.len());
        assert_eq!(active.expire(LogTime::from_secs(200_000)).len(), 1);
        assert!(active.by_end.is_empty());
    }
}
