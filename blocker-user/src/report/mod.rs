//! What `simulate` and `report` found, as data: printed as text, as JSON (`--format json` is
//! this, field by field) and as a page. The field names are an interface; a change of their
//! meaning raises [`FORMAT`].
//!
//! Spans are in seconds, times in RFC 3339 (UTC). Of everything that an attacker can make
//! arbitrarily many of, a list holds the first so many, and a number beside it says how many
//! were left out.

mod hit;
mod policy;
mod series;
mod sweep;
mod when;

use serde::Serialize;

pub use hit::{Hits, Kind, Recognised, UserHit};
pub use policy::{Change, PolicyInForce};
pub use series::{Count, Hour, Series};
pub use sweep::{Cell, Recommendation, Sweep};
pub use when::When;

/// Raised when a field changes its meaning or goes away.
pub const FORMAT: u32 = 1;

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub format: u32,
    pub kind: Source,
    /// The version that wrote it.
    pub version: &'static str,
    pub made_at: When,
    /// Addresses and users are replaced.
    pub anonymized: bool,
    pub read: Read,
    /// What was tried, or is in force.
    pub policy: PolicyInForce,
    /// What it did, or would have done.
    pub effect: Effect,
    /// Every ban, the first so many of them in the order of time.
    pub bans: Vec<Ban>,
    pub bans_left_out: u64,
    /// Would-be-banned (or banned) clients from which users logged in.
    pub hits: Hits,
    /// Clients that are better not banned, each with a line that sees to it.
    pub recognised: Vec<Recognised>,
    /// The same policy with normal and with aggressive rules, in this order. Empty for history.
    pub modes: Vec<ModeEffect>,
    /// `None` for history, and where it was not asked for.
    pub sweep: Option<Sweep>,
    pub recommendation: Option<Recommendation>,
    pub series: Series,
    /// Failures and bans by the hour of the day, 24 of them, in `series.zone`.
    pub hours: Vec<Hour>,
    /// Clients with the most failures.
    pub top_sources: Vec<Top>,
    /// The same by /24 and /48.
    pub top_networks: Vec<Top>,
    /// Failures by rule, most first.
    pub rules: Vec<Count>,
    /// What the kernel dropped. `None` for a simulation.
    pub drops: Option<Drops>,
    /// What the reader has to know of its limits, in sentences.
    pub notes: Vec<String>,
}

/// Where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Logs that were replayed.
    Simulation,
    /// What the daemon did, from its own history.
    History,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Read {
    /// The logs in the order they were read in.
    pub logs: Vec<String>,
    pub lines: u64,
    /// Lines without a time that is understood.
    pub undated: u64,
    pub from: Option<When>,
    pub to: Option<When>,
    /// By the rules of both modes, whichever was asked for.
    pub failures: u64,
    pub logins: u64,
    /// Lines of login processes that tell of the end of a connection, and logins.
    pub connections: u64,
    /// How long those connections held a login process, as far as the lines tell.
    pub login_process_seconds: u64,
    /// Clients (addresses, or IPv6 prefixes) that failed, or logged in.
    pub clients: u64,
}

/// What a policy comes to on what was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Effect {
    pub bans: u64,
    pub banned_clients: u64,
    /// Clients that failed at least twice, from which nobody ever logged in, and that are not
    /// recognised as monitoring or as a gateway.
    pub attackers: u64,
    /// How many of those were banned.
    pub attackers_caught: u64,
    /// Lines of banned clients during their bans: what would not have been there.
    pub prevented_failures: u64,
    pub prevented_connections: u64,
    pub prevented_login_process_seconds: u64,
    /// Clients banned at least once from which a user logged in, at whatever time.
    pub clients_with_users_hit: u64,
    /// Names that logged in from those.
    pub users_hit: u64,
    /// Logins that happened while their address would have been banned.
    pub logins_locked_out: u64,
}

/// [`Effect`] of one mode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModeEffect {
    pub mode: &'static str,
    pub effect: Effect,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ban {
    /// An address, or a network with its prefix length.
    pub subject: String,
    /// The failure that was one too many.
    pub at: When,
    /// `None` for a ban without end.
    pub expires: Option<When>,
    /// By which rules the failures counted, most first.
    pub rules: Vec<String>,
    /// The rule of the last failure.
    pub cause: String,
    pub attempts: u32,
    /// Bans of this client before this one, in what was read.
    pub earlier_bans: u32,
    /// Failures of this client while it was in force. `None` where that is not known.
    pub prevented_failures: Option<u64>,
}

/// A client or network with many failures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Top {
    pub subject: String,
    pub failures: u64,
    pub bans: u64,
    pub logins: u64,
    /// Clients of a network that failed; 1 for a client.
    pub clients: u64,
    pub first: When,
    pub last: When,
}

/// What the XDP program counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Drops {
    pub packets: u64,
    pub bytes: u64,
}
