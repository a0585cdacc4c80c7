//! The rest of a file that a log was written to before the one it is written to now: renamed, a
//! copy, or packed.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    super::{Archive, FilePosition, Fingerprint, LineBuffer, Progress, unpacked},
    file::{FileId, LogFile},
    mark::Mark,
};

pub(super) enum Part {
    /// It may yet grow.
    Plain(LogFile),
    Packed(Packed),
}

/// A file that is packed. It has an end.
pub(super) struct Packed {
    id: FileId,
    text: Box<dyn Read + Send>,
    mark: Mark,
    lines: LineBuffer,
}

impl Part {
    /// The file at `path` from its beginning.
    pub(super) fn whole(path: &Path) -> io::Result<Self> {
        match packing(path) {
            Some(_) => Packed::open(path).map(Self::Packed),
            None => LogFile::open(path, None).map(Self::Plain),
        }
    }

    /// The file at `path` from `position` on; `None` if that is of another file.
    pub(super) fn from(path: &Path, position: &FilePosition) -> io::Result<Option<Self>> {
        match packing(path) {
            Some(_) => Ok(Packed::from(path, position)?.map(Self::Packed)),
            None => Ok(plain(path, position)?.map(Self::Plain)),
        }
    }

    pub(super) fn read(
        &mut self,
        chunk: &mut [u8],
        each: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Progress> {
        match self {
            Self::Plain(file) => file.read(chunk, each),
            Self::Packed(packed) => packed.read(chunk, each),
        }
    }

    pub(super) fn position(&self) -> FilePosition {
        match self {
            Self::Plain(file) => file.position(),
            Self::Packed(packed) => packed.mark.position(packed.id),
        }
    }
}

fn packing(path: &Path) -> Option<Archive> {
    path.file_name().and_then(|name| name.to_str()).and_then(Archive::by_name)
}

/// The file at `path` if it has at `position` what was read up to there.
pub(super) fn plain(path: &Path, position: &FilePosition) -> io::Result<Option<LogFile>> {
    // An empty head is any file's: then only its number tells.
    if position.head.len == 0 && !FileId::at(path)?.is_of(position) {
        return Ok(None);
    }
    let file = LogFile::open(path, None)?;
    let bytes = |at: u64, print: Fingerprint| -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; usize::try_from(print.len).unwrap_or(usize::MAX)];
        match file.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok((Fingerprint::of(&bytes) == print).then_some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    };
    let before = position.offset.saturating_sub(position.before.len.into());
    let (head, before) = (bytes(0, position.head)?, bytes(before, position.before)?);
    Ok(match (head, before) {
        (Some(head), Some(before)) => Some(file.go_on(Mark::at(position.offset, head, before))),
        _ => None,
    })
}

impl Packed {
    fn open(path: &Path) -> io::Result<Self> {
        let id = FileId::at(path)?;
        let text = unpacked(File::open(path)?, packing(path))?;
        Ok(Self { id, text, mark: Mark::default(), lines: LineBuffer::default() })
    }

    fn from(path: &Path, position: &FilePosition) -> io::Result<Option<Self>> {
        let mut packed = Self::open(path)?;
        if position.head.len == 0 {
            return Ok(packed.id.is_of(position).then_some(packed));
        }
        let mut chunk = [0; 16 * 1024];
        while packed.mark.read() < position.offset {
            // The head first: most files are others already by that.
            let room = match packed.mark.read() {
                0 => u64::from(position.head.len),
                read => position.offset - read,
            };
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len());
            let len = read_some(&mut packed.text, chunk.get_mut(..room).unwrap_or_default())?;
            let is_head = packed.mark.read() == 0;
            let read = chunk.get(..len).unwrap_or_default();
            packed.mark.add(read);
            if len == 0 || (is_head && Fingerprint::of(read) != position.head) {
                return Ok(None);
            }
        }
        let found = packed.mark.position(packed.id);
        let is_it = found.offset == position.offset && found.before == position.before;
        Ok(is_it.then_some(packed))
    }

    fn read(&mut self, chunk: &mut [u8], each: &mut dyn FnMut(&[u8])) -> io::Result<Progress> {
        let len = read_some(&mut self.text, chunk)?;
        let read = chunk.get(..len).unwrap_or_default();
        if read.is_empty() {
            return Ok(Progress::Ended);
        }
        self.mark.add(read);
        self.lines.feed(read, each);
        Ok(Progress::More)
    }
}

/// As much as fits, unless it ends before: a decoder may hand out less than there is.
fn read_some(from: &mut dyn Read, to: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = to.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Everything in the directory of `path`.
pub(super) fn beside(path: &Path) -> Vec<PathBuf> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let entries = fs::read_dir(parent.unwrap_or(".".as_ref()));
    entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
