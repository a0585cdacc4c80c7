//! The settings that a report is about.

use serde::Serialize;

/// A policy, as the configuration would state it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyInForce {
    pub mode: &'static str,
    pub maxretry: u32,
    /// Of probes, where that differs.
    pub maxretry_probe: Option<u32>,
    pub findtime: u64,
    /// `None` is for ever.
    pub bantime: Option<u64>,
    /// `bantime.increment`
    pub increment: bool,
    pub ignore_authenticated: u64,
    pub ipv6_prefix: u8,
    /// As it was given.
    pub ignoreip: Vec<String>,
}

/// One option that a recommendation changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    pub option: &'static str,
    pub from: String,
    pub to: String,
}
