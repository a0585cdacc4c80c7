//! The JSON of the control socket and of `--format json`. Types of their own, so that the
//! inside can change without breaking a script.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{
    daemon::show,
    firewall::{Counters, Enforced},
    jail::{Bantime, Policy},
    store::Chronicle,
};

/// Most bans that the status names.
pub const MAX_SHOWN: usize = 100;

/// One ban. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// An address, or a network as `address/bits`.
    pub ip: String,
    pub jail: String,
    pub banned_at: String,
    /// `null` for a ban without end.
    pub expires_at: Option<String>,
    /// Failures that led to it; 0 for a ban by hand.
    pub attempts: u32,
    pub dropped_packets: u64,
    pub dropped_bytes: u64,
    /// When the last of those packets came; `null` where none has.
    pub last_seen: Option<String>,
}

impl Listed {
    #[must_use]
    pub fn new(jail: &str, ban: &Enforced) -> Self {
        Self {
            ip: show(&ban.order.subject),
            jail: jail.to_owned(),
            banned_at: ban.order.banned_at.to_string(),
            expires_at: ban.order.expires.map(|end| end.to_string()),
            attempts: ban.order.attempts,
            dropped_packets: ban.dropped_packets,
            dropped_bytes: ban.dropped_bytes,
            last_seen: ban.last_seen.map(|at| at.to_string()),
        }
    }
}

/// What was done in a time, and by which settings that are in force now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    pub policy: PolicyShown,
    #[serde(flatten)]
    pub chronicle: Chronicle,
}

/// The settings that decide who is banned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyShown {
    pub mode: String,
    pub maxretry: u32,
    /// `null` where probes are counted like everything else.
    pub maxretry_probe: Option<u32>,
    pub findtime_secs: u64,
    /// `null` for bans without end.
    pub bantime_secs: Option<u64>,
    pub increment: bool,
    pub ignore_authenticated_secs: u64,
    pub ipv6_prefix: u8,
}

impl PolicyShown {
    #[must_use]
    pub fn new(mode: &str, policy: &Policy) -> Self {
        Self {
            mode: mode.to_owned(),
            maxretry: policy.maxretry.get(),
            maxretry_probe: policy.maxretry_probe.map(NonZeroU32::get),
            findtime_secs: policy.findtime.as_secs(),
            bantime_secs: match policy.bantime {
                Bantime::For(span) => Some(span.as_secs()),
                Bantime::Forever => None,
            },
            increment: policy.increment.enabled,
            ignore_authenticated_secs: policy.ignore_authenticated.as_secs(),
            ipv6_prefix: policy.ipv6_prefix,
        }
    }
}

/// The daemon and its jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub jail: String,
    pub mode: String,
    pub maxretry: u32,
    pub findtime_secs: u64,
    /// `null` for bans without end.
    pub bantime_secs: Option<u64>,
    pub dry_run: bool,
    /// Interfaces the XDP program is attached to.
    pub interfaces: Vec<String>,
    pub logs: Vec<String>,
    pub lines: u64,
    /// How old the lines are that are being read; 0 when all logs have been read to their ends.
    pub lag_secs: u64,
    pub currently_failed: usize,
    pub total_failed: u64,
    pub currently_banned: usize,
    pub total_banned: u64,
    /// Bans that ended before their time because `max_bans` was reached.
    pub total_evicted: u64,
    /// Not more than [`MAX_SHOWN`] of them, those that end last first; `currently_banned` is
    /// how many there are, and the list of bans has them all.
    pub banned: Vec<String>,
    pub counters: CounterValues,
}

/// What the kernel counted since the program was first attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterValues {
    /// All that was dropped.
    pub dropped_packets: u64,
    pub dropped_bytes: u64,
    /// Of these: to a guarded TCP port.
    pub dropped_tcp: u64,
    /// To a guarded UDP port.
    pub dropped_udp: u64,
    /// Fragments that carry no port.
    pub dropped_fragment: u64,
    /// The port was behind too many headers to be looked for.
    pub dropped_hidden: u64,
    /// Those of `dropped_tcp` that were answered with a reset.
    pub answered_reset: u64,
    /// Neither TCP nor UDP, a later fragment, or not understood.
    pub passed_other: u64,
    /// To a port that is not guarded.
    pub passed_port: u64,
    /// To a guarded port, from a source that is not banned.
    pub passed_clean: u64,
    /// From a source whose ban has ended.
    pub passed_expired: u64,
    /// From a banned source on the allow list.
    pub passed_allowed: u64,
}

