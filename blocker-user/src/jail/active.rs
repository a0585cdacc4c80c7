//! The bans in force, by subject and by end.

use std::collections::{BTreeSet, HashMap};

use ipnet::IpNet;

use crate::time::LogTime;

#[derive(Default)]
pub(super) struct Active {
    ends: HashMap<IpNet, Option<LogTime>>,
    /// Only bans that end.
    by_end: BTreeSet<(LogTime, IpNet)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    New,
    Longer,
    Unchanged,
}

impl Active {
    /// Adds a ban. The end of one in force only ever moves back: it is the later of the two.
    pub(super) fn add(&mut self, subject: IpNet, end: Option<LogTime>, now: LogTime) -> Added {
        let added = match self.ends.get(&subject) {
            Some(&Some(in_force)) if in_force <= now => Added::New,
            Some(None) => Added::Unchanged,
            Some(&Some(in_force)) if end.is_some_and(|end| end <= in_force) => Added::Unchanged,
            Some(Some(_)) => Added::Longer,
            None => Added::New,
        };
        if added != Added::Unchanged {
            self.set(subject, end);
        }
        added
    }

    /// Sets the end of a ban, whatever it was.
    pub(super) fn set(&mut self, subject: IpNet, end: Option<LogTime>) {
        self.remove(&subject);
        self.ends.insert(subject, end);
        if let Some(end) = end {
            self.by_end.insert((end, subject));
        }
    }

    pub(super) fn remove(&mut self, subject: &IpNet) {
        if let Some(Some(end)) = self.ends.remove(subject) {
            self.by_end.remove(&(end, *subject));
        }
    }

    pub(super) fn is_in_force(&self, subject: &IpNet, now: LogTime) -> bool {
        self.ends.get(subject).is_some_and(|end| end.is_none_or(|end| end > now))
    }

    /// Removes and returns the bans that have ended.
    pub(super) fn expire(&mut self, now: LogTime) -> Vec<IpNet> {
        let mut ended = Vec::new();
        while let Some(&(end, subject)) = self.by_end.first() {
            if end > now {
                break;
            }
            self.by_end.pop_first();
            self.ends.remove(&subject);
            ended.push(subject);
        }
        ended
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}
