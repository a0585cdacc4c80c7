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
mod name;
mod parts;
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

pub use event::{Event, Failure, Guesses, Judgement, Login, Passdb, Session};
pub use login::login_user;
pub use name::{Name, SEED_LEN, random_seed};
pub use parts::{Parts, parts};
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
/// is about time: which of its hours has come twice, and timestamps that were just read.
pub struct Judge {
    mode: Mode,
    session_check: SessionCheck,
    clock: LineClock,
    recent: Recent,
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
        let (clock, recent, gate) = (LineClock::new(zone), Recent::default(), Gate::default());
        Self { mode, session_check, clock, recent, gate, rules: true, filter: None }
    }

    /// For one of several that share a log, and who sees only some of its lines. See
    /// [`Judge::each_line`].
    #[must_use]
    pub fn out_of_order(self) -> Self {
        Self { clock: self.clock.out_of_order(), ..self }
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
    ///
    /// Returns how many bytes of the chunk have been judged, which is all of them, unless this
    /// judge sees the log [out of order](Judge::out_of_order): then it stops before a line whose
    /// time only those before it can tell, because DST repeats its hour.
    pub fn each_line<E>(
        &mut self,
        chunk: &[u8],
        now: LogTime,
        mut each: impl FnMut(&[u8], &Judgement) -> Result<(), E>,
    ) -> Result<usize, E> {
        let gate = self.gate.clone();
        let mut passing = gate.over(chunk);
        let mut start = 0;
        while let Some(rest) = chunk.get(start..).filter(|rest| !rest.is_empty()) {
            let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..len).unwrap_or(rest);
            let passes = passing.is_any_in(start, start + len);
            if !passes
                && self.filter.is_none()
                && let Some((judgement, _)) = self.recent.get(line, now)
            {
                each(line, judgement)?;
            } else {
                let judgement = match passes {
                    true => self.by_rules(without_cr(line), now),
                    false => self.innocent(line, now).0,
                };
                if self.clock.take_undecided() {
                    return Ok(start);
                }
                // The admin's patterns can be about any line.
                each(line, &self.by_patterns(line, judgement))?;
            }
            start += len + 1;
        }
        Ok(chunk.len())
    }

    /// The judgement on a line of which nothing but its timestamp is of interest, and what
    /// follows that; nothing where its date does not exist.
    fn innocent<'l>(&mut self, line: &'l [u8], now: LogTime) -> (Judgement, Option<&'l [u8]>) {
        if let Some((judgement, rest)) = self.recent.get(line, now) {
            return (*judgement, Some(rest));
        }
        let Some((stamp, rest)) = prefix::stamp(line) else {
            return (NOTHING, Some(prefix::undated(line)));
        };
        let Some(time) = self.clock.resolve(&stamp, now) else { return (NOTHING, None) };
        let judgement = Judgement { time: Some(time), layout: Some(stamp.layout()), ..NOTHING };
        if !self.clock.is_repeated() {
            self.recent.put(line, rest, &judgement, now);
        }
        (judgement, Some(rest))
    }

    /// What the admin's patterns make of what the rules say of `line`.
    fn by_patterns(&mut self, line: &[u8], judgement: Judgement) -> Judgement {
        match &mut self.filter {
            None => judgement,
            Some(filter) => match json::object(line).and_then(json::as_syslog) {
                Some(text) => custom::judge(filter, &text, judgement),
                None => custom::judge(filter, without_cr(line), judgement),
            },
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
        // An event at a date that does not exist is none: it must not be taken for a new one.
        let (judgement, Some(rest)) = self.innocent(line, now) else { return NOTHING };
        // The end of a line says whose it is, and that of one so long was cut off on its way.
        if line.len() >= CUT_AT {
            return judgement;
        }
        let (_, is_rfc_5424) = prefix::priority(line);
        let prefix = prefix::behind_stamp(rest, is_rfc_5424);
        Judgement { event: prefix.and_then(|prefix| self.event(&prefix)), ..judgement }
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
            login @ (Event::Login(_) | Event::MasterLogin(_)) => Some(login),
        }
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests;
