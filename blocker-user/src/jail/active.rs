//! The bans in force, by subject and by end.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{key::Key, lru::Lru, window::Evidence};
use crate::time::LogTime;

pub(super) struct Active {
    bans: Lru<Key, InForce>,
    /// Only bans that end.
    by_end: BTreeSet<(LogTime, Key)>,
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
            self.by_end.insert((end, key));
        }
    }

    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(ban) = self.bans.remove(key) {
            self.by_end.remove(&(ban.end, *key));
        }
    }

    /// Removes and returns the bans that have ended.
    pub(super) fn expire(&mut self, now: LogTime) -> Vec<IpNet> {
        let mut ended = Vec::new();
        while let Some(&(end, key)) = self.by_end.first() {
            if end >= now {
                break;
            }
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
