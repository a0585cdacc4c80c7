//! The policy: failures and logins in, bans out.
//!
//! Performs no I/O and reads no clock. Time is an argument, so a month of log replays in
//! seconds with the verdicts it had live. Semantics are fail2ban's unless a comment says
//! otherwise; `tests/` holds the two against each other.

mod active;
mod history;
mod ignore;
mod increment;
mod key;
mod knowledge;
mod limit;
mod logins;
pub(crate) mod lru;
mod names;
mod outcome;
mod policy;
mod sessions;
mod state;
mod unsaved;
mod window;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    dovecot::{Failure, Guesses, Login, Mode, Name},
    time::LogTime,
};

use active::Active;
use history::Histories;
use key::Key;
use logins::Logins;
use policy::Share;
use sessions::{LoggedIn, Sessions, Source, Told};
use window::{Added, Counted, Evidence, LATEST, Moments, Windows};

pub use history::History;
pub use ignore::{IgnoreList, SparedBy};
pub use knowledge::{Failures, Knowledge};
pub use outcome::{Ban, LoginOutcome, Outcome, Spared};
pub use policy::{Bantime, Count, Increment, Policy};
pub use state::{Changes, FORMAT, Row, Table, Unreadable};

/// One jail: what is remembered about every address.
pub struct Jail {
    policy: Policy,
    seed: u64,
    ignore: IgnoreList,
    windows: Windows,
    sessions: Sessions,
    logins: Logins,
    active: Active,
    histories: Histories,
}

impl Jail {
    /// `seed` is where the randomness of `bantime.rndtime` comes from: the same seed and the
    /// same lines give the same bans.
    #[must_use]
    pub fn new(policy: Policy, ignore: IgnoreList, seed: u64) -> Self {
        Self {
            windows: Windows::new(policy.findtime, policy.count, policy.max_tracked),
            sessions: Sessions::new(policy.max_tracked),
            logins: Logins::new(policy.max_tracked),
            active: Active::new(),
            histories: Histories::new(policy.max_tracked),
            policy,
            seed,
            ignore,
        }
    }

    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Judges by another policy from here on; what is known stays. How many clients are
    /// remembered, and the length of IPv6 prefixes, do not change in a jail's life: entries
    /// are kept by that.
    pub fn set_policy(&mut self, policy: Policy) {
        let Policy { ipv6_prefix, max_tracked, .. } = self.policy;
        self.windows.set_rules(policy.findtime, policy.count);
        self.policy = Policy { ipv6_prefix, max_tracked, ..policy };
    }

    /// Replaces ignoreip and ignoreself. This host's own addresses stay known.
    pub fn set_ignore_list(&mut self, list: IgnoreList) {
        self.ignore.replace(list);
    }

    /// Takes note of a failure that the log dates to `at`; `now` is the time at which it is
    /// read.
    pub fn failure(&mut self, failure: &Failure, at: LogTime, now: LogTime) -> Outcome {
        let ip = failure.ip.to_canonical();
        // As fail2ban does: a clock that runs ahead must not let a ban end later.
        let at = at.min(now);
        if self.ignore.contains(ip) {
            return Outcome::Spared(Spared::Ignored);
        }
        // By the line's time whatever it tells of: it is the log that is read late here.
        if at < now.before(self.policy.findtime) {
            return Outcome::Spared(Spared::TooOld);
        }
        let mode = failure.rule.mode;
        let key = Key::from(self.policy.subject(ip));
        let authenticated = self.policy.ignore_authenticated;
        if mode == Mode::Aggressive && self.logins.within(&key, at, authenticated) {
            return Outcome::Spared(Spared::Authenticated);
        }
        let (guesses, moments) = match self.policy.count {
            Count::Lines => (1, Moments { from: at, to: at }),
            Count::Attempts => match self.sessions.failure(ip, failure, at) {
                Told::New(guesses) => (guesses, moments(failure, guesses, at)),
                Told::Known => return Outcome::Spared(Spared::Known),
                Told::LoggedIn => return Outcome::Spared(Spared::LoggedIn),
            },
        };
        let failed = Failed {
            key,
            guesses,
            moments,
            share: self.policy.share(mode),
            mode,
            // Probes are taken back together.
            source: Source::of(ip, failure).filter(|_| mode == Mode::Normal),
            at,
            now,
        };
        self.count(&failed)
    }

