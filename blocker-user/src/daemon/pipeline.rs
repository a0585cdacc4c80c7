//! The one thread on which a line becomes a ban.

use std::{
    collections::HashMap,
    io, mem,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use ipnet::IpNet;

use super::{
    AnyFirewall, Clocks, Inbox, Stats,
    evictions::Evictions,
    feed::Feed,
    manager::Heartbeat,
    own::OwnAddresses,
    pace::Pace,
    places::Places,
    records::{self, Keeping, Records},
    stats::add,
    steady::Steady,
    trail::Trail,
};
use crate::{
    dovecot::{Event, Failure, Judge},
    firewall::{FirewallError, Order},
    history::FORGIVEN,
    jail::{Ban, Jail, LoginOutcome, Outcome},
    source::{self, Progress, Source, Waiter},
    store::{Dropped, Place, Saved, What},
    time::LogTime,
};

/// So many bans that end at once are named in the log.
const MANY_ENDS: usize = 100;

/// The outside parts of a pipeline.
pub struct Setup {
    /// With the names that they keep over restarts.
    pub sources: Vec<(String, Source)>,
    pub judge: Judge,
    pub jail: Jail,
    pub firewall: AnyFirewall,
    pub waiter: Waiter,
    pub inbox: Inbox,
    pub stats: Arc<Stats>,
    /// `None` where nothing is to outlive the process.
    pub keeping: Option<Keeping>,
    /// What an earlier daemon kept.
    pub saved: Saved,
    /// While it lives, names of ignoreip are followed.
    pub names: Arc<()>,
    pub clocks: Clocks,
}

pub struct Pipeline {
    pub(super) feeds: Vec<Feed>,
    /// Of logs that are not read now.
    pub(super) places: Places,
    waiter: Waiter,
    pub(super) inbox: Inbox,
    /// Whether the source that ended last was no input, which alone is to end.
    has_lost_a_log: bool,
    pub(super) core: Core,
}

/// What a line meets after it was read.
pub(super) struct Core {
    pub(super) judge: Judge,
    pub(super) jail: Jail,
    pub(super) firewall: AnyFirewall,
    own: OwnAddresses,
    evictions: Evictions,
    pub(super) stats: Arc<Stats>,
    pub(super) records: Records,
    pub(super) trail: Trail,
    /// While it lives, names of ignoreip are followed.
    pub(super) names: Arc<()>,
    /// Bans that were enforced at the start, and without an order those that were not though
    /// they were known. Until every log has been caught up with, the jail may yet decide on them.
    pub(super) unsettled: HashMap<IpNet, Option<Order>>,
    steady: Steady,
    pub(super) clocks: Clocks,
}

impl Pipeline {
    /// Goes on where an earlier daemon ended, and takes over the bans that are in force.
    pub fn new(setup: Setup) -> Result<Self, FirewallError> {
        let Setup {
            sources,
            judge,
            jail,
            firewall,
            mut waiter,
            inbox,
            stats,
            keeping,
            mut saved,
            names,
            clocks,
        } = setup;
        if let Some(descriptor) = firewall.descriptor() {
            waiter.also(&descriptor);
        }
        let enforced_in = keeping.as_ref().map(|keeping| &keeping.enforced_in);
        let theirs = firewall.is_inherited() && enforced_in == saved.enforced_in.as_ref();
        let wall = clocks.now();
        let feed = |(name, source): (String, Source)| {
            let place = saved.places.remove(&name);
            Feed::new(name, source, place, wall)
        };
        let feeds: Vec<Feed> = sources.into_iter().map(feed).collect();
        let places = Places::new(mem::take(&mut saved.places));
        let mut core = Core {
            judge,
            jail,
            firewall,
            own: OwnAddresses::default(),
            evictions: Evictions::default(),
            stats,
            records: Records::new(keeping),
            trail: Trail::default(),
            names,
            unsettled: HashMap::new(),
            steady: Steady::new(clocks.apart()),
            clocks,
        };
        core.remember(&mut saved);
        core.take_over(saved.bans, theirs)?;
        if feeds.iter().all(Feed::is_live) {
            core.settle();
        }
        core.own_addresses_changed();
        core.firewall.allow(&core.jail.ignore_list().networks())?;
        Ok(Self { feeds, places, waiter, inbox, has_lost_a_log: false, core })
    }

    /// What enforces is from here on kept up even when this ends.
    pub fn commit(&mut self) -> Result<(), FirewallError> {
        self.core.firewall.commit()
    }

    /// See [`Firewall::detach`].
    pub fn detach(&mut self) -> Result<(), FirewallError> {
        self.core.firewall.detach()
    }

    /// Runs until it is told to stop, or every source has ended.
    pub fn run(&mut self) -> io::Result<()> {
        let result = self.read_on();
        if self.core.records.wait_for_last() {
            self.keep();
        }
        self.core.records.close();
        result
    }

    /// Whether [`Pipeline::run`] has ended though nobody wanted it to.
    #[must_use]
    pub fn has_lost_its_logs(&self) -> bool {
        !self.inbox.stopped() && self.feeds.is_empty() && self.has_lost_a_log
    }

    fn read_on(&mut self) -> io::Result<()> {
        let mut heartbeat = Heartbeat::new();
        while !self.inbox.stopped() && !self.feeds.is_empty() {
            heartbeat.beat(&self.core.stats);
            let read_any = self.read_all();
            if self.core.records.is_due() {
                self.keep();
            }
            if !read_any {
                self.waiter.wait()?;
            }
            let wall = self.core.wall_clock();
            // What a log that is late could still need is kept.
            let latest = self.feeds.iter().map(|feed| feed.now(wall)).min();
            self.core.housekeeping(wall, latest.unwrap_or(wall));
            let behind = self.feeds.iter().map(Feed::behind).sum();
            self.core.note_health(behind);
        }
        Ok(())
    }

    /// Reads one chunk of each source; `false` if none had anything. Of those that have much to
    /// catch up with, only of the one that is the least far: then their lines come in the order
    /// in which they were written, to a chunk.
    fn read_all(&mut self) -> bool {
        let mut read_any = false;
        let mut ended = Vec::new();
        self.obey();
        let oldest = self.feeds.iter().filter_map(Feed::old).min();
        for (index, feed) in self.feeds.iter_mut().enumerate() {
            if feed.old() > oldest {
                read_any = true;
                continue;
            }
            let now = self.core.wall_clock();
            let core = &mut self.core;
            let mut line = |line: &[u8], pace: &mut Pace| core.line(line, now, pace);
            match feed.read(&mut self.waiter, now, &mut line) {
                Progress::More => read_any = true,
                Progress::Idle | Progress::Pending => {}
                Progress::Ended => ended.push(index),
            }
        }
        for index in ended.into_iter().rev() {
            let mut feed = self.feeds.remove(index);
            self.has_lost_a_log = !matches!(feed.source(), Source::Stdin(_));
            self.places.left(&feed, self.core.clocks.now());
        }
        if !self.core.unsettled.is_empty() && self.feeds.iter().all(Feed::is_live) {
            self.core.settle();
        }
        let lag = self.feeds.iter().map(Feed::lag).max().unwrap_or_default();
        self.core.stats.lag_secs.store(lag.as_secs(), Ordering::Relaxed);
        read_any |= self.follow_found();
        self.obey();
        read_any
    }

    /// Reads what patterns have found as well; whether that is anything.
    fn follow_found(&mut self) -> bool {
        let mut sources: Vec<&mut Source> = self.feeds.iter_mut().map(Feed::source).collect();
        let found = source::found(&mut sources);
        let wall = self.core.wall_clock();
        let any = !found.is_empty();
        for source in found {
            let name = source.to_string();
            let place = self.places.take(&name);
            self.feeds.push(Feed::new(name, source, place, wall));
        }
        any
    }

    /// Hands over to the store what there is by now. Between chunks of lines: then what is known
    /// and how far logs were read belong together.
    fn keep(&mut self) {
        let wall = self.core.clocks.now();
        let Core { jail, records, firewall, stats, .. } = &mut self.core;
        let place = |feed: &Feed| {
            let (position, read_until) = (feed.position()?, feed.now(wall));
            Some(records.place(feed.name(), Place { position, read_until }))
        };
        let places = self.feeds.iter().filter_map(place).collect();
        let every = || {
            let bans = firewall.view().and_then(|view| view.bans());
            let in_force = bans.unwrap_or_default().into_iter().map(|ban| ban.order);
            in_force.filter(|order| order.expires.is_none_or(|end| end > wall)).collect()
        };
        let counters = || firewall.view().and_then(|view| view.counters()).ok();
        let dropped = records.wants_dropped().then(counters).flatten().map(|counters| Dropped {
            at: wall,
            packets: counters.dropped_packets,
            bytes: counters.dropped_bytes,
        });
        let left = &mut self.places;
        records.write(jail, wall, (stats.totals(), dropped), places, left, every);
    }
}

impl Core {
    /// Takes in what an earlier daemon knew of clients.
    fn remember(&mut self, saved: &mut Saved) {
        for history in saved.histories.drain(..) {
            self.jail.remember(&history);
        }
        let mut is_saved = saved.seeds.is_some() && !saved.has_other_rows;
        if let Err(error) = self.jail.restore(saved.rows.drain(..)) {
            tracing::error!("failures before this start are forgotten: {error}");
            is_saved = false;
        }
        self.jail.track(is_saved);
    }

    /// The time, and whether somebody has set the clock it is told by.
    fn wall_clock(&mut self) -> LogTime {
        if let Some(by) = self.steady.was_set(self.clocks.apart()) {
            tracing::warn!(
                "the clock of this host was set {} by {} s; bans end when they would have",
                if by < 0 { "back" } else { "forth" },
                by.unsigned_abs() / 1_000_000
            );
            self.jail.clock_was_set(by);
            self.records.clock_was_set(by);
        }
        self.clocks.now()
    }

    /// Returns the time of the line, if it has one. Dates without a year are told by the wall
    /// clock, everything else by that of the log.
    fn line(&mut self, line: &[u8], wall: LogTime, pace: &mut Pace) -> Option<LogTime> {
        let judgement = self.judge.judge(line, wall);
        self.note_line(judgement.time);
        let now = pace.line(judgement.time, wall);
        // A line without a timestamp is as old as its reading.
        let at = judgement.time.unwrap_or(now);
        match judgement.event {
            Some(Event::Login(login)) => {
                let outcome = self.jail.login(&login, at, now);
                self.note_login(&login, at, line);
                self.records.count(at.min(now), What::Login);
                self.forgive(login.ip, outcome);
            }
            Some(Event::MasterLogin(name)) => self.jail.master_login(name, at),
            Some(Event::Failure(failure)) => {
                let outcome = self.jail.failure(&failure, at, now);
                self.note_failure(&failure, at, line, &outcome);
                self.apply(&failure, outcome);
            }
            None => {}
        }
        judgement.time
    }

    fn apply(&mut self, failure: &Failure, outcome: Outcome) {
        let (ip, rule) = (failure.ip, failure.rule.name);
        match outcome {
            Outcome::Counted { guesses, attempts, maxretry, .. } => {
                if guesses > 1 {
                    tracing::info!("{ip}: {rule}, {guesses} guesses, {attempts}/{maxretry}");
                } else {
                    tracing::info!("{ip}: {rule}, {attempts}/{maxretry}");
                }
            }
            Outcome::Banned(ban) => self.enforce(&ban, "ban", rule),
            Outcome::Prolonged(ban) => self.enforce(&ban, "ban prolonged:", rule),
            Outcome::AlreadyBanned { subject } => {
                tracing::debug!("{ip}: {rule}, {} is banned already", show(&subject));
            }
            Outcome::Spared(why) => self.log_spared(failure, why),
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
            LoginOutcome::Lifted { subject } => {
                self.unsettled.remove(&subject);
                self.ended(&subject, FORGIVEN);
                match self.firewall.unban(&subject) {
                    Ok(_) => tracing::info!(
                        "unban {}: a user logged in, and without the silent probes and what failed \
                         for that name on that connection it would not be banned",
                        show(&subject)
                    ),
                    Err(error) => tracing::error!(
                        "the ban of {} should be lifted and is not, `doveblock unban` does it: \
                         {error}",
                        show(&subject)
                    ),
                }
            }
        }
    }

    fn enforce(&mut self, ban: &Ban, verb: &str, rule: &str) {
        let Ban { subject, at, expires, attempts } = *ban;
        let now = self.clocks.now();
        if expires.is_some_and(|end| end <= now) {
            // It was decided on in a log that is being caught up with.
            add(&self.stats.bans);
            self.records.count(at, What::Ban);
            tracing::info!("{}: {rule}, its ban has ended by now", show(&subject));
            return;
        }
        let order = Order { subject, banned_at: at, expires, attempts };
        let enforced = self.firewall.ban(&order);
        self.unsettled.remove(&subject);
        self.forget_evicted();
        match enforced {
            Ok(()) => {
                add(&self.stats.bans);
                self.records.count(at, What::Ban);
                let earlier = self.jail.bans_so_far(&subject, now).saturating_sub(1);
                let steps = self.trail.steps(&subject);
                self.records.banned(records::ban_with(&order, rule, earlier, steps));
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
            self.unsettled.remove(subject);
            self.ended(subject, "lifted: max_bans was reached");
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

    /// What time alone brings about. `latest` is how late it is in the log that is read latest.
    fn housekeeping(&mut self, now: LogTime, latest: LogTime) {
        let ended = self.jail.expire(latest);
        // The kernel has been passing their packets since the deadline; this frees the entries.
        // Those of a list end all at once.
        if !ended.is_empty()
            && let Err(error) = self.firewall.unban_many(&ended)
        {
            tracing::error!("ended bans cannot be removed: {error}");
        }
        for subject in &ended {
            self.ended(subject, "by itself");
        }
        match ended.as_slice() {
            few if few.len() <= MANY_ENDS => {
                few.iter().for_each(|it| tracing::info!("ban of {} has ended", show(it)));
            }
            many => tracing::info!("{} bans have ended", many.len()),
        }
        self.tell_of_evicted(now);
        self.firewall.tend();
        if self.own_addresses_changed() {
            self.allow_ignored();
        }
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

#[cfg(test)]
mod tests;
