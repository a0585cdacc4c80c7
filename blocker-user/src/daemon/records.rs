//! What goes to the store, and when.
//!
//! About once a second everything that has changed goes there in one batch: the jail, the bans
//! in force, the totals, and how far each log was read. So a restart, however the end came, goes
//! on behind a line with exactly what was known there, and judges what came after once more.
//! What somebody did by hand goes there before he hears that it is done.

use std::{
    mem,
    time::{Duration, Instant},
};

use ipnet::IpNet;

use super::{places::Places, unwritten::Unwritten};
use crate::{
    firewall::Order,
    jail::Jail,
    store::{Ban, Batch, Dropped, Ending, Place, Seeds, Step, Store, Tally, Totals, What},
    time::LogTime,
};

const INTERVAL: Duration = Duration::from_secs(1);
/// How often it is written that nothing came.
const QUIET: Duration = Duration::from_secs(60);
/// How often it is asked what the kernel has dropped meanwhile.
const COUNTING: Duration = Duration::from_secs(10);
/// How long the end of the daemon waits for the last batch.
const LAST: Duration = Duration::from_secs(3);
/// How long a batch takes at most where the disk does not hang.
const SLOW: Duration = Duration::from_secs(60);
/// The cause of a ban of which nothing else is known.
const BEFORE: &str = "in force before this daemon";
/// That of one which may have been forgotten again before it could be written.
const UNKNOWN: &str = "not known any more, since the database could not be written";

/// A store and what only the pipeline knows of it.
pub struct Keeping {
    pub store: Store,
    pub seeds: Seeds,
    /// See [`Batch::enforced_in`].
    pub enforced_in: String,
}

#[derive(Default)]
pub(super) struct Records {
    /// `None` where no state is kept.
    keeping: Option<Keeping>,
    unwritten: Unwritten,
    tally: Tally,
    /// When it was asked last what the kernel has dropped, and the answer.
    counted_at: Option<Instant>,
    dropped: Option<(u64, u64)>,
    after: Vec<Box<dyn FnOnce() + Send>>,
    /// By how much the ends of what is written are to be moved.
    set_by: i64,
    written_at: Option<Instant>,
    /// The daemon is ending.
    is_last: bool,
    /// What was written last.
    last: Option<(Totals, Vec<(String, Place)>)>,
}

impl Records {
    pub(super) fn new(keeping: Option<Keeping>) -> Self {
        Self { keeping, ..Self::default() }
    }

    pub(super) fn banned(&mut self, ban: Ban) {
        if self.keeping.is_some() {
            self.unwritten.banned(ban, self.is_stuck());
        }
    }

    pub(super) fn adopted(&mut self, order: &Order, earlier: u32) {
        self.banned(ban(order, BEFORE, earlier));
    }

    pub(super) fn ended(&mut self, subject: &IpNet) {
        if self.keeping.is_some() {
            self.unwritten.ended(*subject, self.is_stuck());
        }
    }

    /// How it ended.
    pub(super) fn ending(&mut self, subject: IpNet, ending: Ending) {
        if self.keeping.is_some() {
            self.unwritten.ending(subject, ending, self.is_stuck());
        }
    }

    /// Whether nothing can be written for now, or nobody knows when.
    fn is_stuck(&self) -> bool {
        self.keeping.as_ref().is_some_and(|Keeping { store, .. }| {
            let is_slow = self.written_at.is_some_and(|at| at.elapsed() > SLOW);
            store.is_failing() || (is_slow && !store.is_idle())
        })
    }

    /// For the report, by the hour.
    pub(super) fn count(&mut self, at: LogTime, what: What) {
        if self.keeping.is_some() {
            self.tally.add(at, what);
        }
    }

    /// Whether it is time to say what the kernel has dropped.
    pub(super) fn wants_dropped(&self) -> bool {
        self.is_last || self.counted_at.is_none_or(|at| at.elapsed() >= COUNTING)
    }

    /// How often the database could not be written or read so far.
    pub(super) fn errors(&self) -> u64 {
        self.keeping.as_ref().map_or(0, |keeping| keeping.store.errors())
    }

    /// Does `done` when all that has happened so far is written, or cannot be.
    pub(super) fn when_written(&mut self, done: impl FnOnce() + Send + 'static) {
        match &self.keeping {
            Some(keeping) if !keeping.store.is_failing() => self.after.push(Box::new(done)),
            _ => done(),
        }
    }