    /// Counts what was found to be new, twice or more for who was banned before.
    fn count(&mut self, failed: &Failed) -> Outcome {
        let Failed { key, guesses, share, at, .. } = *failed;
        let increment = &self.policy.increment;
        let past = self.histories.of(&key, failed.now, self.policy.dbpurgeage);
        // A failure before the last ban is one that led to it, read again.
        let earlier = past.filter(|past| at > past.at).map_or(0, |past| past.bans);
        let extra = increment.failures(earlier, share.maxretry).saturating_sub(1);

        let outcome = self.add(failed, guesses);
        let extra = extra.saturating_mul(guesses);
        // fail2ban counts these a moment after the first, and not if that was enough.
        match outcome {
            Outcome::Counted { .. } if extra > 0 => self.add(failed, extra),
            _ => outcome,
        }
    }

    fn add(&mut self, failed: &Failed, failures: u32) -> Outcome {
        let Failed { key, guesses, moments, share, mode, source, now, .. } = *failed;
        let batch = self.active.evidence(&key, now).map(|evidence| evidence.batch);
        let sum = share.weight.saturating_mul(failures);
        let added = Added { sum, probes: if mode == Mode::Aggressive { sum } else { 0 } };
        let counted = self.windows.add(key, moments, added, batch.filter(|&batch| batch != 0));
        if let Some(source) = source {
            let added = Evidence { sum: counted.added.sum, probes: 0, ..counted.evidence };
            self.sessions.added(source, added);
        }
        if counted.evidence.sum >= share.limit {
            return self.ban(failed, counted);
        }
        Outcome::Counted {
            subject: key.into(),
            guesses,
            attempts: share.attempts(counted.evidence.sum),
            maxretry: share.maxretry,
        }
    }

    fn ban(&mut self, failed: &Failed, counted: Counted) -> Outcome {
        let Failed { key, share, now, .. } = *failed;
        let Counted { evidence, last, .. } = counted;
        let subject = key.into();
        self.windows.forget(&key);
        // A ban runs from its last failure. Where a line tells back, from the line: the client
        // had that long for more.
        let at = failed.at.max(last);
        let expires = self.policy.bantime.end(at);
        if expires.is_some_and(|end| end < now) {
            return Outcome::Spared(Spared::Expired { subject });
        }
        let attempts = share.attempts(evidence.sum);
        if self.active.is_banned(&key, now) {
            // Prolonged by bantime as it is: fail2ban makes new bans longer, not these.
            return if self.active.prolong(key, expires, evidence) {
                Outcome::Prolonged(Ban { subject, at, expires, attempts })
            } else {
                Outcome::AlreadyBanned { subject }
            };
        }
        let expires = self.new_end(key, at, now);
        self.active.set(key, expires, evidence);
        Outcome::Banned(Ban { subject, at, expires, attempts })
    }

    /// The end of a new ban, which goes down in the history.
    fn new_end(&mut self, key: Key, at: LogTime, now: LogTime) -> Option<LogTime> {
        let Policy { bantime, increment, .. } = &self.policy;
        if !increment.enabled {
            return bantime.end(at);
        }
        let past = self.histories.of(&key, now, self.policy.dbpurgeage);
        let earlier = past.map_or(0, |past| past.bans);
        let random = increment::draw(
            self.seed,
            key.parts().into_iter().chain([at.as_micros().cast_unsigned()]),
        );
        let end = increment.bantime(*bantime, earlier, random).end(at);
        if past.is_none_or(|past| at > past.at) {
            self.histories.note(key, earlier.saturating_add(1), at, end);
        }
        end
    }

