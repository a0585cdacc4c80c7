//! One policy on trial: a jail of the daemon's, and what its bans would have prevented.

use std::{collections::HashMap, time::Duration};

use super::{
    bits::Bits,
    detail::{Detail, NewBan},
};
use crate::{
    dovecot::{Event, Mode},
    jail::{Ban, IgnoreList, Jail, LoginOutcome, Outcome, Policy},
    report::Effect,
    time::LogTime,
};

/// How often, in log time, what has become irrelevant is forgotten.
const TIDY: Duration = Duration::from_secs(60);
/// How late a line may come and still be held against a ban that is over by now.
const LATE: Duration = Duration::from_secs(600);
/// Fewer bans than this are not worth looking for those that are over.
const FEW: usize = 1024;

/// An event on its way to every trial.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// `None` for clients that there was no room for.
    pub(super) client: Option<u32>,
    pub(super) now: LogTime,
    pub(super) at: LogTime,
    pub(super) event: Event,
    pub(super) is_connection: bool,
    pub(super) is_normal_only: bool,
}

struct InForce {
    at: LogTime,
    expires: Option<LogTime>,
}

pub(super) struct Trial {
    mode: Mode,
    as_logged: bool,
    jail: Jail,
    in_force: HashMap<u32, InForce>,
    /// With so many of them, those that are over are looked for.
    many: usize,
    tidied: LogTime,
    /// What can be counted on the way.
    counts: Effect,
    /// Clients that were banned.
    banned: Bits,
    detail: Option<Detail>,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) counts: Effect,
    pub(super) banned: Bits,
    pub(super) detail: Option<Detail>,
}

impl Trial {
    pub(super) fn new(mode: Mode, policy: Policy, ignore: IgnoreList, as_logged: bool) -> Self {
        Self {
            mode,
            as_logged,
            // The randomness of bantime.rndtime: a replay is to come out the same each time.
            jail: Jail::new(policy, ignore, 0),
            in_force: HashMap::new(),
            many: FEW,
            tidied: LogTime::EPOCH,
            counts: Effect::default(),
            banned: Bits::default(),
            detail: None,
        }
    }

    /// Every ban is noted, not only how many there were.
    pub(super) fn in_detail(self) -> Self {
        Self { detail: Some(Detail::default()), ..self }
    }

    pub(super) fn verdict(self) -> Verdict {
        let Self { counts, banned, detail, .. } = self;
        Verdict { counts: Effect { banned_clients: banned.len(), ..counts }, banned, detail }
    }

    pub(super) fn step(&mut self, step: &Step) {
        if step.now >= self.tidied.after(TIDY) {
            self.jail.expire(step.now);
            self.tidied = step.now;
            self.forget_ended(step.now);
        }
        if step.is_normal_only && self.mode != Mode::Normal {
            return;
        }
        if self.is_prevented(step) {
            // What is there for normal mode only is a second event of one line.
            if !step.is_normal_only {
                self.prevent(step);
            }
            if !self.as_logged {
                return;
            }
        }
        let Step { now, at, client, event, .. } = *step;
        match event {
            // Of clients that there was no room for only totals are known.
            Event::Failure(_) if client.is_none() => {}
            Event::Failure(failure) if failure.rule.mode > self.mode => {}
            Event::Failure(failure) => match self.jail.failure(&failure, at, now) {
                Outcome::Banned(ban) => self.ban(client, &ban, failure.rule.name),
                Outcome::Prolonged(ban) => self.prolong(client, &ban),
                Outcome::Counted { .. } => {
                    if let Some((detail, client)) = self.detail.as_mut().zip(client) {
                        detail.counted(client, failure.rule.name);
                    }
                }
                Outcome::AlreadyBanned { .. } | Outcome::Spared(_) => {}
            },
            Event::Login(login) => {
                if let LoginOutcome::Lifted { .. } = self.jail.login(&login, at, now) {
                    self.lift(client, at);
                }
            }
            Event::MasterLogin(name) => self.jail.master_login(name, at),
        }
    }

    /// Bans of clients that never came again would stay for ever.
    fn forget_ended(&mut self, now: LogTime) {
        if self.in_force.len() >= self.many {
            let oldest = now.before(LATE);
            self.in_force.retain(|_, ban| ban.expires.is_none_or(|end| end >= oldest));
            self.many = FEW + 2 * self.in_force.len();
        }
    }

    /// Whether the kernel would have dropped what led to this line.
    fn is_prevented(&mut self, step: &Step) -> bool {
        let Some(client) = step.client else { return false };
        let Some(ban) = self.in_force.get(&client) else { return false };
        if ban.expires.is_some_and(|end| end < step.at) {
            self.in_force.remove(&client);
            return false;
        }
        let began = match step.event {
            Event::Failure(failure) => step.at.before(failure.waited),
            Event::Login(_) | Event::MasterLogin(_) => step.at,
        };
        began >= ban.at
    }

    fn prevent(&mut self, step: &Step) {
        if step.is_connection {
            self.counts.prevented_connections += 1;
        }
        match step.event {
            Event::Failure(failure) => {
                self.counts.prevented_failures += 1;
                if step.is_connection {
                    self.counts.prevented_login_process_seconds += failure.waited.as_secs();
                }
                if let Some((detail, client)) = self.detail.as_mut().zip(step.client) {
                    detail.prevented(client, step.at);
                }
            }
            Event::Login(_) => {
                self.counts.logins_locked_out += 1;
                if let Some((detail, client)) = self.detail.as_mut().zip(step.client) {
                    detail.locked_out(client);
                }
            }
            Event::MasterLogin(_) => {}
        }
    }

    fn ban(&mut self, client: Option<u32>, ban: &Ban, cause: &'static str) {
        self.counts.bans += 1;
        let Some(client) = client else { return };
        let Ban { at, expires, attempts, .. } = *ban;
        self.banned.insert(client);
        self.in_force.insert(client, InForce { at, expires });
        if let Some(detail) = &mut self.detail {
            detail.banned(client, NewBan { at, expires, cause, attempts });
        }
    }

    fn prolong(&mut self, client: Option<u32>, ban: &Ban) {
        let Some(client) = client else { return };
        if let Some(in_force) = self.in_force.get_mut(&client) {
            in_force.expires = ban.expires;
        }
        if let Some(detail) = &mut self.detail {
            detail.ends(client, ban.expires);
        }
    }

    fn lift(&mut self, client: Option<u32>, at: LogTime) {
        let Some(client) = client else { return };
        self.in_force.remove(&client);
        if let Some(detail) = &mut self.detail {
            detail.ends(client, Some(at));
        }
    }
}
