//! What outlives the process: a SQLite database in the state directory.
//!
//! Batches come in and are written by a thread of its own, each in one transaction, so that the
//! database is at every moment what the daemon knew behind one certain line of each log. Whoever
//! hands over a batch never waits: while one is being written there is no room for another, and
//! what changes meanwhile goes into the next.
//!
//! Nothing here can stop or delay enforcement. A database that cannot be written is tried again,
//! one that cannot be read is moved aside, and one that belongs to somebody else is left alone.

mod chronicle;
mod database;
mod error;
mod read;
mod schema;
mod tidy;
mod trail;
mod write;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ipnet::IpNet;

use crate::{
    dovecot::SEED_LEN,
    jail::{Changes, History},
    source::{Position, Waker},
    time::LogTime,
};

pub use chronicle::{
    BAN, BYTES, Chronicle, Counted, Dropped, FAILURE, Happened, KEPT, LOGIN, PACKETS, PastBan,
    Tally, What,
};
use database::Database;
pub use error::StoreError;
pub use trail::{Ending, Past, Reader, Step};
use write::Writer;

/// A ban in force, as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    pub subject: IpNet,
    pub banned_at: LogTime,
    /// `None` for one without end.
    pub expires: Option<LogTime>,
    pub attempts: u32,
    /// The rule that the last of its failures broke, or who asked for it.
    pub cause: String,
    /// Bans of the same subject before, as far as they are remembered.
    pub earlier: u32,
    /// What led to it, the oldest first. Only written, never read at a start; nothing here means
    /// nothing new.
    pub steps: Vec<Step>,
}

impl Ban {
    /// The same ban by a clock that is ahead by so many microseconds.
    #[must_use]
    pub fn moved(&self, micros: i64) -> Self {
        let moved = |at: LogTime| LogTime::from_micros(at.as_micros().saturating_add(micros));
        let (banned_at, expires) = (moved(self.banned_at), self.expires.map(moved));
        Self { banned_at, expires, ..self.clone() }
    }
}

/// Counts since there has been a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub lines: u64,
    pub failures: u64,
    pub bans: u64,
    pub evicted: u64,
}

/// Up to where a log was read, and what time it was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub position: Position,
    /// Lines after this one were not written before.
    pub read_until: LogTime,
}

/// The numbers that randomness comes from. They must stay what they are, or names could not be
/// compared any more, and lines that are judged again would give other ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    pub names: [u8; SEED_LEN],
    pub jail: u64,
}

/// What an earlier daemon knew.
#[derive(Debug, Default)]
pub struct Saved {
    pub bans: Vec<Ban>,
    pub histories: Vec<History>,
    /// Of the jail's tables.
    pub rows: Vec<(u8, Vec<u8>, Vec<u8>)>,
    /// There are rows that this version cannot read.
    pub has_other_rows: bool,
    pub totals: Totals,
    /// By the name of the source.
    pub places: BTreeMap<String, Place>,
    pub seeds: Option<Seeds>,
    /// Where its bans were enforced; see [`Batch::enforced_in`].
    pub enforced_in: Option<String>,
}

/// What has changed, all of it or nothing to be written.
#[derive(Default)]
pub struct Batch {
    /// Whether nothing of what is there is of any worth.
    pub all: bool,
    /// Whether `bans` are all that are in force, and others that are there have ended.
    pub every_ban: bool,
    pub jail: Changes,
    /// By so many microseconds the wall clock was set forth since the last batch.
    pub set_by: i64,
    /// `None` for those that have ended.
    pub bans: Vec<(IpNet, Option<Ban>)>,
    /// How some of those ended.
    pub endings: Vec<(IpNet, Ending)>,
    /// Bans that ended before this are of no interest any more, and forgotten in a while.
    pub forget_before: Option<LogTime>,
    pub totals: Totals,
    /// What is new since the last batch, hour by hour.
    pub tally: Tally,
    /// Bans, and their ends.
    pub happened: Vec<Happened>,
    /// Not in every batch.
    pub dropped: Option<Dropped>,
    pub places: Vec<(String, Place)>,
    pub seeds: Option<Seeds>,
    /// The pins that the bans of the database are enforced in, and of which boot.
    pub enforced_in: Option<String>,
    /// To be done once it is written, or has failed to be.
    pub after: Vec<Box<dyn FnOnce() + Send>>,
}

