//! Earlier bans, for `bantime.increment`.
//!
//! fail2ban keeps one row per address: how many bans, when the last one began and how long it
//! was. It purges the row once that began longer ago than `dbpurgeage` and three times its
//! length. The jail does the same and asks at each use, so that the outcome does not depend on
//! when somebody sweeps.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{key::Key, limit::Limit, lru::Lru};
use crate::time::LogTime;

/// What is known of the earlier bans of one client: what a store keeps, and what
/// [`super::Jail::remember`] takes back after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    pub subject: IpNet,
    pub bans: u32,
    /// When the last ban began.
    pub at: LogTime,
    /// When it ends or ended, to the second; `None` for one without end.
    pub end: Option<LogTime>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Past {
    pub(super) bans: u32,
    pub(super) at: LogTime,
    /// Of the last ban, rounded; [`FOREVER`] where it has no end.
    length_secs: u32,
}

/// A length of 136 years.
const FOREVER: u32 = u32::MAX;

/// Bounded: the client whose last ban was noted longest ago is forgotten first.
pub(super) struct Histories {
    by_subject: Lru<Key, Past>,
    limit: Limit,
}

impl Histories {
    pub(super) fn new(capacity: usize) -> Self {
        let limit = Limit::new(capacity, "clients that were banned before");
        Self { by_subject: Lru::new(), limit }
    }

    /// What is known of `key`, unless that is too old.
    pub(super) fn of(&self, key: &Key, now: LogTime, purge: Duration) -> Option<Past> {
        self.by_subject.get(key).filter(|past| !past.is_purged(now, purge)).copied()
    }

    pub(super) fn note(&mut self, key: Key, bans: u32, at: LogTime, end: Option<LogTime>) {
        self.limit.make_room(&mut self.by_subject, &key);
        let length = end.map(|end| end.since(at).as_secs());
        let length_secs = length.and_then(|secs| u32::try_from(secs).ok()).unwrap_or(FOREVER);
        self.by_subject.insert(key, Past { bans, at, length_secs });
    }

    /// A ban that should not have been.
    pub(super) fn take_back(&mut self, key: &Key) {
        match self.by_subject.get_mut(key) {
            Some(past) if past.bans > 1 => past.bans -= 1,
            _ => self.forget(key),
        }
    }

    pub(super) fn forget(&mut self, key: &Key) {
        self.by_subject.remove(key);
    }

    pub(super) fn expire(&mut self, now: LogTime, purge: Duration) {
        self.by_subject.expire(|past| past.is_purged(now, purge));
    }

    pub(super) fn table(&mut self) -> &mut Lru<Key, Past> {
        &mut self.by_subject
    }

    pub(super) fn history(&self, key: &Key) -> Option<History> {
        self.by_subject.get(key).map(|past| past.history(*key))
    }

    pub(super) fn iter(&self, now: LogTime, purge: Duration) -> impl Iterator<Item = History> {
        let known = self.by_subject.iter().filter(move |(_, past)| !past.is_purged(now, purge));
        known.map(|(key, past)| past.history(*key))
    }
}

impl Past {
    fn length(self) -> Option<Duration> {
        (self.length_secs != FOREVER).then(|| Duration::from_secs(self.length_secs.into()))
    }

    fn history(&self, key: Key) -> History {
        let end = self.length().map(|length| self.at.after(length));
        History { subject: key.into(), bans: self.bans, at: self.at, end }
    }

    fn is_purged(&self, now: LogTime, purge: Duration) -> bool {
        let thrice = self.length().map(|length| length.saturating_mul(3));
        thrice.is_some_and(|thrice| self.at.after(thrice) < now.before(purge))
    }
}
