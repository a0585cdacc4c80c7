//! One log line in, what it says about an address out.
//!
//! Performs no I/O, reads no clock, and does not know that bans exist. Everything on a line
//! that a client can influence (user names above all) is hostile input here: each parser
//! says which bytes it trusts, and why a client cannot put them there.

mod auth;
mod clock;
mod custom;
mod event;
mod login;
mod prefix;
mod rules;
mod scan;
mod session;
mod timestamp;

use jiff::tz::TimeZone;

use crate::{filter::Filter, time::LogTime};
use clock::LineClock;
use prefix::Service;

pub use event::{Event, Failure, Guesses, Judgement, Passdb, Session};
pub use rules::{Mode, RULES, Rule, UnknownMode};

/// Judges lines by the rules of one mode. Remembers nothing about addresses; the only state
/// is a cache of the time zone's offset.
pub struct Judge {
    mode: Mode,
    clock: LineClock,
    /// Boxed, so that a judge without one stays small.
    filter: Option<Box<Filter>>,
}

impl Judge {
    /// `zone` is the one in which timestamps without an offset were written.
    #[must_use]
    pub fn new(mode: Mode, zone: TimeZone) -> Self {
        Self { mode, clock: LineClock::new(zone), filter: None }
    }

    /// Judges by the admin's own patterns as well.
    #[must_use]
    pub fn with_filter(self, filter: Filter) -> Self {
        Self { filter: (!filter.is_empty()).then(|| Box::new(filter)), ..self }
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
        let Some(prefix) = prefix::split(line) else {
            return Judgement { time: None, event: None };
        };
        let event = match prefix.service {
            Service::Login => login::judge(prefix.message),
            Service::Auth => auth::judge(prefix.message),
            Service::Pam => auth::judge_pam(prefix.message),
            Service::Other => None,
        };
        let counts = |event: &Event| match event {
            Event::Failure(failure) => failure.rule.mode <= self.mode,
            Event::Login { .. } => true,
        };
        Judgement {
            time: prefix.stamp.and_then(|stamp| self.clock.resolve(&stamp, now)),
            event: event.filter(counts),
        }
    }
}

#[cfg(test)]
mod tests;
