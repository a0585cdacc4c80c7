use std::io::{self, Read};

use proptest::prelude::*;

use super::{Block, Blocks, CAPACITY, Fill, MAX_LINE};
use crate::source::LineBuffer;

/// Gives its pieces one a read, then ends, or fails.
struct Pieces<'p> {
    pieces: Vec<&'p [u8]>,
    fails: bool,
}

impl Read for Pieces<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.pieces.first_mut() else {
            return if self.fails { Err(io::ErrorKind::InvalidData.into()) } else { Ok(0) };
        };
        let len = piece.read(room)?;
        if piece.is_empty() {
            self.pieces.remove(0);
        }
        Ok(len)
    }
}

fn lines(pieces: &[&[u8]], fill: Fill, fails: bool) -> (Vec<Vec<u8>>, Option<io::ErrorKind>) {
    let pieces = pieces.iter().copied().filter(|piece| !piece.is_empty()).collect();
    let mut blocks = Blocks::new(Pieces { pieces, fails }, fill);
    let (mut block, mut lines) = (Block::default(), Vec::new());
    loop {
        match blocks.next(&mut block) {
            Ok(true) => {
                let before = lines.len();
                let text = block.lines().strip_suffix(b"\n").unwrap_or(block.lines());
                lines.extend(text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
                assert_eq!(block.count(), u64::try_from(lines.len() - before).unwrap());
            }
            Ok(false) => return (lines, None),
            Err(error) => return (lines, Some(error.kind())),
        }
    }
}

/// What the daemon makes of the same bytes.
fn live(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut buffer = LineBuffer::default();
    let mut lines = Vec::new();
    for piece in pieces {
        buffer.feed(piece, &mut |line| lines.push(line.to_vec()));
    }
    if !pieces.concat().ends_with(b"\n") {
        buffer.feed(b"\n", &mut |line| lines.push(line.to_vec()));
        // Nothing was there, or a hole alone.
        lines.pop_if(|line| line.is_empty());
    }
    lines
}

#[test]
fn lines_of_every_length_are_cut_as_the_daemon_cuts_them() {
    let lengths =
        [0, 1, MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, CAPACITY - 1, CAPACITY, CAPACITY + 1];
    let mut text = Vec::new();
    for (length, letter) in lengths.iter().chain(&[CAPACITY * 3, 5, MAX_LINE * 2]).zip(b'a'..) {
        text.resize(text.len() + length, letter);
        text.push(b'\n');
    }
    let expected = live(&[&text]);
    assert_eq!(expected.len(), 11);
    for fill in [Fill::Well, Fill::Soon] {
        for piece in [1000, MAX_LINE, MAX_LINE + 1, CAPACITY, text.len()] {
            let pieces: Vec<&[u8]> = text.chunks(piece).collect();
            let found = lines(&pieces, fill, false).0;
            assert!(found == expected, "{fill:?}, read {piece} bytes at a time");
        }
    }
}

#[test]
fn an_endless_line_takes_no_more_memory_than_a_short_one() {
    let endless = io::repeat(b'x').take(1 << 26).chain(&b"\nnext"[..]);
    let mut blocks = Blocks::new(endless, Fill::Well);
    let mut block = Block::default();
    let mut found = Vec::new();
    while blocks.next(&mut block).unwrap() {
        found.extend(block.lines().split(|byte| *byte == b'\n').map(<[u8]>::len));
        assert!(blocks.rest.capacity() <= CAPACITY);
    }
    assert_eq!(found, [MAX_LINE, 4]);
}

#[test]
fn a_hole_before_a_line_is_no_part_of_it() {
    let hole = vec![0; CAPACITY * 2 + 1];
    let pieces = [&hole[..], b"\0one\n\0two\0\n", &hole, b"\n", &hole];
    for fill in [Fill::Well, Fill::Soon] {
        assert_eq!(lines(&pieces, fill, false).0, [&b"one"[..], b"two\0", b""]);
    }
}

#[test]
fn a_line_cut_off_by_an_error_is_not_handed_on() {
    let (found, error) = lines(&[b"one\ntwo\nrip=192.0.2"], Fill::Well, true);
    assert_eq!(found, [&b"one"[..], b"two"]);
    assert_eq!(error, Some(io::ErrorKind::InvalidData));
    assert_eq!(lines(&[b"rip=192.0.2"], Fill::Soon, true).0.len(), 0);
}

proptest! {
    #[test]
    fn the_lines_are_the_daemons_however_the_bytes_arrive(
        text in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(0), any::<u8>()],
            0..300,
        ),
        cuts in proptest::collection::vec(0_usize..300, 0..6),
        soon in any::<bool>(),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect();
        let fill = if soon { Fill::Soon } else { Fill::Well };
        prop_assert_eq!(lines(&pieces, fill, false).0, live(&pieces));
    }
}
