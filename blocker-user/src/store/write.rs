//! The thread that writes: a batch in, a transaction out, and whatever goes wrong with that.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, Result, Transaction, TransactionBehavior, params};

use super::{Batch, State, StoreError, chronicle, database::Database, tidy::Tidy, trail};
use crate::{
    config::JAIL,
    daemon::show,
    jail::{Changes, FORMAT},
    source::Waker,
    time::LogTime,
};

/// How soon a batch that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How soon it is tried again to open the database.
const REOPEN: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    dir: PathBuf,
    /// `None` while it cannot be opened.
    database: Option<Database>,
    opened_at: Instant,
    state: Arc<State>,
    waker: Waker,
    /// What is wrong, as last said.
    trouble: Option<String>,
    tidy: Tidy,
}

/// What became of a batch.
enum Written {
    Done,
    /// Another one is needed, of everything.
    Blank,
    NotYet,
}

impl Writer {
    pub(super) fn new(
        dir: &Path,
        database: Option<Database>,
        state: Arc<State>,
        waker: Waker,
    ) -> Self {
        let dir = dir.to_owned();
        state.is_failing.store(database.is_none(), Ordering::Relaxed);
        Self {
            dir,
            database,
            opened_at: Instant::now(),
            state,
            waker,
            trouble: None,
            tidy: Tidy::default(),
        }
    }

    /// Until nobody can hand over a batch any more.
    pub(super) fn run(mut self, batches: &Receiver<Batch>) {
        while let Some(mut batch) = self.next(batches) {
            loop {
                let written = self.write(&batch);
                // Those who wait for it are not to wait for a disk to be cleared.
                batch.after.drain(..).for_each(|done| done());
                if !matches!(written, Written::NotYet) {
                    if matches!(written, Written::Blank) {
                        self.state.is_blank.store(true, Ordering::Relaxed);
                    }
                    break;
                }
                if self.state.is_stopping.load(Ordering::Relaxed) {
                    return;
                }
                thread::park_timeout(AGAIN);
            }
            self.state.is_busy.store(false, Ordering::Release);
            self.waker.wake();
        }
    }

    /// Waits for it, and uses the time to forget what is too old or too much.
    fn next(&mut self, batches: &Receiver<Batch>) -> Option<Batch> {
        while let Some(database) = self.database.as_mut().filter(|_| self.tidy.is_due()) {
            match batches.try_recv() {
                Ok(batch) => return Some(batch),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            if let Err(error) = self.tidy.slice(&mut database.connection) {
                // Whatever it is, the next batch meets it, too, and that is said.
                tracing::debug!("what is old stays in the database for now: {error}");
            }
        }
        batches.recv().ok()
    }

    fn write(&mut self, batch: &Batch) -> Written {
        let Some(database) = &mut self.database else { return self.open() };
        let result = put(&mut database.connection, batch);
        match result.map_err(StoreError::sqlite(&database.path)) {
            Ok(()) => {
                self.tidy.forget_before(batch.forget_before);
                if self.trouble.take().is_some() {
                    tracing::info!("{} is written again", database.path.display());
                }
                self.state.is_failing.store(false, Ordering::Relaxed);
                Written::Done
            }
            Err(StoreError::Damaged { reason, .. }) => {
                self.state.errors.fetch_add(1, Ordering::Relaxed);
                match self.database.take().map(|database| database.begin_anew(&reason)) {
                    Some(Ok(database)) => self.database = Some(database),
                    Some(Err(error)) => self.explain(&error),
                    None => {}
                }
                Written::Blank
            }
            Err(error) => {
                self.explain(&error);
                Written::NotYet
            }
        }
    }

    /// Whatever it holds by now is older than what the daemon knows.
    fn open(&mut self) -> Written {
        if self.opened_at.elapsed() < REOPEN {
            return Written::NotYet;
        }
        self.opened_at = Instant::now();
        match Database::open(&self.dir) {
            Ok((database, _)) => {
                tracing::info!("{} is there now: keeping state in it", database.path.display());
                self.database = Some(database);
                Written::Blank
            }
            Err(error) => {
                self.explain(&error);
                Written::NotYet
            }
        }
    }

    fn explain(&mut self, error: &StoreError) {
        self.state.errors.fetch_add(1, Ordering::Relaxed);
        self.state.is_failing.store(true, Ordering::Relaxed);
        let text = error.to_string();
        if self.trouble.as_ref() != Some(&text) {
            tracing::error!(
                "the state cannot be written: {text}; bans are enforced all the same, and it is \
                 tried again and again"
            );
            self.trouble = Some(text);
        }
    }
}

/// All of it, or nothing.
fn put(connection: &mut Connection, batch: &Batch) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if batch.all {
        transaction.execute_batch(
            "DELETE FROM bans; DELETE FROM places; DELETE FROM jail; DELETE FROM steps; \
             DELETE FROM endings",
        )?;
    }
    put_meta(&transaction, batch)?;
    put_bans(&transaction, batch)?;
    trail::put(&transaction, batch)?;
    chronicle::put(&transaction, batch)?;
    put_jail(&transaction, &batch.jail)?;
    transaction.commit()
}

