//! Real users behind banned addresses, and who is better not banned.

use serde::Serialize;

use super::When;

/// Banned clients from which somebody logged in.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Hits {
    /// By the policy as it is.
    pub clients: Vec<UserHit>,
    pub clients_left_out: u64,
    /// By the same policy with `ignore_authenticated = 0`: what that option saves. Empty for
    /// history.
    pub without_ignore_authenticated: Vec<UserHit>,
    pub without_ignore_authenticated_left_out: u64,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UserHit {
    pub subject: String,
    /// Who logged in, the first so many, in the order of their first login.
    pub users: Vec<String>,
    pub users_left_out: u64,
    pub logins: u64,
    pub first_login: When,
    pub last_login: When,
    pub bans: u64,
    pub first_ban: When,
    pub failures: u64,
    /// Logins while the address would have been banned. `None` where that is not known.
    pub locked_out: Option<u64>,
}

/// What a client looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Connects at regular intervals.
    Monitoring,
    /// Many users log in from it: NAT, a webmail server, a VPN.
    Gateway,
}

/// A client that is better not banned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recognised {
    pub subject: String,
    pub kind: Kind,
    /// By what it was recognised, in a sentence.
    pub reason: String,
    pub failures: u64,
    pub logins: u64,
    pub users: u64,
    /// Of the interval between its connections. `None` for gateways.
    pub interval_secs: Option<f64>,
    /// Whether the policy would have banned it.
    pub banned: bool,
    /// Whether `ignoreip` holds it already.
    pub ignored: bool,
    /// A line for the configuration: `ignoreip = …`.
    pub ignoreip: String,
}
