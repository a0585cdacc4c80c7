//! Where to go on in a log that was read before, whatever was done to its files since.
//!
//! The place is looked for where the log is, and then in what it was rotated to. Everything that
//! is newer than the file of that place has not been read. A file that is nowhere any more took
//! what was unread in it along; then only what is written to now is read, since what else is
//! there may have been read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    super::{FilePosition, rotated},
    file::{FileId, LogFile},
    part::{self, Part},
};

/// What is to be read, the oldest first.
#[derive(Default)]
pub(super) struct Resumed {
    pub(super) backlog: Vec<Part>,
    /// The file that has the path, if it has been read in before.
    pub(super) current: Option<LogFile>,
}

/// `positions` are those of the files that were being read, the oldest first.
pub(super) fn resume(path: &Path, positions: &[FilePosition]) -> Resumed {
    let Some((newest, older)) = positions.split_last() else { return Resumed::default() };
    // Rotated files are beside the file itself, and not beside a link to it.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut resumed =
        Resumed { current: look(path, part::plain(path, newest)), ..Default::default() };
    if resumed.current.is_some() && older.is_empty() {
        return resumed;
    }
    let files = rotated(path, part::beside(path));
    for position in older {
        resumed.backlog.extend(find(&files, position).map(|(_, part)| part));
    }
    if resumed.current.is_some() {
        return resumed;
    }
    let found = find(&files, newest);
    match found {
        Some((at, part)) => {
            let newer: Vec<&PathBuf> = files.iter().skip(at + 1).collect();
            let names: Vec<_> =
                files.iter().skip(at).map(|file| file.display().to_string()).collect();
            tracing::info!(
                "{} was rotated in the meantime: reading what is left in {} first",
                path.display(),
                names.join(", ")
            );
            resumed.backlog.push(part);
            let whole =
                newer.into_iter().filter_map(|file| look(file, Part::whole(file).map(Some)));
            resumed.backlog.extend(whole);
        }
        None if newest.offset > 0 => tracing::warn!(
            "the file that {} was when it was read last is not there any more, nor a rotated or \
             packed one that goes on from there: what may have been left in it is lost",
            path.display()
        ),
        None => {}
    }
    resumed
}

/// The one of `files` that `position` is of, and which that is. The one with its number first:
/// short files can begin alike.
fn find(files: &[PathBuf], position: &FilePosition) -> Option<(usize, Part)> {
    let mut order: Vec<(bool, usize, &PathBuf)> = files
        .iter()
        .enumerate()
        .map(|(at, file)| (FileId::at(file).is_ok_and(|id| id.is_of(position)), at, file))
        .collect();
    order.sort_by_key(|(is_same, ..)| !is_same);
    order.into_iter().find_map(|(_, at, file)| Some((at, look(file, Part::from(file, position))?)))
}

/// What a log was copied to before it was cut back to its beginning, from `position` on.
pub(super) fn copy(path: &Path, position: &FilePosition) -> Option<Part> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let copies = rotated(path, part::beside(path)).into_iter().rev();
    copies.into_iter().find_map(|file| look(&file, Part::from(&file, position)))
}

/// What cannot be read is said and passed over.
fn look<T>(file: &Path, found: std::io::Result<Option<T>>) -> Option<T> {
    found.unwrap_or_else(|error| {
        if error.kind() != std::io::ErrorKind::NotFound {
            tracing::warn!("{} cannot be read: {error}", file.display());
        }
        None
    })
}