fn put_meta(transaction: &Transaction<'_>, batch: &Batch) -> Result<()> {
    let mut meta = transaction.prepare("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
    if let Some(seeds) = &batch.seeds {
        meta.execute(params!["name_seed", &seeds.names[..]])?;
        meta.execute(params!["jail_seed", &seeds.jail.to_le_bytes()[..]])?;
        meta.execute(params!["rows_format", &FORMAT.to_le_bytes()[..]])?;
    }
    if let Some(place) = &batch.enforced_in {
        meta.execute(params!["enforced_in", place.as_bytes()])?;
    }
    let mut totals = transaction.prepare("INSERT OR REPLACE INTO totals VALUES (?1, ?2)")?;
    let of = batch.totals;
    let named = [
        ("lines", of.lines),
        ("failures", of.failures),
        ("bans", of.bans),
        ("evicted", of.evicted),
    ];
    for (name, value) in named {
        totals.execute(params![name, i64::try_from(value).unwrap_or(i64::MAX)])?;
    }
    let mut places = transaction.prepare("INSERT OR REPLACE INTO places VALUES (?1, ?2, ?3)")?;
    for (source, place) in &batch.places {
        let Ok(position) = serde_json::to_string(&place.position) else { continue };
        places.execute(params![source, position, place.read_until.as_micros()])?;
    }
    Ok(())
}

fn put_bans(transaction: &Transaction<'_>, batch: &Batch) -> Result<()> {
    if batch.set_by != 0 {
        chronicle::move_bans(transaction, batch.set_by)?;
        transaction.execute(
            "UPDATE bans SET banned_at = banned_at + ?1, expires_at = expires_at + ?1",
            [batch.set_by],
        )?;
    }
    if batch.every_ban {
        transaction.execute("DELETE FROM bans", [])?;
    }
    let mut put =
        transaction.prepare("INSERT OR REPLACE INTO bans VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let mut delete = transaction.prepare("DELETE FROM bans WHERE subject = ?1")?;
    for (subject, ban) in &batch.bans {
        let subject = show(subject);
        match ban {
            None => delete.execute([subject])?,
            Some(ban) => put.execute(params![
                subject,
                JAIL,
                ban.banned_at.as_micros(),
                ban.expires.map(LogTime::as_micros),
                ban.attempts,
                ban.cause,
                ban.earlier,
            ])?,
        };
    }
    Ok(())
}

fn put_jail(transaction: &Transaction<'_>, changes: &Changes) -> Result<()> {
    for table in &changes.forget {
        transaction.execute("DELETE FROM jail WHERE number = ?1", [table.number()])?;
    }
    let mut put = transaction.prepare("INSERT OR REPLACE INTO jail VALUES (?1, ?2, ?3)")?;
    let mut delete = transaction.prepare("DELETE FROM jail WHERE number = ?1 AND key = ?2")?;
    for row in &changes.rows {
        match &row.value {
            Some(value) => put.execute(params![row.table.number(), row.key, value])?,
            None => delete.execute(params![row.table.number(), row.key])?,
        };
    }
    if changes.forget_histories {
        transaction.execute("DELETE FROM history", [])?;
    }
    let mut put = transaction.prepare("INSERT OR REPLACE INTO history VALUES (?1, ?2, ?3, ?4)")?;
    let mut delete = transaction.prepare("DELETE FROM history WHERE subject = ?1")?;
    for (subject, history) in &changes.histories {
        let subject = show(subject);
        match history {
            None => delete.execute([subject])?,
            Some(past) => put.execute(params![
                subject,
                past.bans,
                past.at.as_micros(),
                past.end.map(LogTime::as_micros),
            ])?,
        };
    }
    Ok(())
}
