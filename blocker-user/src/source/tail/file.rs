//! One file of a log, read from its first byte to its last, whatever its writers do to it.

use std::{
    fs::{self, File, OpenOptions},
    io, mem,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use inotify::WatchDescriptor;
use rustix::fs::OFlags;

use super::{
    super::{FilePosition, LineBuffer, Progress},
    mark::Mark,
};

/// Which file it is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileId {
    /// The file that `path` leads to.
    pub(in crate::source) fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::of(&metadata))
    }

    pub(super) fn is_of(self, position: &FilePosition) -> bool {
        self == Self { device: position.device, inode: position.inode }
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
    mark: Mark,
    /// How far it had been read when it was cut back.
    cut: Option<FilePosition>,
    was_cut: bool,
    lines: LineBuffer,
    watch: Option<WatchDescriptor>,
}

impl LogFile {
    pub(super) fn open(path: &Path, watch: Option<WatchDescriptor>) -> io::Result<Self> {
        let (file, id) = open(path)?;
        let (path, mark, lines) = (path.to_owned(), Mark::default(), LineBuffer::default());
        Ok(Self { file: Some(file), path, id, mark, cut: None, was_cut: false, lines, watch })
    }

    /// Reading goes on at `mark`, up to where it was read before.
    pub(super) fn go_on(self, mark: Mark) -> Self {
        Self { mark, ..self }
    }

    pub(super) fn watched(self, watch: Option<WatchDescriptor>) -> Self {
        Self { watch, ..self }
    }

    pub(super) fn position(&self) -> FilePosition {
        self.mark.position(self.id)
    }

    /// How far it had been read when it was cut back, if it was since this was last asked.
    pub(super) fn was_cut(&mut self) -> Option<FilePosition> {
        self.cut.filter(|_| mem::take(&mut self.was_cut))
    }

    /// What it was cut back from is read elsewhere.
    pub(super) fn forget_cut(&mut self) {
        self.cut = None;
    }

    /// The same; where nothing was read since it was cut back, how far it was read before that.
    pub(super) fn log_position(&self) -> FilePosition {
        let own = self.position();
        if own.offset > 0 { own } else { self.cut.unwrap_or(own) }
    }

    pub(super) fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        match &self.file {
            Some(file) => file.read_exact_at(bytes, at),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// How many bytes it holds behind the last whole line that was read.
    pub(super) fn behind(&self) -> u64 {
        let len = self.file.as_ref().and_then(|file| file.metadata().ok()).map(|file| file.len());
        len.unwrap_or(0).saturating_sub(self.position().offset)
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
        let len = match file.read_at(chunk, self.mark.read()) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Progress::More),
            Err(error) => return Err(error),
        };
        // Asked after the read: what was read is of the file as it is now.
        if file.metadata()?.len() < self.mark.read() || (len > 0 && !self.head_is_the_same(file)?) {
            tracing::info!(
                "{} was cut back to its beginning: reading it from there",
                self.path.display()
            );
            self.cut = Some(self.log_position());
            self.was_cut = true;
            self.mark = Mark::default();
            self.lines = LineBuffer::default();
            return Ok(Progress::More);
        }
        let read = chunk.get(..len).unwrap_or_default();
        if read.is_empty() {
            return Ok(Progress::Idle);
        }
        self.mark.add(read);
        self.lines.feed(read, each);
        Ok(Progress::More)
    }

    /// A file that was cut back and has grown past the place where we are has other first
    /// bytes than those we read.
    fn head_is_the_same(&self, file: &File) -> io::Result<bool> {
        let known = self.mark.head();
        let mut now = vec![0; known.len()];
        match file.read_exact_at(&mut now, 0) {
            Ok(()) => Ok(now == known),
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
