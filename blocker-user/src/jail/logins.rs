//! Who logged in lately: an address that real users come from is not banned for silent
//! probes, because their phones make those as well.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};

use crate::time::LogTime;

/// The last login per address. Bounded: the oldest login is forgotten first.
pub(super) struct Logins {
    by_ip: HashMap<IpAddr, LogTime>,
    by_time: BTreeSet<(LogTime, IpAddr)>,
    capacity: usize,
}

impl Logins {
    pub(super) fn new(capacity: usize) -> Self {
        Self { by_ip: HashMap::new(), by_time: BTreeSet::new(), capacity: capacity.max(1) }
    }

    pub(super) fn note(&mut self, ip: IpAddr, at: LogTime, keep: Duration) {
        if keep.is_zero() {
            return;
        }
        if let Some(&earlier) = self.by_ip.get(&ip) {
            if earlier >= at {
                return;
            }
            self.by_time.remove(&(earlier, ip));
        } else if self.by_ip.len() >= self.capacity
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.by_ip.remove(&oldest);
        }
        self.by_ip.insert(ip, at);
        self.by_time.insert((at, ip));
    }

    /// Whether somebody logged in from `ip` at most `span` before `at`. A login after `at`
    /// counts too: lines of one moment may come in any order.
    pub(super) fn within(&self, ip: IpAddr, at: LogTime, span: Duration) -> bool {
        !span.is_zero() && self.by_ip.get(&ip).is_some_and(|&login| login >= at.before(span))
    }

    pub(super) fn expire(&mut self, now: LogTime, span: Duration) {
        while let Some(&(at, ip)) = self.by_time.first() {
            if at >= now.before(span) {
                break;
            }
            self.by_time.pop_first();
            self.by_ip.remove(&ip);
        }
    }
}
