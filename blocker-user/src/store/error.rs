//! What can be wrong with the state directory, and what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "another doveblock keeps its state in {}; give this one a --state-dir of its own",
        .0.display()
    )]
    InUse(PathBuf),

    #[error(
        "{} is of a newer doveblock (version {found} of the database, this one knows {known}): start \
         that one again, or move the file away", path.display()
    )]
    Newer { path: PathBuf, found: i32, known: i32 },

    #[error("{} is a database of another program; name another --state-dir", .0.display())]
    Foreign(PathBuf),

    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },

    #[error("{}: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },

    #[error("{}: {source}", path.display())]
    Sqlite {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
}

impl StoreError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// SQLite tells a damaged file from one that cannot be used for now.
    pub(super) fn sqlite(path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path: path.clone(), reason: source.to_string() }
            }
            Some(_) => Self::Sqlite { path: path.clone(), source },
            // A value of another type than this version writes.
            None => Self::Damaged { path: path.clone(), reason: source.to_string() },
        }
    }

    /// Whether it can be otherwise later, without anybody doing anything about the file.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Sqlite { .. } => true,
            Self::InUse(_) | Self::Newer { .. } | Self::Foreign(_) | Self::Damaged { .. } => false,
        }
    }
}
