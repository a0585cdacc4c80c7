//! One file of a log, read from its first byte to its last, whatever its writers do to it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use inotify::WatchDescriptor;
use rustix::fs::OFlags;

use super::super::{LineBuffer, Progress};

/// How much of its beginning tells a file from the one that was there before. A log begins
/// with a time, so less would do.
const HEAD: usize = 256;

/// Which file it is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file that `path` leads to.
    pub(in crate::source) fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::of(&metadata))
    }

    fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

pub(super) struct LogFile {
    /// `None` after a failed read, until it is opened anew.
    file: Option<File>,
    path: PathBuf,
    id: FileId,
    offset: u64,
    /// The first bytes, as far as they have been read.
    head: Vec<u8>,
    lines: LineBuffer,
    watch: Option<WatchDescriptor>,
}

impl LogFile {
    pub(super) fn open(path: &Path, watch: Option<WatchDescriptor>) -> io::Result<Self> {
        let (file, id) = open(path)?;
        let (path, head) = (path.to_owned(), Vec::new());
        Ok(Self {
            file: Some(file),
            path,
            id,
            offset: 0,
            head,
            lines: LineBuffer::default(),
            watch,
        })
    }

    pub(super) fn id(&self) -> FileId {
        self.id
    }

    pub(super) fn into_watch(self) -> Option<WatchDescriptor> {
        self.watch
    }

    /// Reads on by one chunk. After an error the next call opens the file anew.
    pub(super) fn read(
        &mut self,
        chunk: &mut [u8],
        each: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Progress> {
        let file = match self.file.take() {
            Some(file) => file,
            None => match open(&self.path)? {
                (file, id) if id == self.id => file,
                // Another file has the path by now, which is for others to follow.
                _ => return Ok(Progress::Idle),
            },
        };
        let progress = self.read_from(&file, chunk, each)?;
        self.file = Some(file);
        Ok(progress)
    }

    fn read_from(
        &mut self,
        file: &File,
        chunk: &mut [u8],
        each: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Progress> {
        let len = match file.read_at(chunk, self.offset) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Progress::More),
            Err(error) => return Err(error),
        };
        // Asked after the read: what was read is of the file as it is now.
        if file.metadata()?.len() < self.offset || (len > 0 && !self.head_is_the_same(file)?) {
            tracing::info!(
                "{} was cut back to its beginning: reading it from there",
                self.path.display()
            );
            self.offset = 0;
            self.head.clear();
            self.lines = LineBuffer::default();
            return Ok(Progress::More);
        }
        let read = chunk.get(..len).unwrap_or_default();
        if read.is_empty() {
            return Ok(Progress::Idle);
        }
        self.head.extend(read.iter().take(HEAD - self.head.len()));
        self.offset += u64::try_from(len).unwrap_or(0);
        self.lines.feed(read, each);
        Ok(Progress::More)
    }

    /// A file that was cut back and has grown past the place where we are has other first
    /// bytes than those we read.
    fn head_is_the_same(&self, file: &File) -> io::Result<bool> {
        let mut now = [0; HEAD];
        let known = now.get_mut(..self.head.len()).unwrap_or_default();
        match file.read_exact_at(known, 0) {
            Ok(()) => Ok(known == self.head),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Opens a regular file, and nothing that could make us wait: a pipe without a writer would
/// hold the whole daemon up.
fn open(path: &Path) -> io::Result<(File, FileId)> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let what = "it is not a regular file; pipe it in with `--log -`";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok((file, FileId::of(&metadata)))
}
