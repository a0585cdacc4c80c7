//! One log line in, what it says about an address out.
//!
//! Performs no I/O, reads no clock, and does not know that bans exist. Everything on a line
//! that a client can influence (user names above all) is hostile input here: each parser
//! says which bytes it trusts, and why a client cannot put them there.

mod auth;
mod clock;
mod event;
mod gate;
mod login;
mod prefix;
mod recent;
mod rules;
mod scan;
mod session;
mod timestamp;

use jiff::tz::TimeZone;

use crate::time::LogTime;
use clock::LineClock;
use gate::Gate;
use prefix::Service;
use recent::Recent;
use timestamp::Stamp;

pub use event::{Event, Judgement};
pub use rules::{Mode, RULES, Rule, UnknownMode};
pub use timestamp::Layout;

/// Judges lines by the rules of one mode. Remembers nothing about addresses; the only state
/// is a cache of the time zone's offset.
pub struct Judge {
    mode: Mode,
    clock: LineClock,
    gate: Gate,
}

impl Judge {
    /// `zone` is the one in which timestamps without an offset were written.
    #[must_use]
    pub fn new(mode: Mode, zone: TimeZone) -> Self {
        Self { mode, clock: LineClock::new(zone), gate: Gate::default() }
    }

    /// What `line` (without its newline) says. `now` settles the year of dates without one.
    pub fn judge(&mut self, line: &[u8], now: LogTime) -> Judgement {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(prefix) = prefix::split(line) else {
            let stamp = prefix::stamp(line).map(|(stamp, _)| stamp);
            return self.judgement(stamp, None, now);
        };
        let event = match prefix.service {
            Service::Login => login::judge(prefix.message),
            Service::Auth => auth::judge(prefix.message),
            Service::Pam => auth::judge_pam(prefix.message),
            Service::Other => None,
        };
        let counts = |event: &Event| match event {
            Event::Failure { rule, .. } => rule.mode <= self.mode,
            Event::Login { .. } => true,
        };
        self.judgement(prefix.stamp, event.filter(counts), now)
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
            let judgement = match passing.is_any_in(start, start + len) {
                true => self.judge(line, now),
                false => match recent.get(line) {
                    Some(judgement) => judgement,
                    None => self.innocent(line, now, &mut recent),
                },
            };
            each(line, &judgement)?;
            start += len + 1;
        }
        Ok(())
    }

    /// The judgement on a line of which nothing but its timestamp is of interest.
    fn innocent(&mut self, line: &[u8], now: LogTime, recent: &mut Recent) -> Judgement {
        match prefix::stamp(line) {
            Some((stamp, rest)) => {
                let judgement = self.judgement(Some(stamp), None, now);
                recent.put(line, rest, judgement);
                judgement
            }
            None => self.judgement(None, None, now),
        }
    }

    fn judgement(&mut self, stamp: Option<Stamp>, event: Option<Event>, now: LogTime) -> Judgement {
        let time = stamp.and_then(|stamp| self.clock.resolve(&stamp, now));
        Judgement { time, layout: stamp.filter(|_| time.is_some()).map(|it| it.layout), event }
    }
}

#[cfg(test)]
mod tests;
