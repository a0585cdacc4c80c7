//! The rules by name, and how the words on a line find theirs.
//!
//! [`RULES`] is data: what `doveblock rules` prints, what `regex` counts by, what a ban names
//! as its reason. A line is judged by a rule only if it holds one of that rule's words or
//! codes, so whatever wants to know cheaply that a line is of no interest can ask for those.

mod table;

use std::{fmt, str::FromStr};

pub use table::RULES;
pub(super) use table::{
    AUTH_FAILED, AUTH_NOT_READY, INPUT_BUFFER_FULL, NO_AUTH_ATTEMPTS, PAM_MODULE,
    PROXY_AUTH_FAILED, SASL_UNFINISHED, TLS_UNFINISHED, UNSUPPORTED_MECHANISM,
};

use super::scan::{behind, contains};

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

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a mode; there are normal and aggressive")]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "normal" => Ok(Self::Normal),
            "aggressive" => Ok(Self::Aggressive),
            _ => Err(UnknownMode(text.to_owned())),
        }
    }
}

/// Where on a line the words of a rule stand. Words elsewhere mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A login process's line: at the start of the parentheses that give the reason, or, for
    /// codes, in the parentheses behind those.
    Reason,
    /// A login process's line: anywhere in what it says of how the connection ended.
    Cause,
    /// A login process's line: its start, where no reason follows.
    Head,
    /// A line of the auth process: at the start of what the password database found.
    Verdict,
    /// A PAM module's own line.
    Pam,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reason => "reason",
            Self::Cause => "cause",
            Self::Head => "head",
            Self::Verdict => "verdict",
            Self::Pam => "pam",
        })
    }
}

/// What a login process's line about a login begins with, in 2.3 and 2.4.
pub static LOGIN_WORDS: [&str; 2] = ["Login: ", "Logged in: "];
/// What a proxy writes instead, behind `proxy(NAME,HOST:PORT): `, once that host has let the
/// client in.
pub static PROXIED_WORDS: [&str; 2] = ["Started proxying to ", "started proxying to "];

/// Behind which numbers a login process's line says how often a client guessed: several guesses
/// count as `auth-failed`, whatever words of another rule, or of none, the line ends on.
pub static GUESS_WORDS: [&str; 2] = [" successful auths", " attempts"];

/// A named reason to count a line against an address.
#[derive(Debug)]
pub struct Rule {
    /// Stable, for configuration, metrics and reports.
    pub name: &'static str,
    /// The lowest mode in which the rule counts.
    pub mode: Mode,
    pub place: Place,
    /// Dovecot's words, one of which must stand at the rule's place.
    pub words: &'static [&'static str],
    /// The event codes that Dovecot 2.4 writes behind the words. Where there is one, it is
    /// believed and the words are not read.
    pub codes: &'static [&'static str],
    /// Where the wording comes from.
    pub source: &'static str,
    /// A message of a real daemon, without timestamp and host.
    pub example: &'static str,
}

impl PartialEq for Rule {
    /// No two rules have the same name.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Not in the table: its words, and where they stand, are the admin's.
pub static FAILREGEX: Rule = Rule {
    name: "failregex",
    mode: Mode::Normal,
    place: Place::Cause,
    words: &[],
    codes: &[],
    source: "failregex of the configuration",
    example: "",
};

/// The rule for the words in parentheses that end a login process's message.
pub(super) fn by_reason(reason: &[u8]) -> Option<&'static Rule> {
    at(Place::Reason)
        .find(|rule| rule.words.iter().any(|words| behind(reason, words.as_bytes()).is_some()))
}

/// The rule for an event code of Dovecot 2.4. A code that is not in the table is a cause
/// that no client is to blame for, or one of a later version.
pub(super) fn by_code(code: &[u8]) -> Option<&'static Rule> {
    at(Place::Reason).find(|rule| rule.codes.iter().any(|known| known.as_bytes() == code))
}

/// The rule for the way in which a connection ended, reason and fields included.
pub(super) fn by_cause(cause: &[u8]) -> Option<&'static Rule> {
    at(Place::Cause).find(|rule| rule.words.iter().any(|words| contains(cause, words.as_bytes())))
}

/// What [`by_cause`] looks for.
pub(super) fn words_of_causes() -> impl Iterator<Item = &'static str> {
    at(Place::Cause).flat_map(|rule| rule.words.iter().copied())
}

/// The rule for a line that gives no reason but the way it begins.
pub(super) fn by_head(head: &[u8]) -> Option<&'static Rule> {
    at(Place::Head).find(|rule| rule.words.iter().any(|words| words.as_bytes() == head))
}

/// The rule for what a password database found, and the text behind its words.
pub(super) fn by_verdict(verdict: &[u8]) -> Option<(&'static Rule, &[u8])> {
    at(Place::Verdict).find_map(|rule| {
        let rest = rule.words.iter().find_map(|words| behind(verdict, words.as_bytes()))?;
        Some((rule, rest))
    })
}

fn at(place: Place) -> impl Iterator<Item = &'static Rule> {
    RULES.into_iter().filter(move |rule| rule.place == place)
}
