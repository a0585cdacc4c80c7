//! From what the command line names to readers of text.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

use indicatif::ProgressBar;

use crate::{
    cli::VerbError,
    source::{Archive, Fill, unpacked},
};

/// What one of the logs is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Log {
    File(PathBuf),
    Stdin,
    /// A line that stands on the command line itself.
    Line(String),
}

/// A log that was there when it was looked for.
pub(in crate::cli) struct Input {
    log: Log,
    /// Bytes of a regular file, packed as it is.
    pub(in crate::cli) len: Option<u64>,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.log {
            Log::File(path) => path.display().fmt(f),
            Log::Stdin => f.write_str("standard input"),
            Log::Line(_) => f.write_str("the line on the command line"),
        }
    }
}

/// Without those that were named before, by this name or another one: no line is to count twice.
/// What is not there is found later.
pub(in crate::cli) fn distinct<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    let is_new = |path: &&PathBuf| match fs::metadata(path) {
        Ok(file) if file.is_file() => seen.insert((file.dev(), file.ino())),
        _ => true,
    };
    paths.into_iter().filter(is_new).cloned().collect()
}

/// Finds what cannot be read before anything is judged.
pub(in crate::cli) fn check(logs: Vec<Log>) -> Result<Vec<Input>, VerbError> {
    logs.into_iter()
        .map(|log| {
            let len = match &log {
                Log::File(path) => file_len(path).map_err(|error| {
                    VerbError::Usage(format!("{} cannot be read: {error}", path.display()))
                })?,
                Log::Stdin => None,
                Log::Line(line) => u64::try_from(line.len()).ok(),
            };
            Ok(Input { log, len })
        })
        .collect()
}

/// The length of a regular file; nothing for a pipe, which must not be opened twice.
fn file_len(path: &PathBuf) -> io::Result<Option<u64>> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Ok(None);
    }
    File::open(path).map(|_| Some(metadata.len()))
}

impl Input {
    /// Its text, and how that is best read.
    pub(in crate::cli) fn open(
        &self,
        progress: &ProgressBar,
    ) -> io::Result<(Box<dyn Read + Send>, Fill)> {
        let fill = if self.len.is_some() { Fill::Well } else { Fill::Soon };
        let text = match &self.log {
            Log::File(path) => {
                let file = progress.wrap_read(File::open(path)?);
                unpacked(file, path.to_str().and_then(Archive::by_name))?
            }
            Log::Stdin => unpacked(io::stdin(), None)?,
            Log::Line(line) => Box::new(io::Cursor::new(line.clone().into_bytes())),
        };
        Ok((text, fill))
    }
}
