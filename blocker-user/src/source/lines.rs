//! Chunks to lines, in bounded memory.

/// Longer lines are cut here and the rest is dropped up to the next newline.
pub(super) const MAX_LINE: usize = crate::dovecot::CUT_AT;

/// Holds the beginning of a line whose end has not been read yet.
#[derive(Default)]
pub(crate) struct LineBuffer {
    partial: Vec<u8>,
}

impl LineBuffer {
    /// Hands every line that `chunk` completes to `each`, without its newline.
    pub(crate) fn feed(&mut self, chunk: &[u8], each: &mut dyn FnMut(&[u8])) {
        let mut rest = chunk;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if self.partial.is_empty() {
                let line = without_leading_nul(line);
                each(line.get(..MAX_LINE).unwrap_or(line));
            } else {
                self.append(line);
                each(&self.partial);
                self.partial.clear();
            }
        }
        self.append(rest);
    }

    fn append(&mut self, bytes: &[u8]) {
        let bytes = if self.partial.is_empty() { without_leading_nul(bytes) } else { bytes };
        let room = MAX_LINE.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}

/// A file that is cut back under a writer that does not append gets a hole, which reads as
/// NUL, before the line that is written next.
fn without_leading_nul(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| *byte != 0).unwrap_or(line.len());
    line.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{LineBuffer, MAX_LINE};
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut buffer = LineBuffer::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            buffer.feed(chunk, &mut |line| lines.push(line.to_vec()));
        }
        // What has no end yet is not handed over.
        if !chunks.concat().ends_with(b"\n") {
            buffer.feed(b"\n", &mut |line| lines.push(line.to_vec()));
        }
        lines
    }

    #[test]
    fn a_line_written_in_pieces_is_one_line() {
        assert_eq!(lines(&[b"on", b"e\ntwo\n\nth", b"ree"]), [&b"one"[..], b"two", b"", b"three"]);
    }

    #[test]
    fn a_hole_before_a_line_is_no_part_of_it() {
        let hole = vec![0; MAX_LINE * 2];
        assert_eq!(lines(&[&hole, b"\0one\n\0two\0\n"]), [&b"one"[..], b"two\0"]);
    }

    #[test]
    fn an_endless_line_is_cut_and_the_next_one_is_whole() {
        let long = vec![b'x'; MAX_LINE * 3];
        let found = lines(&[&long, &long, b"\nnext\n"]);
        assert_eq!(found[0].len(), MAX_LINE);
        assert_eq!(found[1], b"next");
        assert_eq!(lines(&[&[&long[..], b"\nnext\n"].concat()])[0].len(), MAX_LINE);
    }

    proptest! {
        #[test]
        fn where_the_chunks_are_cut_does_not_matter(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0_usize..200, 0..5),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect();
            prop_assert_eq!(lines(&chunks), lines(&[&text]));
        }
    }
}
