//! Who logged in lately: an address that real users come from is not banned for silent
//! probes, because their phones make those as well.

use std::{net::IpAddr, time::Duration};

use super::{key::Key, lru::Lru};
use crate::time::LogTime;

/// The last login per address. Bounded: the one noted longest ago is forgotten first.
pub(super) struct Logins {
    by_ip: Lru<Key, LogTime>,
    capacity: usize,
}

impl Logins {
    pub(super) fn new(capacity: usize) -> Self {
        Self { by_ip: Lru::new(), capacity: capacity.max(1) }
    }

    pub(super) fn note(&mut self, ip: IpAddr, at: LogTime, keep: Duration) {
        if keep.is_zero() {
            return;
        }
        let key = Key::from(ip);
        if let Some(latest) = self.by_ip.touch(&key) {
            *latest = at.max(*latest);
            return;
        }
        if self.by_ip.len() >= self.capacity {
            self.by_ip.pop_oldest();
        }
        self.by_ip.insert(key, at);
    }

    /// Whether somebody logged in from `ip` at most `span` before `at`. A login after `at`
    /// counts too: lines of one moment may come in any order.
    pub(super) fn within(&self, ip: IpAddr, at: LogTime, span: Duration) -> bool {
        let latest = self.by_ip.get(&Key::from(ip));
        !span.is_zero() && latest.is_some_and(|&login| login >= at.before(span))
    }

    pub(super) fn expire(&mut self, now: LogTime, span: Duration) {
        self.by_ip.expire(|&at| at < now.before(span));
    }
}
