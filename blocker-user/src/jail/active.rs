//! The bans in force, by subject and by end.

use std::{collections::BTreeSet, mem};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{key::Key, lru::Lru, window::Evidence};
use crate::time::LogTime;

pub(super) struct Active {
    bans: Lru<Key, InForce>,
    /// Only bans that end.
    by_end: BTreeSet<End>,
}

/// Orders as the time does. Bytes need no padding: a quarter of all that a tree would take.
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
        Self { bans: Lru::new(), by_end: BTreeSet::new() }
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
        self.remove(&key);
        let end = end.unwrap_or(FOREVER);
        self.bans.insert(key, InForce { end, evidence });
        if end != FOREVER {
            self.by_end.insert(End::new(end, key));
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
        let ends = mem::take(&mut self.by_end);
        for End { key, .. } in &ends {
            if let Some(ban) = self.bans.get_mut(key) {
                ban.end = LogTime::from_micros(ban.end.as_micros().saturating_add(micros));
            }
        }
        let end = |key| Some(End::new(self.bans.get(&key)?.end, key));
        self.by_end = ends.into_iter().filter_map(|ended| end(ended.key)).collect();
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
        if let Some(ban) = self.bans.remove(key) {
            self.by_end.remove(&End::new(ban.end, *key));
        }
    }

    /// Removes and returns the bans that have ended.
    pub(super) fn expire(&mut self, now: LogTime) -> Vec<IpNet> {
        let mut ended = Vec::new();
        while let Some(first) = self.by_end.first().filter(|first| first.time() < now) {
            let key = first.key;
            self.by_end.pop_first();
            self.bans.remove(&key);
            ended.push(key.into());
        }
        ended
    }

    pub(super) fn len(&self) -> usize {
        self.bans.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Key};
    use crate::time::LogTime;
    use std::net::IpAddr;

    #[test]
    fn ends_are_in_the_order_of_time() {
        let key = Key::from(IpAddr::from([192, 0, 2, 7]));
        let times = [i64::MIN, -300, -1, 0, 1, 255, 256, i64::MAX].map(LogTime::from_micros);
        let ends = times.map(|time| End::new(time, key));
        assert!(ends.is_sorted());
        assert_eq!(ends.map(End::time), times);
    }
}
