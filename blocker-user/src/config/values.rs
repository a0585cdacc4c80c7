//! One function for each kind of value: text in; a typed value, or what was expected instead.

use std::{fmt::Display, num::NonZeroU32, str::FromStr, time::Duration};

use super::{Invalid, parse_bantime, parse_span};
use crate::{dovecot::Mode, jail::Bantime};

/// As fail2ban reads it.
pub(super) fn boolean(text: &str) -> Result<bool, Invalid> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Ok(true),
        "0" | "no" | "false" | "off" => Ok(false),
        _ => Err(Invalid::new(format!("{text:?} is neither true nor false"))),
    }
}

/// A whole number from `least` on.
pub(super) fn number<T: Copy + FromStr + PartialOrd + Display>(
    text: &str,
    least: T,
) -> Result<T, Invalid> {
    match text.trim().parse::<T>() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(Invalid::new(format!("{text:?} is not a whole number from {least} on"))),
    }
}

/// The kernel sets aside 16 bytes for each of them, in two maps: more is a slip of the key.
pub(super) fn max_bans(text: &str) -> Result<NonZeroU32, Invalid> {
    const MOST: u32 = 1 << 24;
    match number(text, NonZeroU32::MIN)? {
        bans if bans.get() <= MOST => Ok(bans),
        bans => {
            Err(Invalid::new(format!("{bans} bans are more than the {MOST} that are possible")))
        }
    }
}

/// Like [`parse_span`]. fail2ban has Python evaluate a time, so that a `#` ends it.
pub(super) fn span(text: &str) -> Result<Duration, Invalid> {
    parse_span(text.split('#').next().unwrap_or_default())
}

pub(super) fn bantime(text: &str) -> Result<Bantime, Invalid> {
    parse_bantime(text.split('#').next().unwrap_or_default())
}

/// A time within which two failures can happen.
pub fn parse_findtime(text: &str) -> Result<Duration, Invalid> {
    match span(text)? {
        Duration::ZERO => Err(Invalid::new("within no time at all, two failures never happen")),
        span => Ok(span),
    }
}

/// A factor that neither ends bans at once nor makes them endless.
pub(super) fn factor(text: &str) -> Result<f64, Invalid> {
    match text.trim().parse::<f64>() {
        Ok(factor) if factor > 0.0 && factor.is_finite() => Ok(factor),
        _ => Err(Invalid::new(format!("{text:?} is not a number above 0"))),
    }
}

pub(super) fn multipliers(text: &str) -> Result<Vec<f64>, Invalid> {
    let parse = |item: &str| number(item, NonZeroU32::MIN).map(|times| f64::from(times.get()));
    text.split_whitespace().map(parse).collect()
}

/// The one of `choices` with this name.
pub(super) fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Invalid> {
    let found = choices.iter().find(|(name, _)| *name == text.trim());
    found.map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
        Invalid::new(format!("{text:?} is none of {}", names.join(", ")))
    })
}

/// The name `one_of` has for `value`.
pub(super) fn name_of<T: Copy + PartialEq>(value: T, choices: &[(&str, T)]) -> String {
    let found = choices.iter().find(|(_, choice)| *choice == value);
    found.map(|&(name, _)| name.to_owned()).unwrap_or_default()
}

/// fail2ban's `dovecot[mode=aggressive]`. Without a mode, it is fail2ban's default.
pub(super) fn filter(text: &str) -> Result<Mode, Invalid> {
    let (name, options) = match text.trim().split_once('[') {
        Some((name, options)) => (name, options.trim_end().trim_end_matches(']')),
        None => (text.trim(), ""),
    };
    if name != "dovecot" {
        return Err(Invalid::new(format!(
            "{name:?} is not the filter dovecot, the only one there is; expressions of your own \
             go into failregex"
        )));
    }
    let mode = filter_options(options).rfind(|(name, _)| *name == "mode");
    mode.map_or(Ok(Mode::Normal), |(_, mode)| mode_of(mode.trim().trim_matches(['"', '\''])))
}

/// Those in the brackets of `filter` that nothing here is set by, other than `logtype`: how a
/// log is written is found line by line.
pub(super) fn unknown_filter_options(filter: &str) -> Vec<&str> {
    let options = filter.split_once('[').map_or("", |(_, options)| options);
    let names = filter_options(options).map(|(name, _)| name);
    names.filter(|name| !["mode", "logtype"].contains(name)).collect()
}

fn filter_options(options: &str) -> impl DoubleEndedIterator<Item = (&str, &str)> {
    let options = options.split(',').filter_map(|option| option.split_once('='));
    options.map(|(name, value)| (name.trim(), value))
}

pub(super) fn mode_of(text: &str) -> Result<Mode, Invalid> {
    text.trim()
        .parse()
        .map_err(|error: crate::dovecot::UnknownMode| Invalid::new(error.to_string()))
}

/// One word.
pub(super) fn word(text: &str) -> Result<String, Invalid> {
    let text = text.trim();
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(Invalid::new(format!("{text:?} is not one name")));
    }
    Ok(text.to_owned())
}

pub(super) fn names(text: &str) -> Vec<String> {
    let items = text.split([',', ' ', '\t', '\n']).filter(|item| !item.is_empty());
    items.map(str::to_owned).collect()
}

/// As `parse_span` reads it, in the largest units that divide it.
pub fn show_span(span: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let mut rest = span.as_secs();
    let mut parts = Vec::new();
    for (secs, unit) in UNITS {
        if let (count @ 1.., left) = (rest / secs, rest % secs) {
            parts.push(format!("{count}{unit}"));
            rest = left;
        }
    }
    let text = parts.join(" ");
    match (text.is_empty(), span.subsec_millis()) {
        (true, 0) => "0".to_owned(),
        (_, 0) => text,
        (_, millis) => format!("{text} 0.{millis:03}s").trim_start().to_owned(),
    }
}

pub(super) fn show_bantime(bantime: Bantime) -> String {
    match bantime {
        Bantime::Forever => "-1".to_owned(),
        Bantime::For(span) => show_span(span),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_fail2bans() {
        for (text, value) in [("Yes", true), ("on", true), ("1", true), ("FALSE", false)] {
            assert_eq!(boolean(text), Ok(value));
        }
        assert!(boolean("maybe").is_err() && boolean("").is_err());
    }

    #[test]
    fn a_filter_says_the_mode() {
        assert_eq!(filter("dovecot"), Ok(Mode::Normal));
        assert_eq!(filter("dovecot[mode=\"aggressive\", logtype=file]"), Ok(Mode::Aggressive));
        assert_eq!(unknown_filter_options("dovecot"), [""; 0]);
        assert_eq!(unknown_filter_options("dovecot[mode=normal, logtype=file]"), [""; 0]);
        assert_eq!(unknown_filter_options("dovecot[mde = x,maxlines=2]"), ["mde", "maxlines"]);
        assert!(filter("sshd[mode=aggressive]").is_err());
        assert!(filter("dovecot[mode=extra]").is_err());
    }

    #[test]
    fn spans_are_shown_as_they_are_read() {
        for secs in [0, 1, 59, 600, 3600, 129_600, 2_629_800] {
            let span = Duration::from_secs(secs);
            assert_eq!(parse_span(&show_span(span)), Ok(span));
        }
        assert_eq!(
            parse_span(&show_span(Duration::from_millis(90_250))).unwrap().as_millis(),
            90_250
        );
        assert_eq!(show_span(Duration::from_secs(129_600)), "1d 12h");
    }
}
