//! From a timestamp as written to a point in time: years that are missing, zones, DST.

use std::mem;

use jiff::{
    civil::{Date, DateTime, Time},
    tz::{AmbiguousOffset, Offset, TimeZone},
};

use super::timestamp::{Calendar, Stamp};
use crate::time::LogTime;

const HOUR_SECS: i64 = 3600;
const DAY_SECS: i64 = 24 * HOUR_SECS;
/// How far the clocks of two hosts, or the lines of one log, may be apart.
const CLOCKS_DIFFER_SECS: i64 = 300;
/// There can be as many years between two of the last days of February.
const LEAP_YEARS_APART: i16 = 8;

pub(super) struct LineClock {
    zone: TimeZone,
    /// The local hour last asked for, in hours since 1970 as if it were UTC, and its offset
    /// in seconds. Zones change their offset on quarter hours at the finest, and hardly ever
    /// off the hour; the lines of one hour share one look into the zone's rules.
    cached: Option<(i64, i64)>,
    /// The latest point in time, in seconds since 1970, that a repeated hour resolved to.
    latest_repeated: Option<i64>,
    /// Whether this clock is asked for the lines of a log one after the other, without a gap.
    is_asked_in_order: bool,
    /// Whether the answer that was given last is about an hour that DST repeats. Such answers
    /// depend on those before, so nothing may be remembered in their place.
    is_repeated: bool,
    /// What was resolved last, with and without a year, and without its fraction: a busy log
    /// has many lines a second.
    last: [Option<Resolved>; 2],
}

struct Resolved {
    second: Calendar,
    now: LogTime,
    at: Option<LogTime>,
}

