//! What is to be tried.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::{
    dovecot::Mode,
    jail::{Bantime, IgnoreList, Policy},
};

/// The columns of a sweep, besides the maxretry asked for.
const MAXRETRY: [u32; 6] = [1, 2, 3, 5, 10, 20];
/// Its rows, besides the findtime asked for; in minutes.
const FINDTIME_MINUTES: [u64; 4] = [10, 60, 6 * 60, 24 * 60];
/// In minutes, besides the bantime asked for.
const BANTIME_MINUTES: [u64; 4] = [10, 60, 24 * 60, 7 * 24 * 60];

/// What is to be tried.
#[derive(Clone, Debug)]
pub struct Plan {
    pub mode: Mode,
    pub policy: Policy,
    pub ignore: IgnoreList,
    /// `ignoreip` as it was given.
    pub ignoreip: Vec<String>,
    /// Of the hours of the day in the report.
    pub zone: TimeZone,
    /// Whether every line counts, also those that a ban would have prevented: what the daemon
    /// does when it catches up with that very log.
    pub as_logged: bool,
    /// Whether other settings are tried too.
    pub sweep: bool,
    /// How many threads judge by the policies.
    pub threads: usize,
}

/// The settings of a sweep.
pub(super) struct Grid {
    pub(super) maxretry: Vec<u32>,
    pub(super) findtime: Vec<Duration>,
    pub(super) bantimes: Vec<Bantime>,
}

impl Plan {
    pub(super) fn grid(&self) -> Grid {
        let Policy { maxretry, findtime, bantime, .. } = &self.policy;
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let mut columns = MAXRETRY.to_vec();
        columns.push(maxretry.get());
        columns.sort_unstable();
        columns.dedup();
        let mut rows: Vec<Duration> = FINDTIME_MINUTES.map(minutes).to_vec();
        rows.push(*findtime);
        rows.sort_unstable();
        rows.dedup();
        let mut spans: Vec<Duration> = BANTIME_MINUTES.map(minutes).to_vec();
        if let Bantime::For(span) = bantime {
            spans.push(*span);
        }
        spans.sort_unstable();
        spans.dedup();
        let mut bantimes: Vec<Bantime> = spans.into_iter().map(Bantime::For).collect();
        if *bantime == Bantime::Forever {
            bantimes.push(Bantime::Forever);
        }
        Grid { maxretry: columns, findtime: rows, bantimes }
    }
}
