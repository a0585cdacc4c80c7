//! The one thread on which a line becomes a ban.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use ipnet::IpNet;

use super::{
    AnyFirewall, Inbox, Stats, evictions::Evictions, manager::Heartbeat, own::OwnAddresses,
    skew::Skew, stats::add, wall_clock,
};
use crate::{
    dovecot::{Event, Judge, Rule},
    firewall::{FirewallError, Order},
    jail::{Ban, History, Jail, LoginOutcome, Outcome, Spared},
    source::{Progress, Source, Waiter},
    time::LogTime,
};

/// The outside parts of a pipeline.
pub struct Setup {
    pub sources: Vec<Source>,
    pub judge: Judge,
    pub jail: Jail,
    pub firewall: AnyFirewall,
    pub waiter: Waiter,
    pub inbox: Inbox,
    pub stats: Arc<Stats>,
}

pub struct Pipeline {
    sources: Vec<(Source, Skew)>,
    waiter: Waiter,
    inbox: Inbox,
    core: Core,
}

/// What a line meets after it was read.
pub(super) struct Core {
    judge: Judge,
    pub(super) jail: Jail,
    pub(super) firewall: AnyFirewall,
    own: OwnAddresses,
    evictions: Evictions,
    pub(super) stats: Arc<Stats>,
}

impl Pipeline {
    /// Takes over the bans that are in force already.
    pub fn new(setup: Setup) -> Result<Self, FirewallError> {
        let Setup { sources, judge, jail, firewall, mut waiter, inbox, stats } = setup;
        if let Some(descriptor) = firewall.descriptor() {
            waiter.also(descriptor);
        }
        let mut core = Core {
            judge,
            jail,
            firewall,
            own: OwnAddresses::default(),
            evictions: Evictions::default(),
            stats,
        };
        core.adopt()?;
        core.own_addresses_changed();
        core.firewall.allow(&core.jail.ignore_list().networks())?;
        let sources = sources.into_iter().map(|source| (source, Skew::default())).collect();
        Ok(Self { sources, waiter, inbox, core })
    }

    /// What enforces is from here on kept up even when this ends.
    pub fn commit(&mut self) -> Result<(), FirewallError> {
        self.core.firewall.commit()
    }

    /// Runs until it is told to stop, or every source has ended.
    pub fn run(mut self) -> io::Result<()> {
        let mut heartbeat = Heartbeat::new();
        while !self.inbox.stopped() && !self.sources.is_empty() {
            heartbeat.beat(&self.core.stats);
            if !self.read_all() {
                self.waiter.wait()?;
            }
            self.core.housekeeping(wall_clock());
        }
        Ok(())
    }

    /// Reads one chunk of each source; `false` if none had anything.
    fn read_all(&mut self) -> bool {
        let mut read_any = false;
        let mut ended = Vec::new();
        for (index, (source, skew)) in self.sources.iter_mut().enumerate() {
            self.core.obey(&self.inbox);
            let now = wall_clock();
            let core = &mut self.core;
            let mut shift = None;
            let progress = source.read(&mut self.waiter, &mut |line| {
                let time = core.line(line, now);
                shift = shift.or_else(|| skew.line(time?, now));
            });
            skew.progress(progress);
            if let Some(shift) = shift {
                tracing::warn!(
                    "new lines of {source} are dated {shift} this host's clock, and count at that \
                     time or not at all. If they are written in another time zone, start doveblock \
                     in that one (in its unit, Environment=TZ=UTC), or let the log carry offsets"
                );
            }
            match progress {
                Progress::More => read_any = true,
                Progress::Idle => {}
                Progress::Ended => ended.push(index),
            }
        }
        for index in ended.into_iter().rev() {
            self.sources.remove(index);
        }
        self.core.obey(&self.inbox);
        read_any
    }
}

impl Core {
    fn adopt(&mut self) -> Result<(), FirewallError> {
        let now = wall_clock();
        let mut adopted = 0_usize;
        for ban in self.firewall.view()?.bans()? {
            let Order { subject, expires, banned_at, attempts } = ban.order;
            if expires.is_some_and(|end| end <= now) {
                self.firewall.unban(&subject)?;
            } else {
                self.jail.adopt(subject, expires);
                if attempts > 0 {
                    self.jail.remember(&History { subject, bans: 1, at: banned_at, end: expires });
                }
                adopted += 1;
            }
        }
        if adopted > 0 {
            tracing::info!("{adopted} bans are still in force and stay");
        }
        Ok(())
    }

    /// Returns the time of the line, if it has one.
    fn line(&mut self, line: &[u8], now: LogTime) -> Option<LogTime> {
        add(&self.stats.lines);
        let judgement = self.judge.judge(line, now);
        // A line without a timestamp is as old as its reading.
        let at = judgement.time.unwrap_or(now);
        match judgement.event {
            Some(Event::Login(login)) => {
                let outcome = self.jail.login(&login, at, now);
                self.forgive(login.ip, outcome);
            }
            Some(Event::MasterLogin(name)) => self.jail.master_login(name, at),
            Some(Event::Failure(failure)) => {
                let outcome = self.jail.failure(&failure, at, now);
                self.apply(failure.ip, failure.rule, outcome);
            }
            None => {}
        }
        judgement.time
    }

