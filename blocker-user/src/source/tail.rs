//! A log file that grows, is renamed and made anew, or is not there yet.
//!
//! The path is what counts, not the file: when another file takes the path, the old one is
//! read on for a while (its writer may still hold it open), then the new one from its start.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use inotify::WatchDescriptor;

use super::{LineBuffer, Progress, watch::Waiter};

const CHUNK: usize = 64 * 1024;
/// How long a file that lost its path is read on after its last line. Dovecot keeps writing
/// to it until it is told to reopen its log.
const RETIREMENT: Duration = Duration::from_secs(60);

pub struct Tail {
    path: PathBuf,
    current: Option<Open>,
    retired: Option<(Open, Instant)>,
    /// Why it cannot be read, as last said.
    trouble: Option<io::ErrorKind>,
    chunk: Box<[u8]>,
}

struct Open {
    file: File,
    id: FileId,
    offset: u64,
    lines: LineBuffer,
    watch: Option<WatchDescriptor>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl Tail {
    pub(super) fn new(path: PathBuf) -> Self {
        let chunk = vec![0; CHUNK].into_boxed_slice();
        Self { path, current: None, retired: None, trouble: None, chunk }
    }

    pub(super) fn read(
        &mut self,
        waiter: &mut Waiter,
        each: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Progress> {
        if let Some((old, heard)) = &mut self.retired {
            if old.read(&mut self.chunk, each)? == Progress::More {
                *heard = Instant::now();
                return Ok(Progress::More);
            }
            if heard.elapsed() > RETIREMENT {
                self.drop_retired(waiter, each);
            }
        }
        if let Some(open) = &mut self.current
            && open.read(&mut self.chunk, each)? == Progress::More
        {
            return Ok(Progress::More);
        }
        self.follow_path(waiter, each)
    }

    /// Looks whether the path leads to another file by now.
    fn follow_path(
        &mut self,
        waiter: &mut Waiter,
        each: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Progress> {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) => return Ok(self.explain(waiter, &error)),
        };
        let id = FileId::of(&metadata);
        if self.current.as_ref().is_some_and(|open| open.id == id) {
            return Ok(Progress::Idle);
        }
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) => return Ok(self.explain(waiter, &error)),
        };
        // The path may have changed hands again between the two calls: the file counts.
        let id = FileId::of(&file.metadata()?);
        // Watched before it is read for the first time, so that nothing falls between.
        let watch = waiter.watch_file(&self.path);
        self.watch_parent(waiter);
        let open = Open { file, id, offset: 0, lines: LineBuffer::default(), watch };
        if self.trouble.take().is_some() {
            tracing::info!("{} is there now: reading it", self.path.display());
        }
        if let Some(old) = self.current.replace(open) {
            tracing::info!("{} is a new file: reading on there", self.path.display());
            self.drop_retired(waiter, each);
            self.retired = Some((old, Instant::now()));
        }
        Ok(Progress::More)
    }

    fn drop_retired(&mut self, waiter: &mut Waiter, each: &mut dyn FnMut(&[u8])) {
        if let Some((mut old, _)) = self.retired.take() {
            old.lines.finish(each);
            if let Some(watch) = old.watch.take() {
                waiter.unwatch(watch);
            }
        }
    }

    fn explain(&mut self, waiter: &mut Waiter, error: &io::Error) -> Progress {
        self.watch_parent(waiter);
        if self.trouble.replace(error.kind()) != Some(error.kind()) {
            tracing::warn!("{} cannot be read ({error}): waiting for it", self.path.display());
        }
        Progress::Idle
    }

    fn watch_parent(&self, waiter: &mut Waiter) {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        waiter.watch_dir(parent.unwrap_or(".".as_ref()));
    }
}

impl Open {
    fn read(&mut self, chunk: &mut [u8], each: &mut dyn FnMut(&[u8])) -> io::Result<Progress> {
        if self.file.metadata()?.len() < self.offset {
            tracing::info!("a log was cut back to its beginning: reading it from there");
            self.offset = self.file.seek(SeekFrom::Start(0))?;
            self.lines = LineBuffer::default();
        }
        match self.file.read(chunk) {
            Ok(0) => Ok(Progress::Idle),
            Ok(len) => {
                self.offset += u64::try_from(len).unwrap_or(0);
                self.lines.feed(chunk.get(..len).unwrap_or(chunk), each);
                Ok(Progress::More)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Progress::More),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
