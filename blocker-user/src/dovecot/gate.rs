//! Finds the lines that no rule can say anything of, many at once, before they are taken apart.
//!
//! A chunk of the log goes in, and for each of its lines comes out whether it is worth a
//! judge's time. The gate may pass a line that turns out to be innocent; it must never hold
//! back one of which the judge would say something. It therefore knows no rule: its words
//! are those by which [`super::prefix`] tells whose line it is, before any rule is asked, so
//! that a new rule needs nothing here.

use memchr::memmem::Finder;

use super::json;

/// Every line that is judged contains one of these: the end of a login service's name, and
/// what the auth process, its workers and PAM in their name have in common.
const WORDS: [&[u8]; 2] = [b"-login", b"auth"];

/// The words, ready to be searched for.
#[derive(Clone)]
pub(super) struct Gate([Finder<'static>; 2]);

impl Default for Gate {
    fn default() -> Self {
        Self(WORDS.map(Finder::new))
    }
}

impl Gate {
    /// The lines of `chunk` are asked after in their order.
    pub(super) fn over<'c>(&'c self, chunk: &'c [u8]) -> Passing<'c> {
        let words = self.0.each_ref().map(|finder| Word { finder, at: None });
        Passing { chunk, words }
    }
}

pub(super) struct Passing<'c> {
    chunk: &'c [u8],
    words: [Word<'c>; 2],
}

struct Word<'c> {
    finder: &'c Finder<'static>,
    /// Where it was found, or where the chunk ends if it was not.
    at: Option<usize>,
}

impl Passing<'_> {
    /// Whether the line from `start` to `end` is worth judging. What lies before `start` is
    /// not looked at again.
    pub(super) fn is_any_in(&mut self, start: usize, end: usize) -> bool {
        let chunk = self.chunk;
        let found = self.words.iter_mut().any(|word| word.next_from(chunk, start) < end);
        // In JSON the words can be written in other ways.
        found || chunk.get(start..end).is_some_and(|line| json::object(line).is_some())
    }
}

impl Word<'_> {
    fn next_from(&mut self, chunk: &[u8], start: usize) -> usize {
        match self.at {
            Some(at) if at >= start => at,
            _ => {
                let rest = chunk.get(start..).unwrap_or_default();
                let at = self.finder.find(rest).map_or(chunk.len(), |at| start + at);
                *self.at.insert(at)
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
