//! What happened hour by hour, and every ban with its end: written with the batches that are
//! written anyway, read for reports.
//!
//! Unlike what the jail needs, none of it is ever read at a start. It is kept for [`KEPT`].

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;
use rusqlite::{Connection, OptionalExtension as _, Result, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{Ban, Batch, Ending, Reader, StoreError, database};
use crate::{daemon::show, report::When, time::LogTime};

/// How long it is kept; three months show what is usual.
pub const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Most bans that are kept, the latest: an attacker can have as many as he has addresses.
const MOST_KEPT: u32 = 100_000;
/// Most bans that a report lists.
const MOST_TOLD: u32 = 10_000;
const HOUR: i64 = 3_600_000_000;
const COUNT: &str = "INSERT INTO counts VALUES (?1, ?2, ?3, ?4) ON CONFLICT (hour, kind, name) \
                     DO UPDATE SET count = count + excluded.count";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// By the name of its rule.
    Failure(&'static str),
    Login,
    Ban,
}

impl What {
    fn columns(self) -> (&'static str, &'static str) {
        match self {
            Self::Failure(rule) => (FAILURE, rule),
            Self::Login => (LOGIN, ""),
            Self::Ban => (BAN, ""),
        }
    }
}

pub const FAILURE: &str = "failure";
pub const LOGIN: &str = "login";
pub const BAN: &str = "ban";
pub const PACKETS: &str = "dropped packets";
pub const BYTES: &str = "dropped bytes";

/// Counts by the hour, in microseconds since 1970.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<(i64, What), u64>);

impl Tally {
    pub fn add(&mut self, at: LogTime, what: What) {
        *self.0.entry((hour(at), what)).or_default() += 1;
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The beginning of its hour.
fn hour(at: LogTime) -> i64 {
    at.as_micros().div_euclid(HOUR).saturating_mul(HOUR)
}

/// What the XDP program had counted at a time, since it has its pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    pub at: LogTime,
    pub packets: u64,
    pub bytes: u64,
}

/// In the order they happened.
#[derive(Clone, Debug)]
pub enum Happened {
    Banned(Ban),
    Ended(IpNet, Ending),
}

/// Hours and bans of a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chronicle {
    /// The beginning of an hour.
    pub from: When,
    pub to: When,
    /// Hours in which nothing was counted are not there.
    pub counts: Vec<Counted>,
    /// The first so many, in the order of time.
    pub bans: Vec<PastBan>,
    pub bans_left_out: u64,
    /// Clients with at least one of all those bans.
    pub clients: u64,
}

/// So many of a kind in one hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub hour: When,
    pub kind: String,
    /// The rule of failures; empty for everything else.
    pub name: String,
    pub count: u64,
}

/// A ban, in force or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastBan {
    pub ip: String,
    pub banned_at: When,
    /// `null` for one without end.
    pub expires_at: Option<When>,
    /// `null` while it is in force.
    pub ended_at: Option<When>,
    /// In plain words.
    pub ended_how: Option<String>,
    pub cause: String,
    pub attempts: u32,
    pub earlier_bans: u32,
}

/// Before the bans of the batch are written, as it asks when those began that are there.
pub(super) fn move_bans(transaction: &Transaction<'_>, by_micros: i64) -> Result<()> {
    transaction.execute(
        "UPDATE OR REPLACE past_bans SET banned_at = banned_at + ?1, expires_at = expires_at + ?1 \
         WHERE ended_at IS NULL AND EXISTS (SELECT 1 FROM bans \
         WHERE bans.subject = past_bans.subject AND bans.banned_at = past_bans.banned_at)",
        [by_micros],
    )?;
    Ok(())
}

pub(super) fn put(transaction: &Transaction<'_>, batch: &Batch) -> Result<()> {
    let mut count = transaction.prepare(COUNT)?;
    for ((hour, what), more) in &batch.tally.0 {
        let (kind, name) = what.columns();
        count.execute(params![hour, kind, name, signed(*more)])?;
    }
    // A ban that is told of twice is one.
    let mut begin = transaction.prepare(
        "INSERT INTO past_bans VALUES (?1, ?2, ?3, NULL, NULL, ?4, ?5, ?6) \
         ON CONFLICT (subject, banned_at) DO UPDATE SET expires_at = excluded.expires_at",
    )?;
    let mut end = transaction.prepare(
        "UPDATE past_bans SET ended_at = ?2, how = ?3 WHERE subject = ?1 AND ended_at IS NULL",
    )?;
    for happened in &batch.happened {
        match happened {
            Happened::Banned(ban) => begin.execute(params![
                show(&ban.subject),
                ban.banned_at.as_micros(),
                ban.expires.map(LogTime::as_micros),
                ban.attempts,
                ban.cause,
                ban.earlier,
            ])?,
            Happened::Ended(subject, Ending { at, how, .. }) => {
                end.execute(params![show(subject), at.as_micros(), how])?
            }
        };
    }
    if let Some(dropped) = &batch.dropped {
        put_dropped(transaction, dropped, batch.enforced_in.as_deref().unwrap_or_default())?;
        purge(transaction, dropped.at.before(KEPT))?;
    }
    Ok(())
}