    fn apply(&mut self, ip: IpAddr, rule: &Rule, outcome: Outcome) {
        let rule = rule.name;
        match outcome {
            Outcome::Counted { guesses, attempts, maxretry, .. } => {
                add(&self.stats.failures);
                if guesses > 1 {
                    tracing::info!("{ip}: {rule}, {guesses} guesses, {attempts}/{maxretry}");
                } else {
                    tracing::info!("{ip}: {rule}, {attempts}/{maxretry}");
                }
            }
            Outcome::Banned(ban) => {
                add(&self.stats.failures);
                self.enforce(&ban, "ban", rule);
            }
            Outcome::Prolonged(ban) => {
                add(&self.stats.failures);
                self.enforce(&ban, "ban prolonged:", rule);
            }
            Outcome::AlreadyBanned { subject } => {
                add(&self.stats.failures);
                tracing::debug!("{ip}: {rule}, {} is banned already", show(&subject));
            }
            Outcome::Spared(Spared::Ignored) => {
                tracing::debug!("{ip}: {rule}, not counted: on the ignore list");
            }
            Outcome::Spared(Spared::Authenticated) => {
                tracing::info!("{ip}: {rule}, not counted: a user logged in from there recently");
            }
            Outcome::Spared(Spared::TooOld) => {
                tracing::debug!("{ip}: {rule}, not counted: older than findtime");
            }
            Outcome::Spared(Spared::Known) => {
                tracing::debug!("{ip}: {rule}, counted already by another line of the connection");
            }
            Outcome::Spared(Spared::LoggedIn) => {
                tracing::debug!("{ip}: {rule}, not counted: the user got in on that connection");
            }
            Outcome::Spared(Spared::Expired { subject }) => {
                tracing::info!("{}: {rule}, its ban would have ended by now", show(&subject));
            }
        }
    }

    fn forgive(&mut self, ip: IpAddr, outcome: LoginOutcome) {
        match outcome {
            LoginOutcome::Noted => {}
            LoginOutcome::TakenBack { .. } => {
                tracing::info!(
                    "{ip}: logged in, so silent probes and wrong passwords for that name on that \
                     connection are taken back"
                );
            }
            LoginOutcome::Lifted { subject } => match self.firewall.unban(&subject) {
                Ok(_) => tracing::info!(
                    "unban {}: a user logged in, and without the silent probes and what failed \
                     for that name on that connection it would not be banned",
                    show(&subject)
                ),
                Err(error) => tracing::error!(
                    "the ban of {} should be lifted and is not, `doveblock unban` does it: {error}",
                    show(&subject)
                ),
            },
        }
    }

    fn enforce(&mut self, ban: &Ban, verb: &str, rule: &str) {
        let Ban { subject, at, expires, attempts } = *ban;
        let enforced = self.firewall.ban(&Order { subject, banned_at: at, expires, attempts });
        self.forget_evicted();
        match enforced {
            Ok(()) => {
                add(&self.stats.bans);
                let subject = show(&subject);
                tracing::info!("{verb} {subject} {}: {rule}, {attempts} failures", until(expires));
            }
            Err(error) => {
                self.jail.pardon(&subject);
                tracing::error!("{} should be banned and is not: {error}", show(&subject));
            }
        }
    }

    /// Bans that made room for another one are in force no longer, and the jail is to know.
    pub(super) fn forget_evicted(&mut self) {
        let evicted = self.firewall.evicted();
        for subject in &evicted {
            self.jail.evicted(subject);
            tracing::debug!("the ban of {} makes room for another", show(subject));
        }
        let count = evicted.len();
        self.stats.evicted.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
        self.evictions.add(count);
    }

    fn tell_of_evicted(&mut self, now: LogTime) {
        if let Some(count) = self.evictions.due(now) {
            tracing::warn!(
                "max_bans is reached, or the maps cannot grow to it: {count} bans, those that end \
                 soonest, were lifted before their time to make room; a higher max_bans takes \
                 effect at the next start"
            );
        }
    }

    /// What time alone brings about.
    fn housekeeping(&mut self, now: LogTime) {
        for ended in self.jail.expire(now) {
            // The kernel has been passing its packets since the deadline; this frees the entry.
            match self.firewall.unban(&ended) {
                Ok(_) => tracing::info!("ban of {} has ended", show(&ended)),
                Err(error) => tracing::error!("an ended ban cannot be removed: {error}"),
            }
        }
        self.tell_of_evicted(now);
        self.firewall.tend();
        if self.own_addresses_changed() {
            self.allow_ignored();
        }
        self.stats.currently_failed.store(self.jail.currently_failed(), Ordering::Relaxed);
    }

    fn own_addresses_changed(&mut self) -> bool {
        let changed = self.own.changed();
        let any = changed.is_some();
        if let Some(own) = changed {
            self.jail.set_own_addresses(own);
        }
        any
    }

    pub(super) fn allow_ignored(&mut self) {
        if let Err(error) = self.firewall.allow(&self.jail.ignore_list().networks()) {
            tracing::error!("the allow list of the kernel cannot be brought up to date: {error}");
        }
    }
}

/// A single address without its prefix length, a network with it.
#[must_use]
pub(crate) fn show(subject: &IpNet) -> String {
    if subject.prefix_len() == subject.max_prefix_len() {
        subject.addr().to_string()
    } else {
        subject.to_string()
    }
}

pub(super) fn until(expires: Option<LogTime>) -> String {
    expires.map_or_else(|| "without end".to_owned(), |end| format!("until {end}"))
}
