//! What the pipeline notes of what happens, for whoever asks later why.

use std::sync::atomic::Ordering;

use ipnet::IpNet;

use super::{
    By, Explanation,
    pipeline::{Core, show},
    trail,
};
use crate::{
    dovecot::{Failure, Login},
    firewall::host,
    jail::{Outcome, Spared},
    store::{Ending, What},
    time::LogTime,
};

/// The rule of what somebody did by hand, and the cause of such a ban.
pub(super) const BY_HAND: &str = "by hand";

impl Core {
    /// Takes note of a line; and of its failure, unless another line told of that.
    pub(super) fn note_failure(
        &mut self,
        failure: &Failure,
        at: LogTime,
        line: &[u8],
        outcome: &Outcome,
    ) {
        let verdict = match outcome {
            Outcome::Counted { attempts, maxretry, .. } => {
                format!("counted, {attempts} of {maxretry}")
            }
            Outcome::Banned(_) => "banned".to_owned(),
            Outcome::Prolonged(_) => "ban prolonged".to_owned(),
            Outcome::AlreadyBanned { .. } => "banned already".to_owned(),
            Outcome::Spared(Spared::Known) => return,
            Outcome::Spared(why) => format!("not counted: {}", reason(*why)),
        };
        if !matches!(outcome, Outcome::Spared(_)) {
            self.stats.failure(failure.rule, line);
            self.records.count(at.min(self.clocks.now()), What::Failure(failure.rule.name));
        }
        let subject = self.jail.policy().subject(failure.ip);
        let address = host(failure.ip.to_canonical());
        let step = trail::step(at, address, failure.rule.name, &verdict, line);
        self.trail.step(subject, step);
    }

    pub(super) fn note_login(&mut self, login: &Login, at: LogTime, line: &[u8]) {
        let subject = self.jail.policy().subject(login.ip);
        let step = trail::step(at, host(login.ip.to_canonical()), "login", "logged in", line);
        self.trail.login(subject, step);
    }

    /// What `by` did to `subject`.
    pub(super) fn note_by_hand(&mut self, subject: IpNet, what: &str, by: &By) {
        let reason = by.reason.as_deref().unwrap_or_default().as_bytes();
        let verdict = format!("{what} by {}", by.who);
        let step = trail::step(self.clocks.now(), subject, BY_HAND, &verdict, reason);
        self.trail.step(subject, step);
    }

    /// A ban is over.
    pub(super) fn ended(&mut self, subject: &IpNet, how: &str) {
        self.records.ended(subject);
        let ending = Ending { at: self.clocks.now(), how: how.to_owned(), bans: 1 };
        self.trail.ended(*subject, ending.clone());
        self.records.ending(*subject, ending);
    }

    pub(super) fn explain(&self, asked: &IpNet, subject: &IpNet) -> Explanation {
        let login = self.trail.last_login(subject);
        Explanation {
            knowledge: self.jail.knowledge(asked, subject, self.clocks.now()),
            earlier_bans: self.jail.bans_so_far(subject, self.clocks.now()),
            steps: self.trail.steps(subject),
            login,
            ending: self.trail.ending(subject),
        }
    }

    /// Numbers that are not counted but read.
    pub(super) fn note_health(&mut self, bytes_behind: u64) {
        self.stats.bytes_behind.store(bytes_behind, Ordering::Relaxed);
        self.stats.database_errors.store(self.records.errors(), Ordering::Relaxed);
        self.stats.currently_failed.store(self.jail.currently_failed(), Ordering::Relaxed);
    }

    pub(super) fn note_line(&self, time: Option<LogTime>) {
        super::stats::add(&self.stats.lines);
        match time {
            Some(time) => self.stats.last_line.store(time.as_micros(), Ordering::Relaxed),
            None => super::stats::add(&self.stats.undated),
        }
    }

    pub(super) fn log_spared(&self, failure: &Failure, why: Spared) {
        let (ip, rule) = (failure.ip, failure.rule.name);
        match why {
            Spared::Authenticated => tracing::info!("{ip}: {rule}, not counted: {}", reason(why)),
            Spared::Expired { subject } => {
                tracing::info!("{}: {rule}, {}", show(&subject), reason(why));
            }
            Spared::Known => tracing::debug!("{ip}: {rule}, {}", reason(why)),
            Spared::Ignored | Spared::TooOld | Spared::LoggedIn => {
                tracing::debug!("{ip}: {rule}, not counted: {}", reason(why));
            }
        }
    }
}

fn reason(why: Spared) -> &'static str {
    match why {
        Spared::Ignored => "on the ignore list",
        Spared::Authenticated => "a user logged in from there recently",
        Spared::TooOld => "older than findtime",
        Spared::Known => "counted already by another line of the connection",
        Spared::LoggedIn => "the user got in on that connection",
        Spared::Expired { .. } => "its ban would have ended by now",
    }
}