/// The kernel's counters begin anew with other pins. What they had counted before this database
/// knew of them is nobody's hour.
fn put_dropped(transaction: &Transaction<'_>, dropped: &Dropped, pins: &str) -> Result<()> {
    let before: Option<(String, i64, i64)> = transaction
        .query_row("SELECT pins, packets, bytes FROM dropped", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let more = |now: u64, before: i64| {
        let before = u64::try_from(before).unwrap_or(0);
        now.checked_sub(before).unwrap_or(now)
    };
    let (packets, bytes) = match before {
        None => (0, 0),
        Some((of, ..)) if of != pins => (dropped.packets, dropped.bytes),
        Some((_, packets, bytes)) => (more(dropped.packets, packets), more(dropped.bytes, bytes)),
    };
    if packets > 0 {
        let mut count = transaction.prepare(COUNT)?;
        for (kind, more) in [(PACKETS, packets), (BYTES, bytes)] {
            count.execute(params![hour(dropped.at), kind, "", signed(more)])?;
        }
    }
    transaction.execute("DELETE FROM dropped", [])?;
    transaction.execute(
        "INSERT INTO dropped VALUES (?1, ?2, ?3)",
        params![pins, signed(dropped.packets), signed(dropped.bytes)],
    )?;
    Ok(())
}

fn purge(transaction: &Transaction<'_>, before: LogTime) -> Result<()> {
    let before = before.as_micros();
    transaction.execute("DELETE FROM counts WHERE hour < ?1", [before])?;
    transaction.execute("DELETE FROM past_bans WHERE banned_at < ?1", [before])?;
    transaction.execute(
        "DELETE FROM past_bans WHERE banned_at < \
         (SELECT banned_at FROM past_bans ORDER BY banned_at DESC LIMIT 1 OFFSET ?1)",
        [MOST_KEPT],
    )?;
    Ok(())
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Reader {
    /// From the hour of `since` on.
    pub fn chronicle(&self, since: LogTime, now: LogTime) -> Result<Chronicle, StoreError> {
        let connection = database::read_only(&self.path)?;
        read(&connection, hour(since), now).map_err(StoreError::sqlite(&self.path))
    }
}

fn read(connection: &Connection, from: i64, now: LogTime) -> Result<Chronicle> {
    let counts = connection
        .prepare("SELECT hour, kind, name, count FROM counts WHERE hour >= ?1 ORDER BY hour")?
        .query_map([from], counted)?
        .collect::<Result<_>>()?;
    // Of too many the latest, in the order of time.
    let sql = "SELECT * FROM (SELECT subject, banned_at, expires_at, ended_at, how, attempts, cause, \
               earlier_bans FROM past_bans WHERE banned_at >= ?1 \
               ORDER BY banned_at DESC LIMIT ?2) ORDER BY banned_at";
    let bans = connection
        .prepare(sql)?
        .query_map([from, i64::from(MOST_TOLD)], past_ban)?
        .collect::<Result<Vec<_>>>()?;
    let sql = "SELECT count(*), count(DISTINCT subject) FROM past_bans WHERE banned_at >= ?1";
    let (all, clients): (u64, u64) =
        connection.query_row(sql, [from], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))?;
    Ok(Chronicle {
        from: When(LogTime::from_micros(from)),
        to: When(now),
        counts,
        bans_left_out: all.saturating_sub(bans.len() as u64),
        bans,
        clients,
    })
}

fn counted(row: &Row<'_>) -> Result<Counted> {
    Ok(Counted {
        hour: time(row, 0)?,
        kind: row.get(1)?,
        name: row.get(2)?,
        count: unsigned(row, 3)?,
    })
}

fn past_ban(row: &Row<'_>) -> Result<PastBan> {
    let optional = |column| -> Result<Option<When>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(|at| When(LogTime::from_micros(at))))
    };
    Ok(PastBan {
        ip: row.get(0)?,
        banned_at: time(row, 1)?,
        expires_at: optional(2)?,
        ended_at: optional(3)?,
        ended_how: row.get(4)?,
        attempts: row.get(5)?,
        cause: row.get(6)?,
        earlier_bans: row.get(7)?,
    })
}

fn time(row: &Row<'_>, column: usize) -> Result<When> {
    row.get(column).map(|at| When(LogTime::from_micros(at)))
}

fn unsigned(row: &Row<'_>, column: usize) -> Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}
