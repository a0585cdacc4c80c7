//! Timestamps that were read a moment ago. A busy log has many lines of one second, and their
//! timestamps are the same bytes but for the fraction: to compare those is quicker than to read
//! them again.

use super::{event::Judgement, timestamp::fraction};
use crate::time::LogTime;

/// Longer ones are read every time.
const LONGEST: usize = 40;
const SECOND_MICROS: i64 = 1_000_000;

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
    fraction: Option<Fraction>,
    /// That of an innocent line.
    judgement: Judgement,
    /// The clock by which it was found.
    now: LogTime,
}

/// Where in a timestamp its fraction is, and the second it is one of.
#[derive(Clone, Copy)]
struct Fraction {
    start: usize,
    end: usize,
    second: LogTime,
}

impl Recent {
    /// The judgement on an innocent line with the timestamp that `line` begins with, if the last
    /// of its kind was of the same second, and what follows the timestamp.
    #[inline]
    pub(super) fn get<'l>(
        &mut self,
        line: &'l [u8],
        now: LogTime,
    ) -> Option<(&Judgement, &'l [u8])> {
        let starts_with_digit = line.first()?.is_ascii_digit();
        let seen = if starts_with_digit { &mut self.digit } else { &mut self.other };
        let Seen { text, len, fraction: known, judgement, now: then } = seen.as_mut()?;
        let rest = match *known {
            None => line.strip_prefix(text.get(..*len)?)?,
            Some(Fraction { start, end, second }) => {
                let rest = line.strip_prefix(text.get(..start)?)?;
                let (micros, rest) = fraction(rest).filter(|_| begins_a_fraction(rest))?;
                judgement.time = Some(LogTime::from_micros(second.as_micros() + i64::from(micros)));
                rest.strip_prefix(text.get(end..*len)?)?
            }
        };
        (*then == now && ends_a_timestamp(rest)).then_some((&*judgement, rest))
    }

    /// Remembers what was found for the timestamp of `line`, up to `rest`.
    pub(super) fn put(&mut self, line: &[u8], rest: &[u8], judgement: &Judgement, now: LogTime) {
        let Some(seen) = Seen::new(line, rest, judgement, now) else { return };
        let starts_with_digit = line.first().is_some_and(u8::is_ascii_digit);
        *(if starts_with_digit { &mut self.digit } else { &mut self.other }) = Some(seen);
    }
}

impl Seen {
    fn new(line: &[u8], rest: &[u8], judgement: &Judgement, now: LogTime) -> Option<Self> {
        let len = line.len().checked_sub(rest.len()).filter(|_| ends_a_timestamp(rest))?;
        let (stamp, mut text) = (line.get(..len)?, [0; LONGEST]);
        text.get_mut(..len)?.copy_from_slice(stamp);
        let fraction = match memchr::memchr2(b'.', b',', stamp) {
            None => None,
            Some(start) => Some(Fraction::new(stamp, start, judgement.time?)?),
        };
        Some(Self { text, len, fraction, judgement: *judgement, now })
    }
}

impl Fraction {
    /// Whether it is one, and not a dot in a date, its own value tells.
    fn new(stamp: &[u8], start: usize, time: LogTime) -> Option<Self> {
        let (micros, rest) = fraction(stamp.get(start..)?)?;
        let is_only_one = memchr::memchr2(b'.', b',', rest).is_none();
        let is_the_time_s = time.as_micros().rem_euclid(SECOND_MICROS) == i64::from(micros);
        let second = LogTime::from_micros(time.as_micros() - i64::from(micros));
        let end = stamp.len() - rest.len();
        (is_only_one && is_the_time_s).then_some(Self { start, end, second })
    }
}

fn begins_a_fraction(rest: &[u8]) -> bool {
    matches!(rest.first(), Some(b'.' | b','))
}

/// Whether nothing of `rest` can belong to the timestamp before it, as a year, an offset or
/// the name of a zone could. Hosts and services are in lower case.
fn ends_a_timestamp(rest: &[u8]) -> bool {
    rest.first().is_some_and(u8::is_ascii_lowercase)
}
