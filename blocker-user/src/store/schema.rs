//! The tables, and how those of earlier versions become these.
//!
//! Times are microseconds since 1970. What an admin may want to look at (`sqlite3
//! doveblock.sqlite3 'SELECT * FROM bans'`) is in columns; the jail's tables hold rows that only
//! the version that wrote them can read.

use std::path::Path;

use rusqlite::Connection;

use super::StoreError;

/// `dove` in ASCII: tells our databases from others.
const APPLICATION: i32 = 0x646f_7665;

/// What makes each version of the one before. Never changed, only added to.
const MIGRATIONS: [&str; 4] = [
    "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE bans (
        subject TEXT PRIMARY KEY,
        jail TEXT NOT NULL,
        banned_at INTEGER NOT NULL,
        expires_at INTEGER,
        attempts INTEGER NOT NULL,
        cause TEXT NOT NULL,
        earlier_bans INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE history (
        subject TEXT PRIMARY KEY,
        bans INTEGER NOT NULL,
        banned_at INTEGER NOT NULL,
        ends_at INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE places (
        source TEXT PRIMARY KEY,
        position TEXT NOT NULL,
        read_until INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE jail (
        number INTEGER NOT NULL,
        key BLOB NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (number, key)
    ) WITHOUT ROWID;
",
    "
    CREATE TABLE steps (
        subject TEXT NOT NULL,
        number INTEGER NOT NULL,
        at INTEGER NOT NULL,
        address TEXT NOT NULL,
        rule TEXT NOT NULL,
        verdict TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (subject, number)
    ) WITHOUT ROWID;
    CREATE TABLE endings (
        subject TEXT PRIMARY KEY,
        ended_at INTEGER NOT NULL,
        how TEXT NOT NULL,
        bans INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX endings_by_time ON endings (ended_at);
",
    "
    CREATE TABLE counts (
        hour INTEGER NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (hour, kind, name)
    ) WITHOUT ROWID;
    CREATE TABLE past_bans (
        subject TEXT NOT NULL,
        banned_at INTEGER NOT NULL,
        expires_at INTEGER,
        ended_at INTEGER,
        how TEXT,
        attempts INTEGER NOT NULL,
        cause TEXT NOT NULL,
        earlier_bans INTEGER NOT NULL,
        PRIMARY KEY (subject, banned_at)
    ) WITHOUT ROWID;
    CREATE INDEX past_bans_by_time ON past_bans (banned_at);
    CREATE TABLE dropped (pins TEXT NOT NULL, packets INTEGER NOT NULL, bytes INTEGER NOT NULL);
",
    // One entry for each client: which to forget first, and how many there are.
    "CREATE INDEX steps_by_time ON steps (at) WHERE number = 0;",
];

/// Brings a database, new or of an earlier version, up to this one.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let sqlite = StoreError::sqlite(path);
    let number = |name: &str| {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0))
    };
    let (found, application) =
        (number("user_version").map_err(&sqlite)?, number("application_id").map_err(&sqlite)?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(&sqlite)?;
    if application != APPLICATION && (tables > 0 || found != 0) {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    let known = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    // Only a file in which there is nothing yet can be made one that gives space back. To one that
    // is such already this would write, which a full disk must not be asked for.
    if tables == 0 {
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL").map_err(&sqlite)?;
    }
    // Readers are never in the way of the writer, nor he in theirs. Without a sync at each
    // transaction a power cut can cost the last ones, but not their consistency.
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
             PRAGMA journal_size_limit = 16777216",
        )
        .map_err(&sqlite)?;
    let missing = MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX));
    if found < known {
        let steps: String = missing.copied().collect();
        connection
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; {steps} PRAGMA application_id = {APPLICATION}; \
                 PRAGMA user_version = {known}; COMMIT"
            ))
            .map_err(&sqlite)?;
    }
    Ok(())
}
