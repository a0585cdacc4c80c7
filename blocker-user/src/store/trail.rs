//! What led to each ban, and how bans ended: written beside them, read for one client at a time.
//!
//! None of it is held in memory. Whoever asks reads the database by itself, beside the thread
//! that writes, and neither is in the other's way.

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use rusqlite::{Connection, OptionalExtension as _, Result, Row, Transaction, params};

use super::{Batch, StoreError, database};
use crate::{daemon::show, time::LogTime};

/// Something that happened on the way to a ban: mostly a line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: LogTime,
    /// Whose doing it was; inside what is banned for it.
    pub address: IpNet,
    /// The rule that matched, or that somebody did it by hand.
    pub rule: String,
    /// What came of it.
    pub verdict: String,
    /// The line, or the reason that somebody gave. Hostile text.
    pub text: String,
}

/// How a ban ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub at: LogTime,
    /// In plain words.
    pub how: String,
    /// How many bans have ended so far, this one included.
    pub bans: u32,
}

/// What the database knows of one client.
#[derive(Debug, Default)]
pub struct Past {
    /// The oldest first.
    pub steps: Vec<Step>,
    pub ending: Option<Ending>,
    /// Of the ban in force: its cause, and how many there were before.
    pub ban: Option<(String, u32)>,
}

/// Reads a database that a [`super::Store`] writes.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) path: PathBuf,
}

impl Reader {
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self { path: database::path(dir) }
    }

    pub fn past(&self, subject: &IpNet) -> Result<Past, StoreError> {
        let connection = database::read_only(&self.path)?;
        past(&connection, &show(subject)).map_err(StoreError::sqlite(&self.path))
    }
}

fn past(connection: &Connection, subject: &str) -> Result<Past> {
    let sql = "SELECT at, address, rule, verdict, text FROM steps WHERE subject = ?1 \
               ORDER BY number";
    let steps = connection.prepare(sql)?.query_map([subject], step)?.collect::<Result<_>>()?;
    let sql = "SELECT ended_at, how, bans FROM endings WHERE subject = ?1";
    let ending = connection.query_row(sql, [subject], |row| {
        Ok(Ending { at: LogTime::from_micros(row.get(0)?), how: row.get(1)?, bans: row.get(2)? })
    });
    let sql = "SELECT cause, earlier_bans FROM bans WHERE subject = ?1";
    let ban = connection.query_row(sql, [subject], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(Past { steps, ending: ending.optional()?, ban: ban.optional()? })
}

fn step(row: &Row<'_>) -> Result<Step> {
    let address: String = row.get(1)?;
    Ok(Step {
        at: LogTime::from_micros(row.get(0)?),
        address: super::read::parse_subject(1, &address)?,
        rule: row.get(2)?,
        verdict: row.get(3)?,
        text: row.get(4)?,
    })
}

/// What led to the bans of `batch`, and the ends of others.
pub(super) fn put(transaction: &Transaction<'_>, batch: &Batch) -> Result<()> {
    let mut forget = transaction.prepare("DELETE FROM steps WHERE subject = ?1")?;
    let mut put = transaction.prepare("INSERT INTO steps VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let with_steps = batch.bans.iter().filter_map(|(subject, ban)| {
        let steps = &ban.as_ref()?.steps;
        (!steps.is_empty()).then_some((show(subject), steps))
    });
    for (subject, steps) in with_steps {
        forget.execute([&subject])?;
        for (number, step) in (0_u32..).zip(steps) {
            let Step { at, address, rule, verdict, text } = step;
            let address = show(address);
            put.execute(params![subject, number, at.as_micros(), address, rule, verdict, text])?;
        }
    }
    let mut put = transaction.prepare(
        "INSERT INTO endings VALUES (?1, ?2, ?3, ?4) ON CONFLICT (subject) DO UPDATE SET \
         ended_at = excluded.ended_at, how = excluded.how, bans = bans + excluded.bans",
    )?;
    for (subject, Ending { at, how, bans }) in &batch.endings {
        put.execute(params![show(subject), at.as_micros(), how, bans])?;
    }
    Ok(())
}
