//! Who logged in lately: an address that real users come from is not banned for silent
//! probes, because their phones make those as well. "An address" is what failures are counted
//! for: of IPv6 the whole prefix, inside which a phone changes its address every day.

use std::{collections::VecDeque, mem, time::Duration};

use super::{key::Key, limit::Limit, lru::Lru};
use crate::{dovecot::Name, time::LogTime};

/// Dovecot says at once whom a master logs in as, and then logs him in.
const ANNOUNCED: Duration = Duration::from_secs(5);
/// More masters than log in within that time.
const MOST_MASTERS: usize = 16;

/// The last login per client. Bounded: the one noted longest ago is forgotten first.
pub(super) struct Logins {
    by_subject: Lru<Key, LogTime>,
    limit: Limit,
    /// As whom masters are about to log in, since when.
    masters: VecDeque<(Name, LogTime)>,
    masters_changed: bool,
}

impl Logins {
    pub(super) fn new(capacity: usize) -> Self {
        let masters = VecDeque::with_capacity(MOST_MASTERS);
        let limit = Limit::new(capacity, "clients that logged in");
        Self { by_subject: Lru::new(), limit, masters, masters_changed: true }
    }

    pub(super) fn note(&mut self, key: Key, at: LogTime, keep: Duration) {
        if keep.is_zero() {
            return;
        }
        if let Some(latest) = self.by_subject.touch(&key) {
            *latest = at.max(*latest);
            return;
        }
        self.limit.make_room(&mut self.by_subject, &key);
        self.by_subject.insert(key, at);
    }

    /// Whether somebody logged in from `key` at most `span` before `at`. A login after `at`
    /// counts too: lines of one moment may come in any order.
    pub(super) fn within(&self, key: &Key, at: LogTime, span: Duration) -> bool {
        let latest = self.by_subject.get(key);
        !span.is_zero() && latest.is_some_and(|&login| login >= at.before(span))
    }

    /// The last login from `key`, if that was at most `span` before `now`.
    pub(super) fn last(&self, key: &Key, now: LogTime, span: Duration) -> Option<LogTime> {
        self.by_subject.get(key).copied().filter(|_| self.within(key, now, span))
    }

    pub(super) fn table(&mut self) -> &mut Lru<Key, LogTime> {
        &mut self.by_subject
    }

    /// As whom masters are about to log in, since when, if that has changed since this was last
    /// asked.
    pub(super) fn changed_masters(&mut self) -> Option<&VecDeque<(Name, LogTime)>> {
        mem::take(&mut self.masters_changed).then_some(&self.masters)
    }

    pub(super) fn announce_master(&mut self, name: Name, at: LogTime) {
        if self.masters.len() == MOST_MASTERS {
            self.masters.pop_front();
        }
        self.masters.push_back((name, at));
        self.masters_changed = true;
    }

    /// Whether a login as `name` at `at` is the one that was announced. Each is one login's.
    pub(super) fn is_by_master(&mut self, name: Name, at: LogTime) -> bool {
        let is_it = |&(announced, since): &(Name, LogTime)| {
            announced.can_be(name) && since <= at.after(ANNOUNCED) && since >= at.before(ANNOUNCED)
        };
        let found = self.masters.iter().position(is_it);
        self.masters_changed |= found.is_some();
        found.is_some_and(|found| self.masters.remove(found).is_some())
    }

    pub(super) fn expire(&mut self, now: LogTime, span: Duration) {
        self.by_subject.expire(|&at| at < now.before(span));
    }
}
