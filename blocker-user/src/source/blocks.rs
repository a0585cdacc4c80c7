//! Logs that end: bytes in, blocks of whole lines out, in bounded memory whatever comes in.
//!
//! A block is large, so that reading and judging pay their overhead once per some thousand
//! lines. The lines are those of [`super::LineBuffer`]: cut at the same length, and without
//! the NUL bytes that a hole in the file puts before one.

use std::io::{self, Read};

use super::lines::MAX_LINE;

/// Room for several lines of the greatest length; small enough for a processor's cache.
const CAPACITY: usize = 256 * 1024;

/// Whole lines, the last of which lacks its newline where the log ends without one.
pub(crate) struct Block {
    buffer: Box<[u8]>,
    len: usize,
}

impl Default for Block {
    fn default() -> Self {
        Self { buffer: vec![0; CAPACITY].into_boxed_slice(), len: 0 }
    }
}

impl Block {
    pub(crate) fn lines(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn count(&self) -> u64 {
        let ends = memchr::memchr_iter(b'\n', self.lines()).count();
        let unended = self.lines().last().is_some_and(|last| *last != b'\n');
        u64::try_from(ends + usize::from(unended)).unwrap_or(u64::MAX)
    }

    /// Takes the NUL bytes before every line away, from `start` on.
    fn close_holes(&mut self, start: usize) {
        let added = self.buffer.get(start..self.len).unwrap_or_default();
        let Some(first) = memchr::memchr(0, added) else { return };
        let first = start + first;
        let mut kept = first;
        let mut before = first.checked_sub(1).and_then(|at| self.buffer.get(at).copied());
        for at in first..self.len {
            let Some(byte) = self.buffer.get(at).copied() else { break };
            if byte == 0 && matches!(before, None | Some(b'\n')) {
                continue;
            }
            if let Some(place) = self.buffer.get_mut(kept) {
                *place = byte;
            }
            before = Some(byte);
            kept += 1;
        }
        self.len = kept;
    }

    /// Takes what is behind `MAX_LINE` bytes out of every line that is longer.
    fn cut_long_lines(&mut self) {
        let mut start = 0;
        // No line is longer than the longest that may be if every stretch of that length has
        // an end in it: looking for those is quicker than looking at every line.
        while self.len.saturating_sub(start) > MAX_LINE {
            let stretch = self.buffer.get(start..=start + MAX_LINE).unwrap_or_default();
            if let Some(end) = memchr::memrchr(b'\n', stretch) {
                start += end + 1;
                continue;
            }
            let cut = start + MAX_LINE;
            let dropped = self.buffer.get(cut..self.len).unwrap_or_default();
            let dropped = memchr::memchr(b'\n', dropped).unwrap_or(dropped.len());
            self.buffer.copy_within(cut + dropped..self.len, cut);
            self.len -= dropped;
            start = cut + 1;
        }
    }
}

/// When a block is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// When it is well filled.
    Well,
    /// As soon as it has a whole line: somebody may be typing, or tailing.
    Soon,
}

pub(crate) struct Blocks<R> {
    input: R,
    fill: Fill,
    /// The beginning of the line that the last block ended before.
    rest: Vec<u8>,
    /// Whether that line is so long that what follows of it is dropped.
    dropping: bool,
    ended: bool,
    /// What ended it, until that has been told.
    error: Option<io::Error>,
}

impl<R: Read> Blocks<R> {
    pub(crate) fn new(input: R, fill: Fill) -> Self {
        Self { input, fill, rest: Vec::new(), dropping: false, ended: false, error: None }
    }

    /// Puts the next lines into `block`; `false` when there are no more. After an error there
    /// are none: a line of which only a part could be read is not handed on, for an address
    /// cut short is another address.
    pub(crate) fn next(&mut self, block: &mut Block) -> io::Result<bool> {
        block.len = 0;
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.ended {
            return Ok(false);
        }
        self.take_rest(block);
        let enough = match self.fill {
            Fill::Well => CAPACITY / 2,
            Fill::Soon => 1,
        };
        loop {
            let room = block.buffer.get_mut(block.len..).unwrap_or_default();
            let read = match self.input.read(room) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.ended = true;
                    if !self.whole_lines(block) {
                        return Err(error);
                    }
                    self.error = Some(error);
                    return Ok(true);
                }
            };
            if read == 0 {
                self.ended = true;
                block.cut_long_lines();
                return Ok(block.len > 0);
            }
            self.took(block, read);
            let is_full = block.len >= enough;
            if is_full && self.whole_lines(block) {
                return Ok(true);
            }
        }
    }

    fn take_rest(&mut self, block: &mut Block) {
        if let Some(start) = block.buffer.get_mut(..self.rest.len()) {
            start.copy_from_slice(&self.rest);
            block.len = self.rest.len();
        }
        self.rest.clear();
    }

    /// Counts `read` more bytes as the block's, without those that are to be dropped.
    fn took(&mut self, block: &mut Block, read: usize) {
        let (start, end) = (block.len, block.len + read);
        if !self.dropping {
            block.len = end;
        } else if let Some(at) =
            memchr::memchr(b'\n', block.buffer.get(start..end).unwrap_or_default())
        {
            self.dropping = false;
            block.buffer.copy_within(start + at..end, start);
            block.len = end - at;
        }
        block.close_holes(start);
    }

    /// Ends the block at its last newline and keeps what is behind it. `false` if it has none.
    fn whole_lines(&mut self, block: &mut Block) -> bool {
        let whole = memchr::memrchr(b'\n', block.lines()).map_or(0, |at| at + 1);
        let rest = block.lines().get(whole..).unwrap_or_default();
        self.dropping |= rest.len() >= MAX_LINE;
        if whole == 0 {
            block.len = block.len.min(MAX_LINE);
            return false;
        }
        self.rest.extend_from_slice(rest.get(..MAX_LINE).unwrap_or(rest));
        block.len = whole;
        block.cut_long_lines();
        true
    }
}

#[cfg(test)]
mod tests;
