//! Numbers that the pipeline keeps and other threads read.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::store::Totals;

/// Counts since there has been a database, or since the daemon started where it keeps none.
#[derive(Debug, Default)]
pub struct Stats {
    pub(super) lines: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) bans: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) currently_failed: AtomicUsize,
}

impl From<Totals> for Stats {
    fn from(totals: Totals) -> Self {
        let Totals { lines, failures, bans, evicted } = totals;
        Self {
            lines: lines.into(),
            failures: failures.into(),
            bans: bans.into(),
            evicted: evicted.into(),
            currently_failed: AtomicUsize::default(),
        }
    }
}

impl Stats {
    pub(super) fn totals(&self) -> Totals {
        Totals {
            lines: self.lines(),
            failures: self.total_failed(),
            bans: self.total_banned(),
            evicted: self.total_evicted(),
        }
    }

    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Failures that counted.
    pub fn total_failed(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub fn total_banned(&self) -> u64 {
        self.bans.load(Ordering::Relaxed)
    }

    /// Bans that ended before their time because `max_bans` was reached.
    pub fn total_evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Clients with failures inside findtime.
    pub fn currently_failed(&self) -> usize {
        self.currently_failed.load(Ordering::Relaxed)
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
