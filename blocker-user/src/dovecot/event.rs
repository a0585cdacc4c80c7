//! What a line says.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    dovecot::{Layout, Name, Rule},
    time::LogTime,
};

/// All that is known of one line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// When the line says it was written; `None` where no known timestamp leads it.
    pub time: Option<LogTime>,
    /// How that is written.
    pub layout: Option<Layout>,
    /// What it says about a client; `None` for every line that says nothing of interest.
    pub event: Option<Event>,
    /// Whether an ignoreregex matches it.
    pub is_ignored: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    Failure(Failure),
    Login(Login),
    /// A master's password was right: in a moment there is a login by this name, and it is the
    /// master's. Dovecot 2.3 does not say on which connection.
    MasterLogin(Name),
}

/// A user of `ip` logged in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Login {
    pub ip: IpAddr,
    pub session: Option<Session>,
    /// As whom.
    pub name: Option<Name>,
}

/// `ip` did what `rule` describes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failure {
    pub ip: IpAddr,
    pub rule: &'static Rule,
    /// The connection it happened on; several lines can tell of one.
    pub session: Option<Session>,
    pub guesses: Guesses,
    /// Whose password was guessed, the last one's where there were several guesses.
    pub name: Option<Name>,
    /// How long before the line was written the connection (or its last attempt) began, as
    /// far as the line says: Dovecot writes some lines minutes late.
    pub waited: Duration,
    /// How many such lines the log daemon folded into this one.
    pub repeated: NonZeroU32,
}

impl Failure {
    /// One of which no more is known than whose it is.
    #[must_use]
    pub fn new(ip: IpAddr, rule: &'static Rule) -> Self {
        Self {
            ip,
            rule,
            session: None,
            guesses: Guesses::Total(1),
            name: None,
            waited: Duration::ZERO,
            repeated: NonZeroU32::MIN,
        }
    }
}

/// How many guesses a line tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guesses {
    /// One, as one password database saw it while the connection lasts. Where there are
    /// several databases, each has a line of its own for the same guess.
    One { passdb: Passdb },
    /// All of a connection, told at its end: they include those that [`Guesses::One`] told
    /// of already. A probe counts as one guess.
    Total(u32),
}

/// Which password database a line is from; a number to compare, without further meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Passdb(u16);

impl Passdb {
    /// The number of a name: FNV-1a, folded, the same in every run.
    pub(in crate::dovecot) fn named(name: &[u8]) -> Self {
        const OFFSET_BASIS: u32 = 0x811c_9dc5;
        const PRIME: u32 = 0x0100_0193;
        let hash = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(PRIME);
        let [a, b, c, d] = name.iter().fold(OFFSET_BASIS, hash).to_be_bytes();
        Self(u16::from_be_bytes([a ^ c, b ^ d]))
    }
}

/// A connection: the part of its session id that the address does not repeat. Unique
/// together with the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session(pub(in crate::dovecot) u64);

impl Passdb {
    /// For events that come from elsewhere than a line.
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        Self(number)
    }
}

impl Session {
    /// All of it, for whoever keeps many.
    pub(crate) const fn to_bytes(self) -> [u8; 8] {
        self.0.to_ne_bytes()
    }

    /// For events that come from elsewhere than a line.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}
