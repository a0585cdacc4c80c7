//! One log line in, what it says about an address out.
//!
//! Performs no I/O, reads no clock, and does not know that bans exist. Everything on a line
//! that a client can influence (user names above all) is hostile input here: each parser
//! says which bytes it trusts, and why a client cannot put them there.

mod auth;
mod clock;
mod custom;
mod event;
mod gate;
mod json;
mod login;
mod prefix;
mod recent;
mod rules;
mod scan;
mod session;
mod timestamp;

use jiff::tz::TimeZone;

use crate::{filter::Filter, time::LogTime};
use clock::LineClock;
use gate::Gate;
use prefix::{Prefix, Service};
use recent::Recent;
use timestamp::Stamp;

pub use event::{Event, Failure, Guesses, Judgement, Passdb, Session};
pub use rules::{
    FAILREGEX, GUESS_WORDS, LOGIN_WORDS, Mode, PROXIED_WORDS, Place, RULES, Rule, UnknownMode,
};
pub use timestamp::Layout;

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
    gate: Gate,
    /// Whether the built-in rules count.
    rules: bool,
    /// Boxed, so that a judge without one stays small.
    filter: Option<Box<Filter>>,
}

const NOTHING: Judgement = Judgement { time: None, layout: None, event: None, is_ignored: false };

impl Judge {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { mode, zone, session_check } = settings;
        let (clock, gate) = (LineClock::new(zone), Gate::default());
        Self { mode, session_check, clock, gate, rules: true, filter: None }
    }

    /// Judges by the admin's own patterns as well, or, without `rules`, instead: then the
    /// built-in ones only tell who logged in.
    #[must_use]
    pub fn with_filter(self, filter: Filter, rules: bool) -> Self {
        Self { filter: (!filter.is_empty()).then(|| Box::new(filter)), rules, ..self }
    }

    /// What `line` (without its newline) says. `now` settles the year of dates without one.
    pub fn judge(&mut self, line: &[u8], now: LogTime) -> Judgement {
        let judgement = self.by_rules(without_cr(line), now);
        self.by_patterns(line, judgement)
    }

    /// Hands each line of `chunk`, and what [`Judge::judge`] says of it, to `each`. Costs a
    /// fraction of that on a real log, where most lines are innocent.
    pub fn each_line<E>(
        &mut self,
        chunk: &[u8],
        now: LogTime,
        mut each: impl FnMut(&[u8], &Judgement) -> Result<(), E>,
    ) -> Result<(), E> {
        let gate = self.gate.clone();
        let mut passing = gate.over(chunk);
        let mut recent = Recent::default();
        let mut start = 0;
        while let Some(rest) = chunk.get(start..).filter(|rest| !rest.is_empty()) {
            let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..len).unwrap_or(rest);
            let judgement = match (passing.is_any_in(start, start + len), recent.get(line)) {
                (true, _) => self.by_rules(without_cr(line), now),
                (false, Some(judgement)) => judgement,
                (false, None) => self.innocent(line, now, &mut recent),
            };
            // The admin's patterns can be about any line.
            let judgement = self.by_patterns(line, judgement);
            each(line, &judgement)?;
            start += len + 1;
        }
        Ok(())
    }

    /// The judgement on a line of which nothing but its timestamp is of interest.
    fn innocent(&mut self, line: &[u8], now: LogTime, recent: &mut Recent) -> Judgement {
        let Some((stamp, rest)) = prefix::stamp(line) else { return NOTHING };
        let judgement = self.dated(Some(&stamp), None, now);
        recent.put(line, rest, judgement);
        judgement
    }

    /// What the admin's patterns make of what the rules say of `line`.
    fn by_patterns(&mut self, line: &[u8], judgement: Judgement) -> Judgement {
        match &mut self.filter {
            None => judgement,
            Some(filter) => custom::judge(filter, without_cr(line), judgement),
        }
    }

    fn by_rules(&mut self, line: &[u8], now: LogTime) -> Judgement {
        if let Some(object) = json::object(line) {
            let Some(record) = json::record(object) else { return NOTHING };
            let time = record.micros.map(LogTime::from_micros);
            let layout = time.map(|_| Layout::Journal);
            let prefix = prefix::of_program(&record.identifier, &record.message, None);
            let event = prefix.and_then(|prefix| self.event(&prefix));
            return Judgement { time, layout, event, ..NOTHING };
        }
        let Some(prefix) = prefix::split(line) else {
            let stamp = prefix::stamp(line).map(|(stamp, _)| stamp);
            return self.dated(stamp.as_ref(), None, now);
        };
        // The end of a line says whose it is, and that of one so long was cut off on its way.
        let event = if line.len() < CUT_AT { self.event(&prefix) } else { None };
        self.dated(prefix.stamp.as_ref(), event, now)
    }

    /// An event at a date that does not exist is none: it must not be taken for a new one.
    fn dated(&mut self, stamp: Option<&Stamp>, event: Option<Event>, now: LogTime) -> Judgement {
        let Some(stamp) = stamp else { return Judgement { event, ..NOTHING } };
        match self.clock.resolve(stamp, now) {
            Some(time) => {
                Judgement { time: Some(time), layout: Some(stamp.layout()), event, ..NOTHING }
            }
            None => NOTHING,
        }
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

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests;
