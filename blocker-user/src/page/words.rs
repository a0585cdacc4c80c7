//! Numbers, spans and times as people read them.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

use crate::{config::show_span, report::When};

/// `1,234,567`
pub(super) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (left, digit) in (0..digits.len()).rev().zip(digits.chars()) {
        text.push(digit);
        if left > 0 && left % 3 == 0 {
            text.push(',');
        }
    }
    text
}

/// Where there is room for four characters: `950`, `1.2k`, `34M`.
pub(super) fn short(count: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")];
    let Some((unit, letter)) = UNITS.iter().find(|(unit, _)| count >= *unit) else {
        return count.to_string();
    };
    match (count / unit, count % unit * 10 / unit) {
        (whole @ 0..10, tenths @ 1..) => format!("{whole}.{tenths}{letter}"),
        (whole, _) => format!("{whole}{letter}"),
    }
}

/// `3 users`, `1 user`, `no user`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        _ => format!("{} {many}", number(count)),
    }
}

/// A share in thousandths, rounded down: what is not all does not say so.
fn thousandths(part: u64, whole: u64) -> Option<u128> {
    (u128::from(part) * 1000).checked_div(u128::from(whole))
}

/// A share of something: `97 %`, `0.4 %`, and a dash where there was nothing.
pub(super) fn share(part: u64, whole: u64) -> String {
    match thousandths(part, whole) {
        None => "–".to_owned(),
        Some(0) if part > 0 => "< 0.1 %".to_owned(),
        Some(all) if all % 10 == 0 => format!("{} %", all / 10),
        Some(all) if (100..990).contains(&all) => format!("{} %", all / 10),
        Some(all) => format!("{}.{} %", all / 10, all % 10),
    }
}

/// The same for a place of four characters.
pub(super) fn short_share(part: u64, whole: u64) -> String {
    thousandths(part, whole).map_or_else(|| "–".to_owned(), |all| format!("{}%", all / 10))
}

/// As the configuration takes it: `10m`, `1d 12h`.
pub(super) fn span(secs: u64) -> String {
    show_span(Duration::from_secs(secs))
}

pub(super) fn bantime(secs: Option<u64>) -> String {
    secs.map_or_else(|| "for ever".to_owned(), span)
}

/// A sum of time, for which two units are enough: `3d 4h`.
pub(super) fn about(secs: u64) -> String {
    let unit = [86_400, 3600, 60].into_iter().find(|unit| secs >= *unit).unwrap_or(1);
    let finer = [(86_400, 3600), (3600, 60)].into_iter().find(|(coarse, _)| *coarse == unit);
    let to = finer.map_or(unit, |(_, fine)| fine);
    span(secs / to * to)
}

/// The zone that the page states its times in.
pub(super) struct Clock {
    pub(super) zone: TimeZone,
    pub(super) name: String,
}

impl Clock {
    /// UTC where this machine does not know the zone.
    pub(super) fn of(name: &str) -> Self {
        match TimeZone::get(name) {
            Ok(zone) => Self { zone, name: name.to_owned() },
            Err(_) => Self { zone: TimeZone::UTC, name: "UTC".to_owned() },
        }
    }

    /// To the second.
    pub(super) fn show(&self, at: When) -> String {
        self.format(at.0.as_secs(), "%Y-%m-%d %H:%M:%S").unwrap_or_else(|| at.0.to_string())
    }

    /// To the minute, for a period that is long.
    pub(super) fn show_minute(&self, at: When) -> String {
        self.format(at.0.as_secs(), "%Y-%m-%d %H:%M").unwrap_or_else(|| at.0.to_string())
    }

    /// Of seconds since 1970.
    pub(super) fn format(&self, secs: i64, format: &str) -> Option<String> {
        let at = Timestamp::from_second(secs).ok()?.to_zoned_datetime(self.zone.clone());
        jiff::fmt::strtime::format(format, &at).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(number(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn what_is_short_has_four_characters_at_most() {
        assert_eq!(
            [0, 999, 1000, 1200, 34_567, 999_999, 1_000_000, 9_950_000].map(short),
            ["0", "999", "1k", "1.2k", "34k", "999k", "1M", "9.9M"]
        );
    }

    #[test]
    fn a_share_is_all_only_if_it_is() {
        assert_eq!(share(0, 0), "–");
        assert_eq!(share(0, 7), "0 %");
        assert_eq!(share(1, 100_000), "< 0.1 %");
        assert_eq!(share(1, 3), "33 %");
        assert_eq!(share(99_999, 100_000), "99.9 %");
        assert_eq!(share(7, 7), "100 %");
        assert_eq!(share(u64::MAX - 1, u64::MAX), "99.9 %");
        assert_eq!(short_share(99_999, 100_000), "99%");
    }

    #[test]
    fn sums_of_time_have_two_units() {
        assert_eq!([0, 59, 61, 3_700, 90_061].map(about), ["0", "59s", "1m", "1h 1m", "1d 1h"]);
    }

    #[test]
    fn times_are_in_the_zone_of_the_report_or_utc() {
        let at = When(crate::time::LogTime::from_secs(1_795_539_600));
        assert_eq!(Clock::of("UTC").show(at), "2026-11-24 17:00:00");
        assert_eq!(Clock::of("Nowhere/At all").name, "UTC");
        let beyond = When(crate::time::LogTime::from_micros(i64::MAX));
        assert!(Clock::of("UTC").show(beyond).contains("since 1970"));
    }
}
