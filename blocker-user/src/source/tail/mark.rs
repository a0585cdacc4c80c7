//! How far one file has been read, in lines, and what its bytes are known by.

use super::super::{FilePosition, Fingerprint};
use super::file::FileId;

/// How much of its beginning tells a file from the one that was there before, and how much
/// before the place where reading goes on. A log begins with a time, so less would do.
const LEN: usize = 256;

#[derive(Default)]
pub(super) struct Mark {
    /// Bytes that were read.
    read: u64,
    /// The first of them.
    head: Vec<u8>,
    /// The last of them.
    recent: Vec<u8>,
    /// Where the line begins whose end has not been read.
    line: u64,
    /// What is before that.
    before: Vec<u8>,
}

impl Mark {
    /// Of a file that goes on at `offset`, where a line begins.
    pub(super) fn at(offset: u64, head: Vec<u8>, before: Vec<u8>) -> Self {
        Self { read: offset, head, recent: before.clone(), line: offset, before }
    }

    pub(super) fn read(&self) -> u64 {
        self.read
    }

    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Takes note of the bytes that were read next.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.head.extend(bytes.iter().take(LEN - self.head.len().min(LEN)));
        if let Some(end) = memchr::memrchr(b'\n', bytes) {
            let lines = bytes.get(..=end).unwrap_or_default();
            self.before = last(&self.recent, lines);
            self.line = self.read + len(lines);
        }
        self.recent = last(&self.recent, bytes);
        self.read += len(bytes);
    }

    pub(super) fn position(&self, id: FileId) -> FilePosition {
        let lines = usize::try_from(self.line).unwrap_or(usize::MAX).min(self.head.len());
        FilePosition {
            device: id.device,
            inode: id.inode,
            offset: self.line,
            head: Fingerprint::of(self.head.get(..lines).unwrap_or_default()),
            before: Fingerprint::of(&self.before),
        }
    }
}

/// The last bytes of the two together.
fn last(first: &[u8], second: &[u8]) -> Vec<u8> {
    let of_second = second.get(second.len().saturating_sub(LEN)..).unwrap_or_default();
    let room = LEN - of_second.len();
    let of_first = first.get(first.len().saturating_sub(room)..).unwrap_or_default();
    [of_first, of_second].concat()
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{LEN, Mark};
    use crate::source::{Fingerprint, tail::file::FileId};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_position_is_behind_the_last_whole_line_however_it_was_read(
            text in proptest::collection::vec(prop_oneof![3 => Just(b'x'), 1 => Just(b'\n'), 2 => any::<u8>()], 0..1500),
            step in 1_usize..700,
        ) {
            let mut mark = Mark::default();
            text.chunks(step).for_each(|chunk| mark.add(chunk));
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let position = mark.position(FileId { device: 1, inode: 2 });
            prop_assert_eq!(position.offset, whole as u64);
            prop_assert_eq!(position.head, Fingerprint::of(&text[..whole.min(LEN)]));
            prop_assert_eq!(position.before, Fingerprint::of(&text[whole.saturating_sub(LEN)..whole]));
        }
    }
}