    /// Takes note that a master is about to log in as `name`.
    pub fn master_login(&mut self, name: Name, at: LogTime) {
        self.logins.announce_master(name, at);
    }

    /// Takes note that a user logged in.
    pub fn login(&mut self, login: &Login, at: LogTime, now: LogTime) -> LoginOutcome {
        let Login { ip, session, name } = *login;
        let (ip, at) = (ip.to_canonical(), at.min(now));
        let subject = self.policy.subject(ip);
        self.logins.note(subject.into(), at, self.policy.ignore_authenticated);
        let login = name.map(|name| {
            let by_master = self.logins.is_by_master(name, at);
            LoggedIn { name, by_master }
        });
        // The failures of one that is older count no more either.
        if self.policy.count == Count::Lines || at < now.before(self.policy.findtime) {
            return LoginOutcome::Noted;
        }
        let added =
            login.map_or(Evidence::NONE, |login| self.sessions.login(ip, session, login, at));
        self.take_back(subject, added, at, now)
    }

    /// Takes back failures that were none, silent probes among them as they would not count
    /// after the login, and with them a ban that would not be in force without them.
    fn take_back(
        &mut self,
        subject: IpNet,
        added: Evidence,
        at: LogTime,
        now: LogTime,
    ) -> LoginOutcome {
        let key = Key::from(subject);
        let span = self.policy.ignore_authenticated;
        let forgives_probes = !span.is_zero();
        let probed = forgives_probes && self.windows.take_back_probes(&key, at, span);
        let missing = self.windows.take_back(&key, added);
        let outcome = if probed || missing < added.sum {
            LoginOutcome::TakenBack { subject }
        } else {
            LoginOutcome::Noted
        };
        let limit = self.policy.share(Mode::Normal).limit;
        let Some(ban) = self.active.evidence(&key, now) else { return outcome };
        let before = *ban;
        if ban.batch == added.batch {
            *ban = ban.without(missing);
        }
        if forgives_probes {
            *ban = ban.without_probes();
        }
        let left = *ban;
        if left == before || left.batch == Evidence::NONE.batch {
            return outcome;
        }
        let left = left.with(self.windows.of(&key, left.batch, at));
        if left.sum >= limit {
            return LoginOutcome::TakenBack { subject };
        }
        self.active.remove(&key);
        self.histories.take_back(&key);
        self.windows.put_back(key, at, left);
        LoginOutcome::Lifted { subject }
    }

    /// A ban that was not decided here: set by hand, or in force since an earlier start.
    pub fn adopt(&mut self, subject: IpNet, expires: Option<LogTime>) {
        let key = subject.into();
        self.active.set(key, expires, Evidence::NONE);
        self.windows.forget(&key);
    }

    /// Whether a ban of `subject` has not been removed yet.
    #[must_use]
    pub fn is_known(&self, subject: &IpNet) -> bool {
        self.active.is_known(&Key::from(*subject))
    }

    /// Whether a ban of `subject` is in force.
    #[must_use]
    pub fn is_banned(&self, subject: &IpNet, now: LogTime) -> bool {
        self.active.is_banned(&Key::from(*subject), now)
    }

    /// The end of a ban is this, whatever it was decided to be: where it is enforced is where
    /// the truth is. `false` if there is no such ban.
    pub fn correct(&mut self, subject: &IpNet, expires: Option<LogTime>) -> bool {
        self.active.set_end(Key::from(*subject), expires)
    }

    /// The wall clock was set forth by so many microseconds, or back where that is negative.
    /// Bans end when they would have ended: their ends are called something else by now.
    pub fn clock_was_set(&mut self, by_micros: i64) {
        self.active.shift(by_micros);
    }

    /// Every ban in force, and its end.
    pub fn bans(&self) -> impl Iterator<Item = (IpNet, Option<LogTime>)> {
        self.active.iter()
    }

