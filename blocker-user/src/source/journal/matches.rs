//! Which entries of the journal are Dovecot's, in the words of journalctl and of fail2ban's
//! `journalmatch`.

use std::fmt;

/// Alternatives, each of which is a row of `FIELD=value` that all must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matches(Vec<Vec<String>>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    #[error("it names no field; write FIELD=value, as in _SYSTEMD_UNIT=dovecot.service")]
    Empty,
    #[error("a + stands between two rows of FIELD=value, and on one side there is none")]
    Plus,
    #[error("a quote is not closed in {0:?}")]
    Quote(String),
    #[error("{0:?} is no match; write FIELD=value with the field in capitals, and + for \"or\"")]
    Word(String),
}

impl Default for Matches {
    /// The journal sets this field itself, so that no other process of the host can.
    fn default() -> Self {
        Self::unit("dovecot.service")
    }
}

impl Matches {
    /// Everything that the processes of a unit log.
    #[must_use]
    pub fn unit(name: &str) -> Self {
        let ending = if name.contains('.') { "" } else { ".service" };
        Self(vec![vec![format!("_SYSTEMD_UNIT={name}{ending}")]])
    }

    /// As fail2ban reads them: a line is an alternative, and so is what stands behind a `+`.
    pub fn parse<'t>(lines: impl IntoIterator<Item = &'t str>) -> Result<Self, MatchError> {
        let mut rows = Vec::new();
        for line in lines {
            let words = shlex::split(line).ok_or_else(|| MatchError::Quote(line.to_owned()))?;
            for row in words.split(|word| word == "+") {
                if row.is_empty() {
                    return Err(if words.is_empty() {
                        MatchError::Empty
                    } else {
                        MatchError::Plus
                    });
                }
                if let Some(word) = row.iter().find(|word| !is_match(word)) {
                    return Err(MatchError::Word(word.clone()));
                }
                rows.push(row.to_vec());
            }
        }
        if rows.is_empty() { Err(MatchError::Empty) } else { Ok(Self(rows)) }
    }

    /// An alternative without a field that the journal sets by itself: whoever may log on this
    /// host can write entries that it matches, and so can have anybody banned.
    #[must_use]
    pub fn forgeable(&self) -> Option<String> {
        let row = self.0.iter().find(|row| !row.iter().any(|word| word.starts_with('_')))?;
        Some(row.join(" "))
    }

    /// The arguments of journalctl. `also` is to hold in every case.
    pub(super) fn arguments(&self, also: Option<&str>) -> Vec<String> {
        let rows = self.0.iter().map(|row| {
            let also = also.map(str::to_owned);
            row.iter().cloned().chain(also).collect::<Vec<_>>()
        });
        rows.collect::<Vec<_>>().join(&"+".to_owned())
    }
}

impl fmt::Display for Matches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |word: &String| match word.contains(char::is_whitespace) {
            true => format!("\"{word}\""),
            false => word.clone(),
        };
        let row = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(" ");
        f.write_str(&self.0.iter().map(row).collect::<Vec<_>>().join(" + "))
    }
}

/// journalctl takes paths and options as well, which are not ours to hand on.
fn is_match(word: &str) -> bool {
    let Some((field, _)) = word.split_once('=') else { return false };
    let letter = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    field.chars().all(letter) && field.starts_with(|c: char| !c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{MatchError, Matches};

    fn arguments(lines: &[&str]) -> Vec<String> {
        Matches::parse(lines.iter().copied()).unwrap().arguments(None)
    }

    #[test]
    fn a_line_and_a_plus_are_alternatives() {
        let expected = ["_COMM=dovecot", "_UID=0", "+", "_SYSTEMD_UNIT=a.service"];
        assert_eq!(arguments(&["_COMM=dovecot _UID=0 + _SYSTEMD_UNIT=a.service"]), expected);
        assert_eq!(arguments(&["_COMM=dovecot _UID=0", "_SYSTEMD_UNIT=a.service"]), expected);
        assert_eq!(arguments(&["'_EXE=/a b'  X=\"c=d\""]), ["_EXE=/a b", "X=c=d"]);
    }

    #[test]
    fn what_must_hold_besides_holds_for_each_alternative() {
        let matches = Matches::parse(["_UID=0 + _UID=1"]).unwrap();
        assert_eq!(matches.arguments(Some("M=1")), ["_UID=0", "M=1", "+", "_UID=1", "M=1"]);
    }

    #[test]
    fn what_is_no_match_is_refused() {
        use MatchError::{Empty, Plus, Quote, Word};
        let fault = |line: &str| Matches::parse([line]).unwrap_err();
        assert_eq!(fault(""), Empty);
        assert_eq!(Matches::parse([]).unwrap_err(), Empty);
        for line in ["+", "_UID=0 +", "+ _UID=0", "_UID=0 + + _UID=1"] {
            assert_eq!(fault(line), Plus, "{line}");
        }
        for word in ["--vacuum-size=1", "/usr/sbin/dovecot", "-D=/", "a=b", "=b", "1A=b", "dovecot"]
        {
            assert_eq!(fault(word), Word(word.to_owned()));
        }
        assert!(matches!(fault("'_UID=0"), Quote(_)));
    }

    #[test]
    fn entries_that_anybody_can_write_are_told() {
        let forgeable = |line| Matches::parse([line]).unwrap().forgeable();
        assert_eq!(
            forgeable("SYSLOG_IDENTIFIER=dovecot"),
            Some("SYSLOG_IDENTIFIER=dovecot".into())
        );
        assert_eq!(forgeable("_UID=0 + MESSAGE=x"), Some("MESSAGE=x".into()));
        assert_eq!(forgeable("SYSLOG_IDENTIFIER=dovecot _UID=0"), None);
        assert_eq!(Matches::default().forgeable(), None);
    }

    #[test]
    fn is_shown_as_it_is_read() {
        for line in ["_SYSTEMD_UNIT=dovecot.service", "\"_EXE=/a b\" X=1 + _UID=0"] {
            assert_eq!(Matches::parse([line]).unwrap().to_string(), line);
        }
        assert_eq!(
            Matches::unit("dovecot@a.service"),
            Matches::parse(["_SYSTEMD_UNIT=dovecot@a.service"]).unwrap()
        );
        assert_eq!(Matches::unit("imap").to_string(), "_SYSTEMD_UNIT=imap.service");
    }
}