impl From<Counters> for CounterValues {
    fn from(counters: Counters) -> Self {
        Self {
            dropped_packets: counters.dropped_packets,
            dropped_bytes: counters.dropped_bytes,
            dropped_tcp: counters.dropped_tcp,
            dropped_udp: counters.dropped_udp,
            dropped_fragment: counters.dropped_fragment,
            dropped_hidden: counters.dropped_hidden,
            answered_reset: counters.answered_reset,
            passed_other: counters.passed_other,
            passed_port: counters.passed_port,
            passed_clean: counters.passed_clean,
            passed_expired: counters.passed_expired,
            passed_allowed: counters.passed_allowed,
        }
    }
}

/// What `doveblock top` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Top {
    pub status: Status,
    /// Bans that began last.
    pub newest: Vec<Listed>,
    /// Bans that end next.
    pub ending: Vec<Listed>,
    /// Those with most packets dropped.
    pub dropped: Vec<Listed>,
}

/// Why an address is banned, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// What was asked for.
    pub ip: String,
    /// What counts, and is banned, for it: of an IPv6 address its prefix.
    pub subject: String,
    /// `null` where it is not banned.
    pub ban: Option<BanInForce>,
    /// A wider network that is banned, and with it this.
    pub covered_by: Option<String>,
    /// Bans before, as far as they are remembered.
    pub earlier_bans: u32,
    /// How and when the last of them ended.
    pub last_ended: Option<Ended>,
    /// Failures that count by now.
    pub failures: Option<FailuresNow>,
    pub findtime_secs: u64,
    /// The last login from there, while silent probes are forgiven for it.
    pub login: Option<LastLogin>,
    /// Why it is never banned.
    pub never_banned: Option<String>,
    /// Why it is not banned, in plain words; empty where it is.
    pub why_not: Vec<String>,
    /// What led here, the oldest first. Text of clients is in it as it was written.
    pub lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanInForce {
    pub banned_at: String,
    pub expires_at: Option<String>,
    pub attempts: u32,
    /// The rule that the last failure broke, or that it was done by hand.
    pub cause: String,
    pub dropped_packets: u64,
    pub dropped_bytes: u64,
    pub last_seen: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub at: String,
    pub how: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailuresNow {
    pub count: u32,
    pub maxretry: u32,
    pub first: String,
    pub last: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastLogin {
    pub at: String,
    /// `null` where only the time is remembered.
    pub user: Option<String>,
    pub line: Option<String>,
}

/// A line of the log, or something that was done by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub at: String,
    pub ip: String,
    pub rule: String,
    /// What came of it.
    pub verdict: String,
    pub line: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanManyRequest {
    /// Addresses and networks.
    pub ips: Vec<String>,
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub bantime: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// All of them were banned, but for those that never are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BannedMany {
    pub banned: usize,
    pub expires_at: Option<String>,
    pub not_banned: Vec<NotBanned>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotBanned {
    pub ip: String,
    pub why: String,
}

/// The configuration was read again, and is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Options that are different now and take effect at the next start only.
    pub at_restart: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// An address or a network.
    pub ip: String,
    /// A time as in the configuration; the jail's bantime where it is missing.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub bantime: Option<String>,
    /// For the daemon's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Banned {
    /// What is banned: for an IPv6 address its prefix.
    pub ip: String,
    pub expires_at: Option<String>,
    /// Networks inside it that are never dropped all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<String>,
    /// A wider network that is banned too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered_by: Option<String>,
}

/// Exactly one of the three.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnbanRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ips: Option<Vec<String>>,
    #[serde(default)]
    pub all: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unbanned {
    /// Bans that were lifted.
    pub lifted: usize,
    /// A wider network that is still banned, and with it what was to be unbanned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered_by: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub error: String,
}