/// How the thread that writes is getting on.
#[derive(Default)]
struct State {
    /// A batch is being written, or waits for that to work.
    is_busy: AtomicBool,
    is_failing: AtomicBool,
    /// The database was made anew, and is to be told everything.
    is_blank: AtomicBool,
    is_stopping: AtomicBool,
    /// Times that something could not be written or read.
    errors: AtomicU64,
}

/// The way to the thread that writes.
pub struct Store {
    queue: SyncSender<Batch>,
    state: Arc<State>,
    thread: JoinHandle<()>,
}

impl Store {
    /// Opens the database in `dir` and reads what is there. `waker` is told when a batch has
    /// been written.
    pub fn open(dir: &Path, waker: Waker) -> Result<(Self, Saved), StoreError> {
        let (database, saved) = match Database::open(dir) {
            Ok((database, saved)) => (Some(database), saved),
            Err(error) if error.may_pass() => {
                let saved = database::peek(dir);
                let holds = match &saved {
                    Some(_) => "what it holds is taken over",
                    None => "nothing is known of earlier bans and of how far the logs were read",
                };
                tracing::error!(
                    "{error}; doveblock keeps no state until that works, which it tries again and \
                     again; {holds}, and bans are enforced all the same"
                );
                (None, saved.unwrap_or_default())
            }
            Err(error) => return Err(error),
        };
        let state = Arc::new(State::default());
        let is_blank = saved.seeds.is_none() || database.is_none();
        state.is_blank.store(is_blank, Ordering::Relaxed);
        let (queue, batches) = mpsc::sync_channel(1);
        let writer = Writer::new(dir, database, Arc::clone(&state), waker);
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(&batches))
            .map_err(StoreError::io("start a thread for", dir))?;
        Ok((Self { queue, state, thread }, saved))
    }

    /// Whether a batch would be taken.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.state.is_busy.load(Ordering::Acquire)
    }

    /// Whether nobody need wait for a batch to be written, since that does not work.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.state.is_failing.load(Ordering::Relaxed)
    }

    /// How often something could not be written or read so far.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.state.errors.load(Ordering::Relaxed)
    }

    /// Whether the next batch must be all there is. Says so once.
    #[must_use]
    pub fn take_blank(&self) -> bool {
        self.state.is_blank.swap(false, Ordering::Relaxed)
    }

    /// As if the database had been damaged, and made anew.
    #[cfg(test)]
    pub(crate) fn lose(&self) {
        self.state.is_blank.store(true, Ordering::Relaxed);
    }

    /// To be called only while it is idle.
    pub fn write(&self, batch: Batch) {
        self.state.is_busy.store(true, Ordering::Release);
        // It is idle, so the queue is empty; and the thread ends after this only.
        let _there_is_room = self.queue.try_send(batch);
    }

    /// Waits until everything that was handed over has been tried, but not for ever.
    pub fn close(self, limit: Duration) {
        let end = Instant::now() + limit;
        self.state.is_stopping.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        drop(self.queue);
        while !self.thread.is_finished() {
            if Instant::now() >= end {
                tracing::warn!("the database does not take what is left to be written in time");
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a batch would be taken, but not for ever.
    pub fn wait_idle(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while !self.is_idle() && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        self.is_idle()
    }
}

/// Every ban that is enforced in `pin_dir` is lifted: those of the database there must not come
/// back. Nothing happens where there is none.
pub fn forget_bans(dir: &Path, pin_dir: &Path) -> Result<(), StoreError> {
    Database::forget_bans(dir, pin_dir)
}

#[cfg(test)]
mod tests;
