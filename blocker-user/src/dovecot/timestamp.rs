//! The layouts of timestamps at the start of a line.

use super::scan::number;

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    Syslog,
    Iso8601,
    Epoch,
    Tai64n,
    Journal,
}

impl Layout {
    pub const ALL: [Self; 5] =
        [Self::Syslog, Self::Iso8601, Self::Epoch, Self::Tai64n, Self::Journal];

    /// An example of the usual form, with what can be missing in brackets.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::Syslog => "Nov 24 17:00:00",
            Self::Iso8601 => "2026-11-24T17:00:00[.123456][+01:00]",
            Self::Epoch => "[@]1795539600[.123456]",
            Self::Tai64n => "@400000006a15a00a1dcd6500",
            Self::Journal => "{\"__REALTIME_TIMESTAMP\":\"1795539600123456\"}",
        }
    }
}

/// A timestamp as written. It becomes a point in time in [`super::clock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    Calendar(Calendar),
    Epoch {
        layout: Layout,
        /// Since 1970.
        micros: i64,
    },
}

impl Stamp {
    pub(super) fn layout(&self) -> Layout {
        match self {
            Self::Calendar(Calendar { layout, .. }) | Self::Epoch { layout, .. } => *layout,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
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
    let (stamp, rest) = match line.strip_prefix(b"[") {
        None => bare(line)?,
        // As `log_timestamp` of an admin's own can have it.
        Some(inside) => {
            let (stamp, rest) = bare(inside)?;
            (stamp, rest.strip_prefix(b"]")?)
        }
    };
    Some((stamp, rest.strip_prefix(b" ")?))
}

fn bare(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let calendar = |(calendar, rest)| (Stamp::Calendar(calendar), rest);
    match line.first()? {
        b'@' => tai64n(line).or_else(|| epoch(line.get(1..)?)),
        b'0'..=b'9' => iso_8601(line).map(calendar).or_else(|| epoch(line)),
        _ => classic(line).or_else(|| with_weekday(line)).map(calendar),
    }
}

/// `@` and 24 hexadecimal digits: TAI64N, as multilog and s6-log write it. TAI64 is the first
/// 16 of them.
fn tai64n(line: &[u8]) -> Option<(Stamp, &[u8])> {
    /// The label of 1970, and the ten seconds by which daemontools has it ahead.
    const EPOCH: u64 = (1 << 62) + 10;
    let (seconds, rest) = line.strip_prefix(b"@")?.split_first_chunk::<16>()?;
    let nanos = rest.split_first_chunk::<8>().filter(|_| !rest.starts_with(b" "));
    let (nanos, rest) = nanos.map_or((Some(0), rest), |(nanos, rest)| (hexadecimal(nanos), rest));
    let seconds = i64::try_from(hexadecimal(seconds)?.checked_sub(EPOCH)?).ok()?;
    let micros = i64::try_from(nanos? / 1000).ok()?;
    let micros = seconds.checked_mul(1_000_000)?.checked_add(micros)?;
    Some((Stamp::Epoch { layout: Layout::Tai64n, micros }, rest))
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(digits).ok()?;
    let is_plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_plain.then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Seconds since 1970, with or without a fraction, as in `journalctl -o short-unix`.
fn epoch(text: &[u8]) -> Option<(Stamp, &[u8])> {
    // Ten digits: from 2001 to 2286. Anything shorter is another number.
    let (head, rest) = text.split_first_chunk::<10>()?;
    let digits = str::from_utf8(head).ok()?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (micros, rest) = fraction(rest)?;
    let seconds: i64 = digits.parse().ok()?;
    let micros = seconds * 1_000_000 + i64::from(micros);
    Some((Stamp::Epoch { layout: Layout::Epoch, micros }, rest))
}

/// `Nov 24 17:00:00`, RFC 3164; Dovecot's own default too. Some write a fraction or the year
/// behind it, Cisco's way has the year before the time.
fn classic(line: &[u8]) -> Option<(Calendar, &[u8])> {
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
    let rest = rest.strip_prefix(b" ")?;
    let (year_before, rest) = match year_and_blank(rest) {
        Some((year, rest)) => (Some(year), rest),
        None => (None, rest),
    };
    let (hour, minute, second, rest) = time_of_day(rest)?;
    let (micros, rest) = fraction(rest)?;
    let behind = || year_and_blank(rest.strip_prefix(b" ")?);
    let (year, rest) = match behind() {
        // The blank behind the year is the caller's.
        Some((year, after)) if year_before.is_none() => {
            (Some(year), rest.get(rest.len() - after.len() - 1..)?)
        }
        _ => (year_before, rest),
    };
    let day = small(day)?;
    let (layout, offset) = (Layout::Syslog, None);
    Some((Calendar { layout, year, month, day, hour, minute, second, micros, offset }, rest))
}

/// `2026 `.
fn year_and_blank(text: &[u8]) -> Option<(i16, &[u8])> {
    let (year, rest) = digits::<4>(text)?;
    Some((i16::try_from(year).ok()?, rest.strip_prefix(b" ")?))
}

/// `Tue 2026-11-24 17:00:00 UTC`, `journalctl -o short-full`, and `Tue Nov 24 17:00:00 2026`.
fn with_weekday(line: &[u8]) -> Option<(Calendar, &[u8])> {
    const DAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
    let (name, rest) = line.split_first_chunk::<3>()?;
    let rest = rest.strip_prefix(b" ").filter(|_| DAYS.contains(&name))?;
    if let Some(found) = classic(rest) {
        return Some(found);
    }
    let (calendar, rest) = iso_8601(rest)?;
    // The zone is the reader's own, by its abbreviation, unless it is UTC.
    let zone = rest.strip_prefix(b" ")?;
    let (zone, after) = zone.split_at(zone.iter().position(|byte| *byte == b' ')?);
    let offset = match zone {
        b"UTC" | b"GMT" => Some(0),
        _ if zone.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-".contains(byte)) => None,
        _ => return None,
    };
    Some((Calendar { offset: offset.or(calendar.offset), ..calendar }, after))
}

/// `2026-11-24T17:00:00.123456+01:00`, RFC 3339, or with a blank or `_` for the `T`, slashes
/// in the date, and with fraction and offset left out.
fn iso_8601(line: &[u8]) -> Option<(Calendar, &[u8])> {
    let (year, rest) = digits::<4>(line)?;
    let (separator, rest) = rest.split_first()?;
    let (month, rest) = digits::<2>(rest)?;
    let rest = rest.strip_prefix(std::slice::from_ref(separator))?;
    let (day, rest) = digits::<2>(rest)?;
    let (between, rest) = rest.split_first()?;
    if !b"-/".contains(separator) || !b"T _".contains(between) {
        return None;
    }
    let (hour, minute, second, rest) = time_of_day(rest)?;
    let (micros, rest) = fraction(rest)?;
    let (offset, rest) = offset(rest)?;
    let calendar = Calendar {
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
    Some((calendar, rest))
}

fn time_of_day(text: &[u8]) -> Option<(i8, i8, i8, &[u8])> {
    let (hour, rest) = digits::<2>(text)?;
    let (minute, rest) = digits::<2>(rest.strip_prefix(b":")?)?;
    let (second, rest) = digits::<2>(rest.strip_prefix(b":")?)?;
    // A leap second happens at the end of the second before it.
    Some((small(hour)?, small(minute)?, small(second)?.min(59), rest))
}

/// Microseconds; more digits are cut off.
pub(super) fn fraction(text: &[u8]) -> Option<(i32, &[u8])> {
    let Some(rest) = text.strip_prefix(b".").or_else(|| text.strip_prefix(b",")) else {
        return Some((0, text));
    };
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (all, after) = rest.split_at(len);
    if all.is_empty() {
        return None;
    }
    let padded = all.iter().copied().chain(std::iter::repeat(b'0')).take(6);
    Some((padded.fold(0, |micros, digit| micros * 10 + i32::from(digit - b'0')), after))
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
    match number(field)? {
        (value, []) => Some((value, rest)),
        _ => None,
    }
}

fn small(value: u32) -> Option<i8> {
    i8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::{Calendar, Layout, Stamp, take};

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
            "2026/11/24 17:00:00 mail",
            "2026-11-24_17:00:00.12345 mail",
            "Nov 24 17:00:00.123456 mail",
            "Nov 24 2026 17:00:00 mail",
            "Nov 24 17:00:00 2026 mail",
            "Tue Nov 24 17:00:00 2026 mail",
            "Tue 2026-11-24 17:00:00 CET mail",
            "@400000006a0b1c0a2ef02e94 mail",
            "@1795539600 mail",
            "1795539600.5 mail",
            "[2026-11-24 17:00:00] mail",
            "[Nov 24 17:00:00] mail",
            "[1795539600] mail",
        ];
        for line in layouts {
            assert_eq!(rest(line).as_deref(), Some("mail"), "{line}");
        }
    }

    #[test]
    fn keeps_fraction_and_offset() {
        let (stamp, _) = take(b"2026-11-24T17:00:00.1234567-05:30 x").unwrap();
        let expected = Calendar {
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
        assert_eq!(stamp, Stamp::Calendar(expected));
    }

    #[test]
    fn labels_of_daemontools_are_ten_seconds_ahead_of_1970() {
        let at = |line: &[u8]| take(line).map(|(stamp, _)| stamp);
        let tai = |micros| Some(Stamp::Epoch { layout: Layout::Tai64n, micros });
        assert_eq!(at(b"@400000000000000a00000000 x"), tai(0));
        assert_eq!(at(b"@400000006b05a35a0bebc200 x"), tai(1_795_531_600_200_000));
        assert_eq!(at(b"@400000006b05a35a x"), tai(1_795_531_600_000_000));
        assert_eq!(at(b"@400000006b05a35a0beb x"), None);
        assert_eq!(at(b"@000000000000000000000000 x"), None);
        assert_eq!(
            at(b"1795539600.5 x"),
            Some(Stamp::Epoch { layout: Layout::Epoch, micros: 1_795_539_600_500_000 })
        );
    }

    #[test]
    fn a_year_counts_on_either_side_of_the_time() {
        for line in ["Nov 24 2025 17:00:00 x", "Nov 24 17:00:00 2025 x"] {
            let Some((Stamp::Calendar(found), b"x")) = take(line.as_bytes()) else { panic!() };
            assert_eq!(found.year, Some(2025));
        }
    }

    #[test]
    fn anything_else_is_no_timestamp() {
        for line in [
            "",
            "Nov",
            "Nov 24",
            "nov 24 17:00:00 x",
            "24 Nov 17:00:00 x",
            "2026-1-1 x",
            "2026-11/24 17:00:00 x",
            "@4000 x",
            "17955396 x",
            "Tue x",
            "[ 1234.567890] x",
            "[2026-11-24 17:00:00 x",
        ] {
            assert_eq!(rest(line), None, "{line}");
        }
    }
}
