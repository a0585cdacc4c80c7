//! A log file that grows, is renamed and made anew, cut back, or is not there yet.
//!
//! The path is what counts, not the file: when another file takes the path, the old one is
//! read on for a while (its writer may still hold it open), then the new one from its start.
//! Nothing that happens to a file ends this: what cannot be read is said once and tried again.

mod file;

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Progress, watch::Waiter};
use file::LogFile;

pub(super) use file::FileId;

const CHUNK: usize = 64 * 1024;
/// How long a file that lost its path is read on after its last line. Dovecot keeps writing
/// to it until it is told to reopen its log.
const RETIREMENT: Duration = Duration::from_secs(60);

pub struct Tail {
    path: PathBuf,
    current: Option<LogFile>,
    retired: Option<(LogFile, Instant)>,
    /// Why it cannot be read, as last said.
    trouble: Option<io::ErrorKind>,
    chunk: Box<[u8]>,
}

impl Tail {
    pub(super) fn new(path: PathBuf) -> Self {
        let chunk = vec![0; CHUNK].into_boxed_slice();
        Self { path, current: None, retired: None, trouble: None, chunk }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this file is being read, whatever it is called by now.
    pub(super) fn holds(&self, id: FileId) -> bool {
        let retired = self.retired.as_ref().map(|(file, _)| file);
        self.current.iter().chain(retired).any(|file| file.id() == id)
    }

    pub(super) fn read(&mut self, waiter: &mut Waiter, each: &mut dyn FnMut(&[u8])) -> Progress {
        if let Some((old, heard)) = &mut self.retired {
            match old.read(&mut self.chunk, each) {
                Ok(Progress::More) => {
                    *heard = Instant::now();
                    return Progress::More;
                }
                Ok(_) if heard.elapsed() <= RETIREMENT => {}
                // Its time is over, or it cannot be read any more.
                Ok(_) | Err(_) => self.drop_retired(waiter),
            }
        }
        match self.current.as_mut().map(|file| file.read(&mut self.chunk, each)) {
            Some(Ok(Progress::More)) => Progress::More,
            Some(Err(error)) => {
                // The next look opens it anew and goes on where this one ended.
                self.explain(&error);
                Progress::Idle
            }
            Some(Ok(_)) | None => self.follow_path(waiter),
        }
    }

    /// Looks whether the path leads to another file by now.
    fn follow_path(&mut self, waiter: &mut Waiter) -> Progress {
        let id = match FileId::at(&self.path) {
            Ok(id) => id,
            Err(error) => return self.wait_for_it(waiter, &error),
        };
        if self.current.as_ref().is_some_and(|file| file.id() == id) {
            return Progress::Idle;
        }
        if self.retired.as_ref().is_some_and(|(old, _)| old.id() == id) {
            return self.take_back();
        }
        // Watched before it is read for the first time, so that nothing falls between.
        let watch = waiter.watch_file(&self.path);
        self.watch_parent(waiter);
        let file = match LogFile::open(&self.path, watch) {
            Ok(file) => file,
            Err(error) => return self.wait_for_it(waiter, &error),
        };
        if self.trouble.take().is_some() {
            tracing::info!("{} is there now: reading it", self.path.display());
        }
        if let Some(old) = self.current.replace(file) {
            tracing::info!("{} is a new file: reading on there", self.path.display());
            self.drop_retired(waiter);
            self.retired = Some((old, Instant::now()));
        }
        Progress::More
    }

    /// The file before this one has its name again: it was read up to where it was read.
    fn take_back(&mut self) -> Progress {
        if let Some((old, _)) = self.retired.take() {
            tracing::info!("{} is the file before again: reading on there", self.path.display());
            let other = self.current.replace(old);
            self.retired = other.map(|file| (file, Instant::now()));
        }
        Progress::More
    }

    /// What it holds of a line that was never finished goes with it: half a line can name
    /// half an address.
    fn drop_retired(&mut self, waiter: &mut Waiter) {
        if let Some(watch) = self.retired.take().and_then(|(old, _)| old.into_watch()) {
            waiter.unwatch(watch);
        }
    }

    fn wait_for_it(&mut self, waiter: &mut Waiter, error: &io::Error) -> Progress {
        self.watch_parent(waiter);
        self.explain(error);
        Progress::Idle
    }

    fn explain(&mut self, error: &io::Error) {
        if self.trouble.replace(error.kind()) != Some(error.kind()) {
            tracing::warn!("{} cannot be read ({error}): waiting for it", self.path.display());
        }
    }

    fn watch_parent(&self, waiter: &mut Waiter) {
        let watch = |path: &Path, waiter: &mut Waiter| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            waiter.watch_dir(parent.unwrap_or(".".as_ref()));
        };
        watch(&self.path, waiter);
        // Where a link leads to, files come and go in another directory.
        if let Ok(true) = self.path.symlink_metadata().map(|found| found.is_symlink())
            && let Ok(target) = self.path.canonicalize()
        {
            watch(&target, waiter);
        }
    }
}

#[cfg(test)]
mod tests;
