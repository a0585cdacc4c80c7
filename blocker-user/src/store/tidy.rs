//! What is known of the past takes a bounded part of the disk, and what it does not take any
//! more is given back. Done in slices, while there is no batch to write.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Result, Transaction, TransactionBehavior};

use crate::time::LogTime;

/// How often it is looked for what can go. Counting 100,000 rows of an index takes milliseconds.
const EVERY: Duration = Duration::from_secs(10);

/// How much may stay, and how much goes at once.
struct Limits {
    /// Clients of which is known how their last ban ended, and clients of which is known what
    /// led to it. With eight lines of 250 bytes each, the latter take some 250 MB.
    clients: u32,
    /// Clients that are forgotten in one transaction, for which a batch may have to wait.
    slice: u32,
    /// Free pages, of 4096 bytes, that are kept for what comes next.
    spare_pages: u32,
    /// Pages that are given back at once.
    pages: u32,
}

const LIMITS: Limits = Limits { clients: 100_000, slice: 200, spare_pages: 1024, pages: 500 };

#[derive(Default)]
pub(super) struct Tidy {
    /// What ended before is of no interest any more.
    before: Option<LogTime>,
    /// Clients that are still to be forgotten; `None` where that has not been counted.
    left: Option<Left>,
    looked_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    endings: u32,
    trails: u32,
}

impl Left {
    const NOTHING: Self = Self { endings: 0, trails: 0 };
}

impl Tidy {
    /// See [`super::Batch::forget_before`].
    pub(super) fn forget_before(&mut self, before: Option<LogTime>) {
        self.before = before.or(self.before);
    }

    /// Whether there is something to do, or to look for.
    pub(super) fn is_due(&self) -> bool {
        self.left.is_some() || self.looked_at.is_none_or(|at| at.elapsed() >= EVERY)
    }

    /// Does a little of it.
    pub(super) fn slice(&mut self, connection: &mut Connection) -> Result<()> {
        self.slice_of(connection, &LIMITS).inspect_err(|_| self.done())
    }

    fn slice_of(&mut self, connection: &mut Connection, limits: &Limits) -> Result<()> {
        let left = match self.left {
            Some(left) => left,
            None => count(connection, self.before, limits)?,
        };
        let (endings, trails) = (left.endings.min(limits.slice), left.trails.min(limits.slice));
        if endings + trails > 0 {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            forget(&transaction, endings, trails)?;
            transaction.commit()?;
        }
        let is_spare = give_back(connection, limits)?;
        if left == Left::NOTHING && !is_spare {
            self.done();
            return Ok(());
        }
        let left = Left { endings: left.endings - endings, trails: left.trails - trails };
        // After the last one it is counted again.
        self.left = (left != Left::NOTHING).then_some(left);
        self.looked_at = None;
        Ok(())
    }

    fn done(&mut self) {
        self.left = None;
        self.looked_at = Some(Instant::now());
    }
}

fn count(connection: &Connection, before: Option<LogTime>, limits: &Limits) -> Result<Left> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u32>(0));
    let too_many = |count: u32| count.saturating_sub(limits.clients);
    let sql = "SELECT count(*) FROM endings WHERE ended_at < ?1";
    let old =
        before.map(|before| connection.query_row(sql, [before.as_micros()], |row| row.get(0)));
    let old: u32 = old.transpose()?.unwrap_or(0);
    let endings = old.max(too_many(number("SELECT count(*) FROM endings")?));
    // With these go trails, so those are counted when it is done.
    let trails = match endings {
        0 => too_many(number("SELECT count(*) FROM steps WHERE number = 0")?),
        _ => 0,
    };
    Ok(Left { endings, trails })
}

/// Of so many bans that ended longest ago, how they did and what led to them; and of so many
/// others, what led to them longest ago.
fn forget(transaction: &Transaction<'_>, endings: u32, trails: u32) -> Result<()> {
    let subjects = |sql: &str, most: u32| -> Result<Vec<String>> {
        transaction.prepare(sql)?.query_map([most], |row| row.get(0))?.collect()
    };
    let mut ending = transaction.prepare("DELETE FROM endings WHERE subject = ?1")?;
    let mut ended = transaction.prepare(
        "DELETE FROM steps WHERE subject = ?1 AND NOT EXISTS \
         (SELECT 1 FROM bans WHERE bans.subject = ?1)",
    )?;
    for subject in subjects("SELECT subject FROM endings ORDER BY ended_at LIMIT ?1", endings)? {
        ending.execute([&subject])?;
        ended.execute([&subject])?;
    }
    let mut trail = transaction.prepare("DELETE FROM steps WHERE subject = ?1")?;
    let sql = "SELECT subject FROM steps WHERE number = 0 ORDER BY at LIMIT ?1";
    for subject in subjects(sql, trails)? {
        trail.execute([&subject])?;
    }
    Ok(())
}

/// Shortens the file by what it has to spare; whether there is more of that. A file that was
/// made by a version which could not do that stays as long as it is.
fn give_back(connection: &Connection, limits: &Limits) -> Result<bool> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let spare = |free: u32| free.saturating_sub(limits.spare_pages);
    let before = number("freelist_count")?;
    let pages = spare(before).min(limits.pages);
    if pages == 0 {
        return Ok(false);
    }
    connection.pragma(None, "incremental_vacuum", pages, |_| Ok(()))?;
    let after = number("freelist_count")?;
    Ok(after < before && spare(after) > 0)
}

#[cfg(test)]
mod tests;
