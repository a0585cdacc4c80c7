//! The file itself: found or made, locked, and moved aside where it is damaged.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};

use super::{Saved, StoreError, read, schema};
use crate::{daemon::wall_clock, jail::Table};

const NAME: &str = "doveblock.sqlite3";
/// How long somebody else, like an admin with a shell, may hold the database up.
const PATIENCE: Duration = Duration::from_secs(2);
/// The state names clients, and is nobody else's business.
const DIR_MODE: u32 = 0o700;

/// An open database.
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    /// Held for as long as it is open. SQLite's own locks let others in between transactions.
    _lock: File,
}

impl Database {
    /// The database in `dir`, made where there is none, and what is in it. A damaged one is
    /// moved aside.
    pub(super) fn open(dir: &Path) -> Result<(Self, Saved), StoreError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(DIR_MODE);
        builder.create(dir).map_err(StoreError::io("create", dir))?;
        let lock = File::open(dir).map_err(StoreError::io("open", dir))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::InUse(dir.to_owned())),
            Err(error) => return Err(StoreError::io("lock", dir)(error.into())),
        }
        let path = path(dir);
        let opened = match read_all(&path) {
            Err(StoreError::Damaged { reason, .. }) => {
                move_aside(&path, &reason)?;
                read_all(&path)
            }
            opened => opened,
        };
        let (connection, saved) = opened?;
        Ok((Self { connection, path, _lock: lock }, saved))
    }

    /// Makes a new one in the place of this one, which is damaged.
    pub(super) fn begin_anew(self, reason: &str) -> Result<Self, StoreError> {
        let Self { connection, path, _lock } = self;
        // What SQLite has to say about a file that is damaged is known already.
        let _damaged = connection.close();
        move_aside(&path, reason)?;
        let (connection, _) = read_all(&path)?;
        Ok(Self { connection, path, _lock })
    }

    pub(super) fn forget_bans(dir: &Path, pin_dir: &Path) -> Result<(), StoreError> {
        let path = path(dir);
        if !path.exists() {
            return Ok(());
        }
        let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        schema::prepare(&mut connection, &path)?;
        let sqlite = StoreError::sqlite(&path);
        let enforced_in = read::enforced_in(&connection).map_err(&sqlite)?;
        // Those of another pin directory are still in force.
        if enforced_in.is_some_and(|place| !place.ends_with(&format!(" {}", pin_dir.display()))) {
            return Ok(());
        }
        connection
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; DELETE FROM bans; DELETE FROM steps; DELETE FROM jail WHERE number = {}; COMMIT",
                Table::Active.number()
            ))
            .map_err(&sqlite)
    }
}

/// Where the database of a state directory is.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

/// For whoever only looks.
pub(super) fn read_only(path: &Path) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let sqlite = StoreError::sqlite(path);
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(&sqlite)?;
    connection.busy_timeout(PATIENCE).map_err(&sqlite)?;
    // What a large statement needs meanwhile would go into a file in a directory for temporary
    // ones, which a confined daemon cannot reach.
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(&sqlite)?;
    Ok(connection)
}

/// Opens the database and reads all of it: what can be read is not damaged.
fn read_all(path: &Path) -> Result<(Connection, Saved), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = connect(path, flags)?;
    schema::prepare(&mut connection, path)?;
    let saved = read::all(&connection).map_err(StoreError::sqlite(path))?;
    Ok((connection, saved))
}

/// What is in a database that cannot be written, as on a full disk: alone with it, SQLite needs
/// no file beside it.
pub(super) fn peek(dir: &Path) -> Option<Saved> {
    let path = dir.join(NAME);
    let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE").ok()?;
    schema::prepare(&mut connection, &path).ok()?;
    read::all(&connection).ok()
}

/// With what SQLite keeps beside it, which is of no use to another database.
fn move_aside(path: &Path, reason: &str) -> Result<(), StoreError> {
    let aside = with_ending(path, &format!(".corrupt-{}", wall_clock().as_secs()));
    fs::rename(path, &aside).map_err(StoreError::io("move aside", path))?;
    for ending in ["-wal", "-shm"] {
        let _there_is_none = fs::rename(with_ending(path, ending), with_ending(&aside, ending));
    }
    tracing::error!(
        "the database is damaged ({reason}): it is now {}, and doveblock begins a new one. Bans in \
         force stay; totals, earlier bans and how far logs were read are lost",
        aside.display()
    );
    Ok(())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
