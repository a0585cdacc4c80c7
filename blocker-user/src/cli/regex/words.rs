//! The positional arguments, in `fail2ban-regex`'s order but with any number of logs.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use super::filter::Filter;
use crate::{
    cli::{VerbError, reading::Log},
    source::in_order,
};

#[derive(Debug)]
pub(super) struct Words {
    /// The files of a rotated log in their order in time.
    pub(super) logs: Vec<Log>,
    pub(super) filter: Option<Filter>,
    pub(super) ignore: Option<String>,
}

impl Words {
    /// The filter is the first word behind the first that can be one. Without a filter all
    /// words are logs.
    pub(super) fn parse(words: &[OsString]) -> Result<Self, VerbError> {
        let text = |word: &OsString| word.to_str().map(str::to_owned);
        let at = words.iter().skip(1).position(|word| is_filter(word)).map(|at| at + 1);
        let (logs, after) = words.split_at(at.unwrap_or(words.len()));
        let filter = after.first().map(|word| {
            let word = text(word).ok_or_else(|| {
                VerbError::Usage("FILTER is not UTF-8; write other bytes as \\xNN".to_owned())
            });
            word.and_then(|word| word.parse().map_err(VerbError::usage))
        });
        let filter = filter.transpose()?;
        let ignore = match after {
            [] | [_] => None,
            [_, ignore] => Some(text(ignore).ok_or_else(|| {
                VerbError::Usage("IGNOREREGEX is not UTF-8; write other bytes as \\xNN".to_owned())
            })?),
            [_, _, more, ..] => {
                return Err(VerbError::Usage(format!(
                    "{} is one word too many: after the logs come the filter and, in quotes, \
                     IGNOREREGEX",
                    more.display()
                )));
            }
        };
        let logs = logs.iter().map(|word| log(word)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { logs: sorted(logs), filter, ignore })
    }
}

/// Whether a word behind the first is the filter: it is none that could be read, or it is the
/// filter's very name, which a file can have too (`./dovecot` is the file).
fn is_filter(word: &OsStr) -> bool {
    word.to_str().is_some_and(Filter::is_name) || (word != "-" && !Path::new(word).exists())
}

fn log(word: &OsStr) -> Result<Log, VerbError> {
    if word == "-" {
        return Ok(Log::Stdin);
    }
    if Path::new(word).exists() {
        return Ok(Log::File(word.into()));
    }
    match word.to_str() {
        Some(text) if text.contains(' ') => Ok(Log::Line(text.to_owned())),
        Some(text) if text == "systemd-journal" || text.starts_with("systemd-journal[") => {
            Err(VerbError::Usage(
                "the journal is not read directly; hand it over with `journalctl -u dovecot -o json | \
                 doveblock regex - dovecot`"
                    .to_owned(),
            ))
        }
        _ => Err(VerbError::Usage(format!(
            "{} cannot be read: there is no such file. The logs come first, then the filter \
             (dovecot, dovecot[mode=aggressive], or a failregex)",
            word.display()
        ))),
    }
}

/// Sorts what files there are among themselves; the others keep their places.
fn sorted(logs: Vec<Log>) -> Vec<Log> {
    let files = logs.iter().filter_map(|log| match log {
        Log::File(path) => Some(path.clone()),
        Log::Stdin | Log::Line(_) => None,
    });
    let mut files = in_order(files.collect()).into_iter();
    logs.into_iter()
        .filter_map(|log| match log {
            Log::File(_) => files.next().map(Log::File),
            other => Some(other),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Filter, Log, Words};
    use crate::dovecot::Mode;

    /// `Cargo.toml` and `src` are files wherever the tests of a package run.
    const LOG: &str = "Cargo.toml";

    fn parse(words: &[&str]) -> Result<Words, String> {
        let words: Vec<_> = words.iter().map(Into::into).collect();
        Words::parse(&words).map_err(|error| error.to_string())
    }

    fn fault(words: &[&str]) -> String {
        parse(words).unwrap_err()
    }

    #[test]
    fn the_filter_ends_the_logs_and_what_to_ignore_follows() {
        let words = parse(&[LOG, "-", "dovecot[mode=aggressive]", "user=<bob>"]).unwrap();
        assert_eq!(words.logs, [Log::File(LOG.into()), Log::Stdin]);
        assert_eq!(words.filter, Some(Filter::Rules(Mode::Aggressive)));
        assert_eq!(words.ignore.as_deref(), Some("user=<bob>"));
    }

    #[test]
    fn without_a_filter_all_words_are_logs() {
        let words = parse(&[LOG, "src"]).unwrap();
        assert_eq!(words.logs.len(), 2);
        assert_eq!(words.filter, None);
    }

    #[test]
    fn a_failregex_stands_where_the_filter_does() {
        let words = parse(&[LOG, "^ x <HOST>", "^ y <ADDR>"]).unwrap();
        assert_eq!(words.filter, Some(Filter::Failregex("^ x <HOST>".to_owned())));
        assert_eq!(words.ignore.as_deref(), Some("^ y <ADDR>"));
    }

    #[test]
    fn a_first_word_with_blanks_is_a_line_of_a_log() {
        let line = "Nov 24 17:00:00 mail dovecot: x";
        assert_eq!(parse(&[line, "dovecot"]).unwrap().logs, [Log::Line(line.to_owned())]);
        assert!(fault(&[LOG, line]).contains("neither a file nor a filter"));
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        assert!(fault(&["mail.log", "dovecot"]).contains("mail.log cannot be read"));
        assert!(fault(&[LOG, "sshd"]).contains("\"sshd\" is neither a file nor a filter"));
        assert!(fault(&[LOG, "dovecot", "a", "b"]).contains("b is one word too many"));
        assert!(fault(&["systemd-journal", "dovecot"]).contains("journalctl"));
    }
}
