//! The rules by name. This table is what `doveblock regex` counts by and what a ban names
//! as its reason.

use std::fmt;

/// Which lines count, with fail2ban's meaning: aggressive is normal and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Failed authentication.
    Normal,
    /// Clients that never tried to authenticate as well: probes and scanners.
    Aggressive,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Aggressive => "aggressive",
        })
    }
}

/// A named reason to count a line against an address.
#[derive(Debug, PartialEq)]
pub struct Rule {
    /// Stable, for configuration, metrics and reports.
    pub name: &'static str,
    /// The lowest mode in which the rule counts.
    pub mode: Mode,
    /// Where the wording comes from.
    pub source: &'static str,
    /// A line as a daemon wrote it.
    pub example: &'static str,
}

pub static RULES: &[Rule] = &[Rule {
    name: "no-auth-attempts",
    mode: Mode::Aggressive,
    source: "Dovecot 2.3 src/login-common/client-common.c",
    example: "managesieve-login: Disconnected: Connection closed (no auth attempts in 2 secs): user=<>, rip=192.0.2.7, lip=192.0.2.1, session=<>",
}];
