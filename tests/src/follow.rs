//! A growing text file, read line by line as others write it.

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::wait;

/// Reads on from where it was. Only finished lines count.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    offset: u64,
}

impl Follow {
    /// From the first byte on.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0 }
    }

    /// From `offset` on.
    #[must_use]
    pub fn from(path: &Path, offset: u64) -> Self {
        Self { path: path.to_owned(), offset }
    }

    /// The lines finished since the last call.
    pub fn lines(&mut self) -> Result<Vec<String>> {
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(self.offset))?;
                file.read_to_end(&mut bytes)?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {:?}", self.path)),
        }
        let finished = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(finished);
        self.offset += u64::try_from(finished)?;
        Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
    }

    /// The next line that holds all of `parts`; those before it are passed over.
    pub fn wait_for(&mut self, limit: Duration, parts: &[&str]) -> Result<String> {
        self.wait_for_while(limit, parts, || Ok(true))
    }

    /// Like [`Follow::wait_for`], but gives up once nobody writes any more.
    pub fn wait_for_while(
        &mut self,
        limit: Duration,
        parts: &[&str],
        mut is_written: impl FnMut() -> Result<bool>,
    ) -> Result<String> {
        let what = format!("a line with {parts:?} in {}", self.path.display());
        wait::until(limit, &what, || {
            // Asked first: what was written before the end is read below.
            let is_written = is_written()?;
            let mut end = self.offset;
            for line in self.lines()? {
                end += u64::try_from(line.len())? + 1;
                if parts.iter().all(|part| line.contains(part)) {
                    // The lines behind it are for the next call.
                    self.offset = end;
                    return Ok(Some(line));
                }
            }
            ensure!(is_written, "nobody writes {} any more", self.path.display());
            Ok(None)
        })
    }
}
