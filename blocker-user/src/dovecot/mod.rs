//! One log line in, what it says about an address out.
//!
//! Performs no I/O, reads no clock, and does not know that bans exist. Everything on a line
//! that a client can influence (user names above all) is hostile input here: each parser
//! says which bytes it trusts, and why a client cannot put them there.

mod auth;
mod clock;
mod custom;
mod event;
mod json;
mod login;
mod prefix;
mod rules;
mod scan;
mod session;
mod timestamp;

use jiff::tz::TimeZone;

use crate::{filter::Filter, time::LogTime};
use clock::LineClock;
use prefix::{Prefix, Service};

pub use event::{Event, Failure, Guesses, Judgement, Passdb, Session};
pub use rules::{LOGIN_WORDS, Mode, Place, RULES, Rule, UnknownMode};

/// Longer lines arrive without their end. Dovecot's own limit for a line is far below.
pub(crate) const CUT_AT: usize = 64 * 1024;

/// What a mismatch between a line's address and the address inside its session id means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionCheck {
    /// Nothing: anonymised logs change the one and keep the other, and behind a proxy in
    /// `login_trusted_networks` the id is made before the client's address is known.
    #[default]
    Tolerant,
    /// That the line is not believed.
    Strict,
}

/// How lines are to be judged.
#[derive(Clone, Debug)]
pub struct Settings {
    pub mode: Mode,
    /// The zone in which timestamps without an offset were written.
    pub zone: TimeZone,
    pub session_check: SessionCheck,
}

/// Judges lines by the rules of one mode. Remembers nothing about addresses; the only state
/// is a cache of the time zone's offset.
pub struct Judge {
    mode: Mode,
    session_check: SessionCheck,
    clock: LineClock,
    /// Whether the built-in rules count.
    rules: bool,
    /// Boxed, so that a judge without one stays small.
    filter: Option<Box<Filter>>,
}

impl Judge {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { mode, zone, session_check } = settings;
        Self { mode, session_check, clock: LineClock::new(zone), rules: true, filter: None }
    }

    /// Judges by the admin's own patterns as well, or, without `rules`, instead: then the
    /// built-in ones only tell who logged in.
    #[must_use]
    pub fn with_filter(self, filter: Filter, rules: bool) -> Self {
        Self { filter: (!filter.is_empty()).then(|| Box::new(filter)), rules, ..self }
    }

    /// What `line` (without its newline) says. `now` settles the year of dates without one.
    pub fn judge(&mut self, line: &[u8], now: LogTime) -> Judgement {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let judgement = self.by_rules(line, now);
        match &mut self.filter {
            None => judgement,
            Some(filter) => custom::judge(filter, &mut self.clock, line, now, judgement),
        }
    }

    fn by_rules(&mut self, line: &[u8], now: LogTime) -> Judgement {
        const NOTHING: Judgement = Judgement { time: None, event: None };
        if line.first() == Some(&b'{') {
            let Some(record) = json::record(line) else { return NOTHING };
            let time = record.micros.map(LogTime::from_micros);
            let prefix = prefix::of_program(&record.identifier, &record.message, None);
            return Judgement { time, event: prefix.and_then(|prefix| self.event(&prefix)) };
        }
        let Some(prefix) = prefix::split(line) else { return NOTHING };
        let time = match &prefix.stamp {
            // A date that does not exist is no reason to take the line for a new one.
            Some(stamp) => match self.clock.resolve(stamp, now) {
                Some(time) => Some(time),
                None => return NOTHING,
            },
            None => None,
        };
        // The end of a line says whose it is, and that of one so long was cut off on its way.
        let event = if line.len() < CUT_AT { self.event(&prefix) } else { None };
        Judgement { time, event }
    }

    fn event(&self, prefix: &Prefix<'_>) -> Option<Event> {
        let event = match prefix.service {
            Service::Login => login::judge(prefix.message, self.session_check),
            Service::Auth => auth::judge(prefix.message, self.session_check),
            Service::Pam => auth::judge_pam(prefix.message),
            Service::Other => None,
        };
        match event? {
            Event::Failure(failure) if !self.rules || failure.rule.mode > self.mode => None,
            Event::Failure(failure) => {
                Some(Event::Failure(Failure { repeated: prefix.repeated, ..failure }))
            }
            login @ Event::Login { .. } => Some(login),
        }
    }
}

#[cfg(test)]
mod tests;