impl LineClock {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self {
            zone,
            cached: None,
            latest_repeated: None,
            is_asked_in_order: true,
            is_repeated: false,
            last: [None, None],
        }
    }

    /// For one that sees some lines of a log and not those before them: it resolves no local
    /// time that DST repeats.
    pub(super) fn out_of_order(self) -> Self {
        Self { is_asked_in_order: false, ..self }
    }

    pub(super) fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    /// Whether the last answer was none because this clock sees only some of the lines. Says so
    /// once.
    pub(super) fn take_undecided(&mut self) -> bool {
        !self.is_asked_in_order && mem::take(&mut self.is_repeated)
    }

    /// `None` for a date that does not exist.
    pub(super) fn resolve(&mut self, stamp: &Stamp, now: LogTime) -> Option<LogTime> {
        self.is_repeated = false;
        let stamp = match stamp {
            Stamp::Epoch { micros, .. } => return Some(LogTime::from_micros(*micros)),
            Stamp::Calendar(calendar) => calendar,
        };
        let second = Calendar { micros: 0, ..*stamp };
        let [with_year, without_year] = &self.last;
        let at = match if stamp.year.is_some() { with_year } else { without_year } {
            Some(last) if last.second == second && last.now == now => last.at,
            _ => {
                let at = self.resolve_second(&second, now);
                if self.is_repeated {
                    // Where this clock does not know, another year is not the answer either.
                    at.filter(|_| self.is_asked_in_order)
                } else {
                    let [with_year, without_year] = &mut self.last;
                    let last = if stamp.year.is_some() { with_year } else { without_year };
                    *last = Some(Resolved { second, now, at });
                    at
                }
            }
        };
        at.map(|at| LogTime::from_micros(at.as_micros() + i64::from(stamp.micros)))
    }

    fn resolve_second(&mut self, stamp: &Calendar, now: LogTime) -> Option<LogTime> {
        match stamp.year {
            Some(year) => self.in_year(stamp, year, now),
            None => {
                let this_year = self.year_of(now)?;
                // A log is written in the past. A day of grace covers clocks that differ;
                // what lies further ahead was written last year.
                let latest = now.as_secs().saturating_add(DAY_SECS);
                let years = this_year.checked_sub(LEAP_YEARS_APART)?..=this_year.checked_add(1)?;
                years
                    .rev()
                    .filter_map(|year| self.in_year(stamp, year, now))
                    .find(|at| at.as_secs() <= latest)
            }
        }
    }

    fn in_year(&mut self, stamp: &Calendar, year: i16, now: LogTime) -> Option<LogTime> {
        let date = Date::new(year, stamp.month, stamp.day).ok()?;
        let time = Time::new(stamp.hour, stamp.minute, stamp.second, 0).ok()?;
        let local = date.to_datetime(time);
        let as_if_utc = Offset::UTC.to_timestamp(local).ok()?.as_second();
        let offset = match stamp.offset {
            Some(offset) => i64::from(offset),
            None => self.offset_at(local, as_if_utc, now)?,
        };
        Some(LogTime::from_secs(as_if_utc - offset))
    }

    fn offset_at(&mut self, local: DateTime, as_if_utc: i64, now: LogTime) -> Option<i64> {
        let hour = as_if_utc.div_euclid(HOUR_SECS);
        if let Some((cached, offset)) = self.cached
            && cached == hour
        {
            return Some(offset);
        }
        let local = self.zone.to_ambiguous_timestamp(local);
        if let AmbiguousOffset::Fold { before, after } = local.offset() {
            self.is_repeated = true;
            if !self.is_asked_in_order {
                return None;
            }
            let [first, second] = [before, after].map(|offset| i64::from(offset.seconds()));
            return Some(self.in_repeated_hour(as_if_utc, first, second, now));
        }
        // A local time that DST skips is taken as RFC 5545 does: at the offset before.
        let at = local.compatible().ok()?;
        let offset = as_if_utc - at.as_second();
        self.cached = Some((hour, offset));
        Some(offset)
    }

    /// Which of the two offsets holds for a local time that DST repeats. A line that was just
    /// written tells by the clock. In an old log the order of lines does: time goes on.
    fn in_repeated_hour(&mut self, as_if_utc: i64, first: i64, second: i64, now: LogTime) -> i64 {
        let (earlier, later) = (as_if_utc - first, as_if_utc - second);
        let now = now.as_secs();
        let is_later = if now <= later + HOUR_SECS {
            later <= now + CLOCKS_DIFFER_SECS
        } else {
            self.latest_repeated.is_some_and(|seen| earlier < seen - CLOCKS_DIFFER_SECS)
        };
        let (at, offset) = if is_later { (later, second) } else { (earlier, first) };
        // The same date of a year to come has been asked for, and nothing happened then.
        if at <= now.saturating_add(DAY_SECS) {
            self.latest_repeated = Some(self.latest_repeated.map_or(at, |seen| seen.max(at)));
        }
        offset
    }

    fn year_of(&self, now: LogTime) -> Option<i16> {
        let now = jiff::Timestamp::from_second(now.as_secs()).ok()?;
        Some(self.zone.to_datetime(now).year())
    }
}

#[cfg(test)]
mod tests {
    use super::LineClock;
    use crate::{dovecot::timestamp, time::LogTime};
    use jiff::tz::TimeZone;

    fn resolve(zone: &str, stamp: &str, now: &str) -> Option<String> {
        let zone = TimeZone::get(zone).unwrap();
        let now: jiff::Timestamp = now.parse().unwrap();
        let (stamp, _) = timestamp::take(format!("{stamp} ").as_bytes())?;
        LineClock::new(zone).resolve(&stamp, LogTime::from(now)).map(|at| at.to_string())
    }

    #[test]
    fn a_date_without_a_year_is_the_latest_that_has_been() {
        let year_of = |stamp, now| resolve("UTC", stamp, now).unwrap()[..4].to_owned();
        assert_eq!(year_of("Dec 31 23:59:59", "2027-01-01T00:00:05Z"), "2026");
        assert_eq!(year_of("Jan  1 00:00:01", "2026-12-31T23:59:58Z"), "2027");
        assert_eq!(year_of("Nov 24 17:00:00", "2026-11-24T17:00:00Z"), "2026");
        assert_eq!(year_of("Feb 29 12:00:00", "2025-01-05T00:00:00Z"), "2024");
        assert_eq!(year_of("Feb 29 12:00:00", "2027-01-05T00:00:00Z"), "2024");
    }

