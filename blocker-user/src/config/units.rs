//! Times as fail2ban writes them: `600`, `10m`, `1d 12h`, `1h30m`; `-1` for a permanent ban.

use std::time::Duration;

use super::Invalid;
use crate::jail::Bantime;

const MINUTE: f64 = 60.0;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;
/// fail2ban's year: the mean over a leap cycle.
const YEAR: f64 = 365.25 * DAY;

/// Longer is a slip of the pen, and its end has no date.
const LONGEST: f64 = 100.0 * YEAR;

/// A length of time; a number without a unit is seconds. fail2ban has Python evaluate it, so
/// that some write `60*60`: sums and products are understood, too.
pub fn parse_span(text: &str) -> Result<Duration, Invalid> {
    let seconds = || {
        let mut sum = 0.0;
        for term in text.split('+') {
            sum += match term.split_once('*') {
                None => sum_of_units(term)?,
                Some(_) => term.split('*').try_fold(1.0, |product, factor| {
                    let numbers = factor.split(|c: char| !c.is_ascii_digit() && c != '.');
                    let is_one_number = numbers.filter(|digits| !digits.is_empty()).count() == 1;
                    is_one_number.then_some(product * sum_of_units(factor)?)
                })?,
            };
        }
        Some(sum)
    };
    let invalid = || {
        Invalid::new(format!(
            "{text:?} is not a time; write seconds (600) or numbers with units (10m, 1h, 1d 12h)"
        ))
    };
    let seconds = seconds().ok_or_else(invalid)?;
    if seconds > LONGEST {
        return Err(Invalid::new(format!("{text:?} is longer than 100 years, the longest time")));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid())
}

/// `1d 12h` in seconds.
fn sum_of_units(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        seconds += number.parse::<f64>().ok()? * unit_seconds(unit)?;
        rest = after.trim_start();
    }
    Some(seconds)
}

/// Like [`parse_span`], and `-1` for ever. A ban of no length would be none.
pub fn parse_bantime(text: &str) -> Result<Bantime, Invalid> {
    if text.trim() == "-1" {
        return Ok(Bantime::Forever);
    }
    let span = parse_span(text)
        .map_err(|error| Invalid::new(format!("{error}; a ban without end is written -1")))?;
    match span {
        Duration::ZERO => {
            Err(Invalid::new("a ban of no length bans nobody; write -1 for one without end"))
        }
        span => Ok(Bantime::For(span)),
    }
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "s" | "ss" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "mm" | "min" | "mins" | "minute" | "minutes" => MINUTE,
        "h" | "hh" | "hour" | "hours" => HOUR,
        "d" | "dd" | "day" | "days" => DAY,
        "w" | "ww" | "week" | "weeks" => 7.0 * DAY,
        "mo" | "mon" | "month" | "months" => YEAR / 12.0,
        "y" | "yy" | "year" | "years" => YEAR,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{parse_bantime, parse_span};
    use crate::jail::Bantime;
    use std::time::Duration;

    fn secs(text: &str) -> u64 {
        parse_span(text).unwrap().as_secs()
    }

    #[test]
    fn reads_times_as_fail2ban_does() {
        // What `fail2ban-client --str2sec` answers for the same texts.
        let answers = [
            ("600", 600),
            ("10m", 600),
            ("1h", 3600),
            ("1d 12h", 129_600),
            ("1h30m", 5400),
            ("2 weeks", 1_209_600),
            ("1mo", 2_629_800),
            ("1y", 31_557_600),
            ("60*60", 3600),
            ("24 * 1h", 86_400),
            ("1h+5", 3605),
        ];
        for (text, expected) in answers {
            assert_eq!(secs(text), expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_time() {
        for text in [
            "", " ", "m", "1x", "-5", "10 m 5", "ten", "1e400d", "1..5h", "∞", "2*", "+", "1h -5",
            "1h 5*2 3",
        ] {
            if text == "10 m 5" {
                assert_eq!(secs(text), 605);
            } else {
                assert!(parse_span(text).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn a_hundred_years_are_the_longest() {
        assert_eq!(secs("100y"), 3_155_760_000);
        for text in ["101y", "99999y", "1e400d", "9999999999999999999999"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
        let error = parse_bantime("99999y").unwrap_err().to_string();
        assert!(error.contains("100 years") && error.contains("-1"), "{error}");
    }

    #[test]
    fn a_bantime_may_be_without_end_but_not_without_length() {
        assert_eq!(parse_bantime(" -1 ").unwrap(), Bantime::Forever);
        assert_eq!(parse_bantime("1s").unwrap(), Bantime::For(Duration::from_secs(1)));
        assert!(parse_bantime("0").is_err());
        assert!(parse_bantime("-2").is_err());
    }
}
