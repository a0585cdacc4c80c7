//! Timestamps that were read a moment ago. A busy log has many lines of one second, and their
//! timestamps are the same bytes: to compare those is quicker than to read them again.

use super::event::Judgement;

/// Longer ones are read every time.
const LONGEST: usize = 40;

/// The last timestamp that began with a digit, and the last that did not: where two programs
/// write one log, they often write it in two layouts.
#[derive(Default)]
pub(super) struct Recent {
    digit: Option<Seen>,
    other: Option<Seen>,
}

struct Seen {
    text: [u8; LONGEST],
    len: usize,
    /// That of an innocent line.
    judgement: Judgement,
}

impl Recent {
    /// What was found for the timestamp that `line` begins with, if that was the last of its
    /// kind.
    pub(super) fn get(&self, line: &[u8]) -> Option<Judgement> {
        let seen = if line.first()?.is_ascii_digit() { &self.digit } else { &self.other };
        let Seen { text, len, judgement } = seen.as_ref()?;
        let rest = line.strip_prefix(text.get(..*len)?)?;
        ends_a_timestamp(rest).then_some(*judgement)
    }

    /// Remembers what was found for the timestamp of `line`, up to `rest`.
    pub(super) fn put(&mut self, line: &[u8], rest: &[u8], judgement: Judgement) {
        let len = line.len().saturating_sub(rest.len());
        let mut text = [0; LONGEST];
        let (Some(room), Some(stamp)) = (text.get_mut(..len), line.get(..len)) else { return };
        room.copy_from_slice(stamp);
        if ends_a_timestamp(rest) {
            let starts_with_digit = stamp.first().is_some_and(u8::is_ascii_digit);
            let seen = if starts_with_digit { &mut self.digit } else { &mut self.other };
            *seen = Some(Seen { text, len, judgement });
        }
    }
}

/// Whether nothing of `rest` can belong to the timestamp before it, as a year, an offset or
/// the name of a zone could. Hosts and services are in lower case.
fn ends_a_timestamp(rest: &[u8]) -> bool {
    rest.first().is_some_and(u8::is_ascii_lowercase)
}