    /// The wall clock was set forth by so many microseconds.
    pub(super) fn clock_was_set(&mut self, by_micros: i64) {
        self.set_by = self.set_by.saturating_add(by_micros);
        self.unwritten.clock_was_set(by_micros);
    }

    /// Whether a batch is to be made now.
    pub(super) fn is_due(&self) -> bool {
        let Some(Keeping { store, .. }) = &self.keeping else { return false };
        let is_time = self.written_at.is_none_or(|at| at.elapsed() >= INTERVAL);
        store.is_idle() && (is_time || !self.after.is_empty())
    }

    /// Where the reading of a log stands. That time goes on there while no line comes is not
    /// written every time.
    pub(super) fn place(&self, source: &str, place: Place) -> (String, Place) {
        let places = self.last.iter().flat_map(|(_, places)| places);
        let mut same = places.filter(|(of, last)| {
            let lately = place.read_until.since(last.read_until) < QUIET;
            of == source && last.position == place.position && lately && !self.is_last
        });
        same.next().cloned().unwrap_or_else(|| (source.to_owned(), place))
    }

    /// Hands over what has changed. `every` are all bans in force, which a new database needs.
    pub(super) fn write(
        &mut self,
        jail: &mut Jail,
        wall: LogTime,
        (totals, dropped): (Totals, Option<Dropped>),
        places: Vec<(String, Place)>,
        left: &mut Places,
        every: impl FnOnce() -> Vec<Order>,
    ) {
        let Some(Keeping { store, seeds, enforced_in }) = &self.keeping else { return };
        self.written_at = Some(Instant::now());
        let mut batch = Batch { totals, places, ..Batch::default() };
        if store.take_blank() {
            jail.track(false);
            self.unwritten.add(every().iter().map(|order| ban(order, BEFORE, 0)).collect());
            batch.all = true;
        } else if self.unwritten.lacks_bans() {
            self.unwritten.add(every().iter().map(|order| ban(order, UNKNOWN, 0)).collect());
        }
        batch.jail = jail.changes();
        let now = Some((batch.totals, batch.places.clone()));
        if dropped.is_some() {
            self.counted_at = self.written_at;
        }
        let told = |of: Dropped| (of.packets, of.bytes);
        batch.dropped = dropped.filter(|of| batch.all || self.dropped != Some(told(*of)));
        let is_nothing = !batch.all
            && batch.dropped.is_none()
            && self.tally.is_empty()
            && now == self.last
            && batch.jail.is_empty()
            && self.unwritten.is_empty()
            && left.are_written()
            && self.set_by == 0;
        if is_nothing {
            self.after.drain(..).for_each(|done| done());
            return;
        }
        self.last = now;
        self.dropped = batch.dropped.map(told).or(self.dropped);
        batch.tally = mem::take(&mut self.tally);
        batch.places.extend(left.take_unwritten(batch.all));
        batch.seeds = Some(*seeds);
        batch.enforced_in = Some(enforced_in.clone());
        batch.set_by = mem::take(&mut self.set_by);
        batch.forget_before = Some(wall.before(jail.policy().dbpurgeage));
        self.unwritten.hand_over(&mut batch);
        batch.after = mem::take(&mut self.after);
        store.write(batch);
    }

    /// Whether there is anything to write to for a last time.
    pub(super) fn wait_for_last(&mut self) -> bool {
        self.is_last = true;
        self.keeping
            .as_ref()
            .is_some_and(|keeping| !keeping.store.is_failing() && keeping.store.wait_idle(LAST))
    }

    #[cfg(test)]
    pub(super) fn lose(&self) {
        self.keeping.iter().for_each(|keeping| keeping.store.lose());
    }

    /// Whether everything that was handed over is written by now, or in a while.
    #[cfg(test)]
    pub(super) fn is_written(&self, limit: Duration) -> bool {
        self.keeping.as_ref().is_none_or(|keeping| keeping.store.wait_idle(limit))
    }

    pub(super) fn close(&mut self) {
        std::mem::take(&mut self.after).into_iter().for_each(|done| done());
        if let Some(keeping) = self.keeping.take() {
            keeping.store.close(LAST);
        }
    }
}

pub(super) fn ban(order: &Order, cause: &str, earlier: u32) -> Ban {
    let Order { subject, banned_at, expires, attempts } = *order;
    let steps = Vec::new();
    Ban { subject, banned_at, expires, attempts, cause: cause.to_owned(), earlier, steps }
}

/// With what led to it.
pub(super) fn ban_with(order: &Order, cause: &str, earlier: u32, steps: Vec<Step>) -> Ban {
    Ban { steps, ..ban(order, cause, earlier) }
}
