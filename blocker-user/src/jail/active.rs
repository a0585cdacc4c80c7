//! The bans in force, by subject and by end.

use std::collections::BTreeSet;

use ipnet::IpNet;

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

#[derive(Clone, Copy, Debug)]
struct InForce {
    /// [`FOREVER`] where there is none.
    end: LogTime,
    evidence: Evidence,
}

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