    #[test]
    fn local_times_follow_the_zone_and_its_dst() {
        let berlin = |stamp| resolve("Europe/Berlin", stamp, "2026-12-01T00:00:00Z");
        assert_eq!(berlin("2026-07-01 12:00:00").as_deref(), Some("2026-07-01T10:00:00Z"));
        assert_eq!(berlin("2026-11-24 12:00:00").as_deref(), Some("2026-11-24T11:00:00Z"));
        // Skipped.
        assert_eq!(berlin("2026-03-29 02:30:00").as_deref(), Some("2026-03-29T01:30:00Z"));
    }

    #[test]
    fn in_the_hour_that_comes_twice_the_clock_tells_of_which_a_new_line_is() {
        let berlin = |now| resolve("Europe/Berlin", "Oct 25 02:30:00", now);
        for (now, at) in [
            ("2026-10-25T00:30:10Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T01:29:59Z", "2026-10-25T01:30:00Z"),
            ("2026-10-25T01:30:10Z", "2026-10-25T01:30:00Z"),
            ("2026-10-25T02:10:00Z", "2026-10-25T01:30:00Z"),
            ("2026-12-01T00:00:00Z", "2026-10-25T00:30:00Z"),
        ] {
            assert_eq!(berlin(now).as_deref(), Some(at), "{now}");
        }
    }

    #[test]
    fn in_an_old_log_the_hour_that_comes_twice_is_told_by_the_order_of_lines() {
        let mut clock = LineClock::new(TimeZone::get("Europe/Berlin").unwrap());
        let now = LogTime::from("2026-12-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap());
        let mut resolve = |stamp: &str| {
            let (stamp, _) = timestamp::take(format!("Oct 25 {stamp} ").as_bytes()).unwrap();
            clock.resolve(&stamp, now).map(|at| at.to_string()[11..16].to_owned())
        };
        let told = ["01:59:00", "02:10:00", "02:59:59", "02:00:01", "02:40:00", "03:00:00"]
            .map(|stamp| resolve(stamp).unwrap());
        assert_eq!(told, ["23:59", "00:10", "00:59", "01:00", "01:40", "02:00"]);
    }

    #[test]
    fn a_date_of_which_only_next_year_repeats_an_hour_tells_nothing_of_this_years() {
        let mut clock = LineClock::new(TimeZone::get("Europe/Berlin").unwrap());
        let now = LogTime::from("2026-12-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap());
        let mut resolve = |stamp: &str| {
            let (stamp, _) = timestamp::take(format!("{stamp} ").as_bytes()).unwrap();
            clock.resolve(&stamp, now).map(|at| at.to_string())
        };
        assert_eq!(resolve("Oct 31 02:30:00").as_deref(), Some("2026-10-31T01:30:00Z"));
        assert_eq!(resolve("Oct 25 02:10:00").as_deref(), Some("2026-10-25T00:10:00Z"));
    }

    #[test]
    fn a_clock_that_sees_only_some_lines_leaves_repeated_hours_open() {
        let mut clock = LineClock::new(TimeZone::get("Europe/Berlin").unwrap()).out_of_order();
        let now = LogTime::from("2026-12-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap());
        let mut resolve = |stamp: &str| {
            let (stamp, _) = timestamp::take(format!("{stamp} ").as_bytes()).unwrap();
            (clock.resolve(&stamp, now).is_some(), clock.take_undecided(), clock.take_undecided())
        };
        assert_eq!(resolve("Oct 25 01:59:59"), (true, false, false));
        assert_eq!(resolve("Oct 25 02:10:00"), (false, true, false));
        assert_eq!(resolve("2026-10-25T02:10:00+01:00"), (true, false, false));
        assert_eq!(resolve("Nov 31 02:10:00"), (false, false, false));
    }

    #[test]
    fn an_offset_on_the_line_wins_over_the_zone() {
        let at = resolve("Europe/Berlin", "2026-11-24T17:00:00.5+05:30", "2026-12-01T00:00:00Z");
        assert_eq!(at.as_deref(), Some("2026-11-24T11:30:00.5Z"));
    }

    #[test]
    fn a_day_that_does_not_exist_is_no_time() {
        assert_eq!(resolve("UTC", "Nov 31 12:00:00", "2026-12-01T00:00:00Z"), None);
        assert_eq!(resolve("UTC", "2026-11-24 25:00:00", "2026-12-01T00:00:00Z"), None);
    }
}
