//! Counts over time.

use serde::Serialize;

use super::When;

/// Steps of equal length; the lists are equally long, one number for each step.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Series {
    pub from: Option<When>,
    pub step_secs: u64,
    /// The zone of `hours`, as `Europe/Berlin`, or `UTC`.
    pub zone: String,
    pub failures: Vec<u64>,
    /// Those of `failures` that bans would have prevented. Empty for history.
    pub prevented: Vec<u64>,
    /// Bans that began.
    pub bans: Vec<u64>,
    pub logins: Vec<u64>,
    /// Packets dropped. Empty for a simulation.
    pub drops: Vec<u64>,
}

/// Of one hour of the day, of all days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hour {
    pub failures: u64,
    pub bans: u64,
    pub logins: u64,
}

/// How often there was something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    pub name: String,
    pub count: u64,
}
