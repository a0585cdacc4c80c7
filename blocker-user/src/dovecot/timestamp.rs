//! The layouts of timestamps at the start of a line.

use super::scan::number;

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    Syslog,
    Iso8601,
}

impl Layout {
    pub const ALL: [Self; 2] = [Self::Syslog, Self::Iso8601];

    /// An example, with what can be missing in brackets.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::Syslog => "Nov 24 17:00:00",
            Self::Iso8601 => "2026-11-24T17:00:00[.123456][+01:00]",
        }
    }
}

/// A timestamp as written. It becomes a point in time in [`super::clock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) layout: Layout,
    /// `None` in the classic syslog layout, which has no year.
    pub(super) year: Option<i16>,
    pub(super) month: i8,
    pub(super) day: i8,
    pub(super) hour: i8,
    pub(super) minute: i8,
    pub(super) second: i8,
    pub(super) micros: i32,
    /// Seconds east of UTC, where the stamp says so; local time otherwise.
    pub(super) offset: Option<i32>,
}

/// Takes a timestamp off the front of `line`, and the blank behind it.
pub(super) fn take(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (stamp, rest) = match line.first()? {
        b'0'..=b'9' => iso_8601(line)?,
        _ => classic(line)?,
    };
    Some((stamp, rest.strip_prefix(b" ")?))
}

/// `Nov 24 17:00:00`, RFC 3164; Dovecot's own default too. Some write the year behind it.
fn classic(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (name, rest) = line.split_first_chunk::<3>()?;
    let month = match name {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    };
    let rest = rest.strip_prefix(b" ")?;
    // One-digit days are padded with a blank.
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let (day, rest) = number(rest)?;
    let (hour, minute, second, rest) = time_of_day(rest.strip_prefix(b" ")?)?;
    let stamp = Stamp {
        layout: Layout::Syslog,
        year: None,
        month,
        day: small(day)?,
        hour,
        minute,
        second,
        micros: 0,
        offset: None,
    };
    Some((stamp, rest))
}

/// `2026-11-24T17:00:00.123456+01:00`, RFC 3339, or with a blank for the `T`, and with
/// fraction and offset left out.
fn iso_8601(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (year, rest) = digits::<4>(line)?;
    let (month, rest) = digits::<2>(rest.strip_prefix(b"-")?)?;
    let (day, rest) = digits::<2>(rest.strip_prefix(b"-")?)?;
    let rest = rest.strip_prefix(b"T").or_else(|| rest.strip_prefix(b" "))?;
    let (hour, minute, second, rest) = time_of_day(rest)?;
    let (micros, rest) = fraction(rest)?;
    let (offset, rest) = offset(rest)?;
    let stamp = Stamp {
        layout: Layout::Iso8601,
        year: Some(i16::try_from(year).ok()?),
        month: small(month)?,
        day: small(day)?,
        hour,
        minute,
        second,
        micros,
        offset,
    };
    Some((stamp, rest))
}

fn time_of_day(text: &[u8]) -> Option<(i8, i8, i8, &[u8])> {
    let (&[h, hh, b':', m, mm, b':', s, ss], rest) = text.split_first_chunk::<8>()? else {
        return None;
    };
    let pair = |tens: u8, ones: u8| {
        let is_number = tens.is_ascii_digit() && ones.is_ascii_digit();
        is_number.then(|| i8::try_from((tens - b'0') * 10 + (ones - b'0')).ok())?
    };
    // A leap second happens at the end of the second before it.
    Some((pair(h, hh)?, pair(m, mm)?, pair(s, ss)?.min(59), rest))
}

/// Microseconds; more digits are cut off.
fn fraction(text: &[u8]) -> Option<(i32, &[u8])> {
    let Some(rest) = text.strip_prefix(b".").or_else(|| text.strip_prefix(b",")) else {
        return Some((0, text));
    };
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (all, after) = rest.split_at(len);
    if all.is_empty() {
        return None;
    }
    let (mut micros, mut unit) = (0, 100_000);
    for digit in all.iter().take(6) {
        micros += i32::from(digit - b'0') * unit;
        unit /= 10;
    }
    Some((micros, after))
}

/// `Z`, `+01:00`, `+0100` or nothing.
fn offset(text: &[u8]) -> Option<(Option<i32>, &[u8])> {
    let (sign, rest) = match text.split_first() {
        Some((b'Z', rest)) => return Some((Some(0), rest)),
        Some((b'+', rest)) => (1, rest),
        Some((b'-', rest)) => (-1, rest),
        _ => return Some((None, text)),
    };
    let (hours, rest) = digits::<2>(rest)?;
    let (minutes, rest) = digits::<2>(rest.strip_prefix(b":").unwrap_or(rest))?;
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    Some((Some(sign * seconds), rest))
}

/// Exactly `N` digits, and what follows them.
fn digits<const N: usize>(text: &[u8]) -> Option<(u32, &[u8])> {
    let (field, rest) = text.split_first_chunk::<N>()?;
    let value = field.iter().fold(0, |value, byte| value * 10 + u32::from(byte.wrapping_sub(b'0')));
    field.iter().all(u8::is_ascii_digit).then_some((value, rest))
}

fn small(value: u32) -> Option<i8> {
    i8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::{Layout, Stamp, take};

    fn rest(line: &str) -> Option<String> {
        take(line.as_bytes()).map(|(_, rest)| String::from_utf8_lossy(rest).into_owned())
    }

    #[test]
    fn reads_the_layouts_and_leaves_the_rest() {
        let layouts = [
            "Nov 24 17:00:00 mail",
            "Nov  4 17:00:00 mail",
            "2026-11-24T17:00:00 mail",
            "2026-11-24 17:00:00 mail",
            "2026-11-24T17:00:00.123456+01:00 mail",
            "2026-11-24T17:00:00,5-0530 mail",
            "2026-11-24T17:00:60Z mail",
        ];
        for line in layouts {
            assert_eq!(rest(line).as_deref(), Some("mail"), "{line}");
        }
    }

    #[test]
    fn keeps_fraction_and_offset() {
        let (stamp, _) = take(b"2026-11-24T17:00:00.1234567-05:30 x").unwrap();
        let expected = Stamp {
            layout: Layout::Iso8601,
            year: Some(2026),
            month: 11,
            day: 24,
            hour: 17,
            minute: 0,
            second: 0,
            micros: 123_456,
            offset: Some(-(5 * 3600 + 30 * 60)),
        };
        assert_eq!(stamp, expected);
    }

    #[test]
    fn anything_else_is_no_timestamp() {
        for line in ["", "Nov", "Nov 24", "nov 24 17:00:00 x", "24 Nov 17:00:00 x", "2026-1-1 x"] {
            assert_eq!(rest(line), None, "{line}");
        }
    }
}
