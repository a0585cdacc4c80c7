//! Who logged in lately: an address that real users come from is not banned for silent
//! probes, because their phones make those as well. "An address" is what failures are counted
//! for: of IPv6 the whole prefix, inside which a phone changes its address every day.

use std::time::Duration;

use super::{key::Key, lru::Lru};
use crate::time::LogTime;

/// The last login per client. Bounded: the one noted longest ago is forgotten first.
pub(super) struct Logins {
    by_subject: Lru<Key, LogTime>,
    capacity: usize,
}

impl Logins {
    pub(super) fn new(capacity: usize) -> Self {
        Self { by_subject: Lru::new(), capacity: capacity.max(1) }
    }

    pub(super) fn note(&mut self, key: Key, at: LogTime, keep: Duration) {
        if keep.is_zero() {
            return;
        }
        if let Some(latest) = self.by_subject.touch(&key) {
            *latest = at.max(*latest);
            return;
        }
        if self.by_subject.len() >= self.capacity {
            self.by_subject.pop_oldest();
        }
        self.by_subject.insert(key, at);
    }

    /// Whether somebody logged in from `key` at most `span` before `at`. A login after `at`
    /// counts too: lines of one moment may come in any order.
    pub(super) fn within(&self, key: &Key, at: LogTime, span: Duration) -> bool {
        let latest = self.by_subject.get(key);
        !span.is_zero() && latest.is_some_and(|&login| login >= at.before(span))
    }

    pub(super) fn expire(&mut self, now: LogTime, span: Duration) {
        self.by_subject.expire(|&at| at < now.before(span));
    }
}