    /// How many bans of `subject` there were by `now`, where that is remembered.
    #[must_use]
    pub fn bans_so_far(&self, subject: &IpNet, now: LogTime) -> u32 {
        let past = self.histories.of(&Key::from(*subject), now, self.policy.dbpurgeage);
        past.map_or(0, |past| past.bans)
    }

    /// Ends a ban before its time, and forgets the failures that could renew it at once and,
    /// as fail2ban does, that there ever was one.
    pub fn pardon(&mut self, subject: &IpNet) {
        let key = Key::from(*subject);
        self.active.remove(&key);
        self.windows.forget(&key);
        self.histories.forget(&key);
    }

    /// The ban is not in force any more: there was no room for it. That it was, and what it was
    /// for, still counts.
    pub fn evicted(&mut self, subject: &IpNet) {
        self.active.remove(&Key::from(*subject));
    }

    /// The narrowest of the wider networks that are banned at `now`, and `subject` with them.
    #[must_use]
    pub fn covering(&self, subject: &IpNet, now: LogTime) -> Option<IpNet> {
        let mut wider = std::iter::successors(subject.supernet(), IpNet::supernet);
        wider.find(|network| self.active.is_banned(&Key::from(*network), now))
    }

    /// Forgets everything that `now` has made irrelevant, and returns the bans that ended.
    pub fn expire(&mut self, now: LogTime) -> Vec<IpNet> {
        // A log that is read late is judged as if it were not: what the oldest line that still
        // counts could need is kept.
        let oldest = now.before(self.policy.findtime);
        self.windows.expire(oldest);
        self.sessions.expire(oldest);
        self.logins.expire(oldest, self.policy.ignore_authenticated);
        self.histories.expire(now, self.policy.dbpurgeage);
        self.active.expire(now)
    }

    /// What is known of a client from an earlier life.
    pub fn remember(&mut self, past: &History) {
        if self.policy.increment.enabled {
            self.histories.note(past.subject.into(), past.bans, past.at, past.end);
        }
    }

    /// All that a later life should be told with [`Jail::remember`].
    pub fn history(&self, now: LogTime) -> impl Iterator<Item = History> {
        self.histories.iter(now, self.policy.dbpurgeage)
    }

    /// Replaces the addresses of this host itself.
    pub fn set_own_addresses(&mut self, own: Vec<IpAddr>) {
        self.ignore.set_own(own);
    }

    /// Replaces the addresses of the names in `ignoreip`.
    pub fn set_named_addresses(&mut self, named: Vec<IpAddr>) {
        self.ignore.set_named(named);
    }

    /// What the kernel must never drop either.
    #[must_use]
    pub fn ignore_list(&self) -> &IgnoreList {
        &self.ignore
    }

    /// Addresses (or IPv6 prefixes) with failures that count, or would with a late line.
    #[must_use]
    pub fn currently_failed(&self) -> usize {
        self.windows.len()
    }

    #[must_use]
    pub fn currently_banned(&self) -> usize {
        self.active.len()
    }
}

/// A failure that counts.
#[derive(Clone, Copy)]
struct Failed {
    key: Key,
    guesses: u32,
    moments: Moments,
    share: Share,
    mode: Mode,
    source: Option<Source>,
    at: LogTime,
    now: LogTime,
}

/// When `guesses` of `failure` happened, whose line is from `at`. A password database writes
/// at once. A connection's last line tells when it began: a probe is the connecting itself, and
/// a single guess mostly comes right after that; of several, nothing better is known than that
/// they happened between.
fn moments(failure: &Failure, guesses: u32, at: LogTime) -> Moments {
    let began = at.before(failure.waited.min(LATEST));
    match failure.guesses {
        Guesses::One { .. } => Moments { from: at, to: at },
        Guesses::Total(_) if failure.rule.mode == Mode::Aggressive || guesses == 1 => {
            Moments { from: began, to: began }
        }
        Guesses::Total(_) => Moments { from: began, to: at },
    }
}

#[cfg(test)]
mod tests;
