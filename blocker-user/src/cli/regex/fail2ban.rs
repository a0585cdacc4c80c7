//! The options that `fail2ban-regex` has and this does not, and those that need translating.
//! Who types one out of habit is told what to do instead; nothing is ignored in silence.

use clap::Args;
use jiff::tz::{Offset, TimeZone};

use crate::cli::VerbError;

/// Not shown in the help, which is about what there is.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[arg(short = 'e', long, hide = true)]
    encoding: Option<String>,
    #[arg(long, hide = true)]
    usedns: Option<String>,
    /// Its meaning there, addresses only, is what happens here.
    #[arg(short = 'r', long, hide = true)]
    raw: bool,
    #[arg(short = 'L', long, hide = true)]
    maxlines: Option<String>,
    /// A line here is judged by one rule or none anyway.
    #[arg(long, hide = true)]
    no_check_all: bool,
    #[arg(long, hide = true)]
    verbosity: Option<u8>,

    #[arg(short = 'd', long, hide = true)]
    datepattern: Option<String>,
    #[arg(short = 'm', long, hide = true)]
    journalmatch: Option<String>,
    #[arg(short = 'l', long, hide = true)]
    log_level: Option<String>,
    #[arg(short = 'o', long, hide = true)]
    out: Option<String>,
    #[arg(short = 'D', long, hide = true)]
    debuggex: bool,
    #[arg(short = 't', long, hide = true)]
    log_traceback: bool,
    #[arg(long, hide = true)]
    full_traceback: bool,
}

impl Options {
    /// Whether they ask for more output.
    pub(super) fn check(&self) -> Result<bool, VerbError> {
        let refused = [
            (
                self.datepattern.is_some(),
                "--datepattern: timestamps are recognised by themselves; leave it out, the \
                 result says which formats were seen",
            ),
            (
                self.journalmatch.is_some(),
                "--journalmatch: the journal is not read directly; use `journalctl MATCH -o json | \
                 doveblock regex - dovecot`",
            ),
            (
                self.log_level.is_some(),
                "--log-level: there is no log of its own here; leave it out, --verbose shows more",
            ),
            (
                self.out.is_some(),
                "--out: use --format json, which has every field, for example with `| jq -r \
                 'select(.matched).ip'`",
            ),
            (self.debuggex, "--debuggex: no page of the web is written; leave it out"),
            (
                self.log_traceback || self.full_traceback,
                "--log-traceback, --full-traceback: there are no tracebacks here; leave them out",
            ),
            (
                self.maxlines.as_ref().is_some_and(|lines| lines != "1"),
                "--maxlines: every rule is about one line; leave it out",
            ),
        ];
        if let Some((_, sentence)) = refused.iter().find(|(given, _)| *given) {
            return Err(VerbError::Usage((*sentence).to_owned()));
        }
        self.encoding.as_deref().map_or(Ok(()), check_encoding)?;
        match self.usedns.as_deref() {
            None | Some("no" | "raw") => {}
            Some(other) => {
                return Err(VerbError::Usage(format!(
                    "--usedns={other}: Dovecot writes addresses and no name is ever looked up; \
                     use --usedns=no or leave it out"
                )));
            }
        }
        Ok(self.verbosity.is_some_and(|level| level > 0))
    }
}

/// Lines are judged as bytes, which is right for every encoding that has ASCII in it.
fn check_encoding(name: &str) -> Result<(), VerbError> {
    const WITH_ASCII: [&str; 10] = [
        "auto",
        "utf",
        "ascii",
        "usascii",
        "latin",
        "iso8859",
        "cp125",
        "windows125",
        "koi8",
        "l1",
    ];
    let plain: String = name.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let is_wide = plain.starts_with("utf16") || plain.starts_with("utf32");
    if !is_wide && WITH_ASCII.iter().any(|known| plain.starts_with(known)) {
        return Ok(());
    }
    Err(VerbError::Usage(format!(
        "--encoding={name}: lines are read as bytes, whatever is not ASCII in them; leave it out, \
         or convert the log with `iconv -t utf-8 | doveblock regex - dovecot`"
    )))
}

/// `Europe/Berlin`, or `UTC`, `UTC+0200`, `GMT-05:30` as fail2ban has them.
pub(in crate::cli) fn time_zone(name: &str) -> Result<TimeZone, VerbError> {
    let offset = name.strip_prefix("UTC").or_else(|| name.strip_prefix("GMT")).and_then(offset);
    let found = match offset {
        Some(offset) => Some(TimeZone::fixed(offset)),
        None => TimeZone::get(name).ok(),
    };
    found.ok_or_else(|| {
        VerbError::Usage(format!(
            "--timezone={name}: there is no such zone; write it as Europe/Berlin, UTC or UTC+0200"
        ))
    })
}

fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.as_bytes() {
        [] => return Some(Offset::UTC),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let digits: Vec<i32> = digits
        .iter()
        .filter(|byte| **byte != b':')
        .map(|byte| byte.is_ascii_digit().then(|| i32::from(byte - b'0')))
        .collect::<Option<_>>()?;
    let (hours, minutes) = match digits.as_slice() {
        [hour] => (*hour, 0),
        [tens, ones] => (tens * 10 + ones, 0),
        [tens, ones, ten_minutes, minutes] => (tens * 10 + ones, ten_minutes * 10 + minutes),
        _ => return None,
    };
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::{check_encoding, offset, time_zone};

    #[test]
    fn encodings_with_ascii_in_them_need_no_conversion() {
        for name in ["utf-8", "UTF8", "ascii", "auto", "latin-1", "ISO-8859-15", "cp1252"] {
            assert!(check_encoding(name).is_ok(), "{name}");
        }
        for name in ["utf-16", "UTF-32LE", "ebcdic", ""] {
            assert!(check_encoding(name).is_err(), "{name}");
        }
    }

    #[test]
    fn zones_are_named_as_everywhere_or_as_in_fail2ban() {
        let seconds = |text: &str| offset(text).map(|offset| offset.seconds());
        assert_eq!(seconds("+0530"), Some(19_800));
        assert_eq!(seconds("-5"), Some(-18_000));
        assert_eq!(seconds("+02:00"), Some(7_200));
        assert_eq!(seconds(""), Some(0));
        for wrong in ["0200", "+", "+123", "+9999", "+0x00"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
        assert!(time_zone("Europe/Berlin").is_ok());
        assert!(time_zone("UTC").is_ok());
        assert!(time_zone("Mars/Olympus").is_err());
    }
}
