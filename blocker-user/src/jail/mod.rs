//! The policy: failures and logins in, bans out.
//!
//! Performs no I/O and reads no clock. Time is an argument, so a month of log replays in
//! seconds with the verdicts it had live. Semantics are fail2ban's unless a comment says
//! otherwise; `tests/` holds the two against each other.

mod active;
mod ignore;
mod logins;
mod policy;
mod window;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    dovecot::{Failure, Mode},
    time::LogTime,
};

use active::Active;
use logins::Logins;
use window::Windows;

pub use ignore::{IgnoreList, SparedBy};
pub use policy::{Bantime, Policy};

/// A ban the jail decided on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ban {
    pub subject: IpNet,
    /// When the failure happened that was one too many.
    pub at: LogTime,
    /// `None` for a ban without end.
    pub expires: Option<LogTime>,
    pub attempts: u32,
}

/// What came of one failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// One more, but not enough for a ban yet.
    Counted { subject: IpNet, attempts: u32 },
    /// Banned by this failure.
    Banned(Ban),
    /// Banned already, and by this failure for longer.
    Prolonged(Ban),
    /// Banned already, for at least as long as this failure would ban.
    AlreadyBanned { subject: IpNet },
    /// Not counted, or not banned, and why.
    Spared(Spared),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spared {
    /// The address is on the ignore list, or one of this host's own.
    Ignored,
    /// A user logged in from the address recently, and the failure is only a silent probe.
    Authenticated,
    /// Older than findtime when it was read.
    TooOld,
    /// Enough failures, but the ban they earned would have ended by now.
    Expired { subject: IpNet },
}

/// One jail: what is remembered about every address.
pub struct Jail {
    policy: Policy,
    ignore: IgnoreList,
    windows: Windows,
    logins: Logins,
    active: Active,
}

impl Jail {
    #[must_use]
    pub fn new(policy: Policy, ignore: IgnoreList) -> Self {
        Self {
            windows: Windows::new(policy.max_tracked),
            logins: Logins::new(policy.max_tracked),
            active: Active::default(),
            policy,
            ignore,
        }
    }

    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
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
        if at < now.before(self.policy.findtime) {
            return Outcome::Spared(Spared::TooOld);
        }
        let is_probe = failure.rule.mode == Mode::Aggressive;
        if is_probe && self.logins.within(ip, at, self.policy.ignore_authenticated) {
            return Outcome::Spared(Spared::Authenticated);
        }

        let subject = self.policy.subject(ip);
        let attempts = self.windows.count(subject, at, self.policy.findtime);
        if attempts < self.policy.maxretry.get() {
            return Outcome::Counted { subject, attempts };
        }
        self.windows.forget(&subject);
        let expires = self.policy.bantime.end(at);
        if expires.is_some_and(|end| end < now) {
            return Outcome::Spared(Spared::Expired { subject });
        }
        let ban = Ban { subject, at, expires, attempts };
        match self.active.add(subject, expires, now) {
            active::Added::New => Outcome::Banned(ban),
            active::Added::Longer => Outcome::Prolonged(ban),
            active::Added::Unchanged => Outcome::AlreadyBanned { subject },
        }
    }

    /// Takes note that a user logged in from `ip`.
    pub fn login(&mut self, ip: IpAddr, at: LogTime, now: LogTime) {
        self.logins.note(ip.to_canonical(), at.min(now), self.policy.ignore_authenticated);
    }

    /// A ban that was not decided here: set by hand, or in force since an earlier start.
    pub fn adopt(&mut self, subject: IpNet, expires: Option<LogTime>) {
        self.active.set(subject, expires);
        self.windows.forget(&subject);
    }

    /// Ends a ban before its time, and forgets the failures that could renew it at once.
    pub fn pardon(&mut self, subject: &IpNet) {
        self.active.remove(subject);
        self.windows.forget(subject);
    }

    /// The narrowest of the wider networks that are banned at `now`, and `subject` with them.
    #[must_use]
    pub fn covering(&self, subject: &IpNet, now: LogTime) -> Option<IpNet> {
        let mut wider = std::iter::successors(subject.supernet(), IpNet::supernet);
        wider.find(|network| self.active.is_in_force(network, now))
    }

    /// Forgets everything that `now` has made irrelevant, and returns the bans that ended.
    pub fn expire(&mut self, now: LogTime) -> Vec<IpNet> {
        self.windows.expire(now, self.policy.findtime);
        self.logins.expire(now, self.policy.ignore_authenticated);
        self.active.expire(now)
    }

    /// Replaces the addresses of this host itself.
    pub fn set_own_addresses(&mut self, own: Vec<IpAddr>) {
        self.ignore.set_own(own);
    }

    /// What the kernel must never drop either.
    #[must_use]
    pub fn ignore_list(&self) -> &IgnoreList {
        &self.ignore
    }

    /// Addresses (or IPv6 prefixes) with failures that count at the moment.
    #[must_use]
    pub fn currently_failed(&self) -> usize {
        self.windows.len()
    }

    #[must_use]
    pub fn currently_banned(&self) -> usize {
        self.active.len()
    }
}

#[cfg(test)]
mod tests;
