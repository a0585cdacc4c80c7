//! The filter argument, in fail2ban's notation.

use std::str::FromStr;

use crate::dovecot::{Mode, UnknownMode};

const NAME: &str = "dovecot";
/// fail2ban's file of the same rules. It is not read: the rules are built in.
const CONF: &str = "dovecot.conf";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) mode: Mode,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FilterError {
    #[error(
        "{0:?} is neither a file nor a filter; the filters are dovecot and dovecot[mode=aggressive]"
    )]
    Unknown(String),
    #[error("{0:?} is not an option of the filter; there is mode")]
    Option(String),
    #[error(transparent)]
    Mode(#[from] UnknownMode),
}

impl Default for Filter {
    fn default() -> Self {
        Self { mode: Mode::Normal }
    }
}

impl Filter {
    /// Whether `text` names the filter, whatever options it has.
    pub(super) fn is_name(text: &str) -> bool {
        options(text).is_some_and(|options| options.is_empty() || options.starts_with('['))
    }
}

/// What follows the name of the filter, or of its file.
fn options(text: &str) -> Option<&str> {
    let end = text.find('[').unwrap_or(text.len());
    let (name, options) = text.split_at_checked(end)?;
    let file = name.rsplit('/').next().unwrap_or(name);
    (name == NAME || file == CONF).then_some(options)
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let unknown = || FilterError::Unknown(text.to_owned());
        let options = options(text.trim()).ok_or_else(unknown)?;
        if options.is_empty() {
            return Ok(Self::default());
        }
        let options = options
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .ok_or_else(unknown)?;
        let mut mode = Mode::Normal;
        for option in options.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some((name, value)) if name.trim() == "mode" => {
                    mode = value.trim().trim_matches(['"', '\'']).parse()?;
                }
                _ => return Err(FilterError::Option(option.to_owned())),
            }
        }
        Ok(Self { mode })
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, FilterError};
    use crate::dovecot::Mode;

    #[test]
    fn reads_fail2bans_notation() {
        let mode = |text: &str| text.parse::<Filter>().map(|filter| filter.mode);
        assert_eq!(mode("dovecot"), Ok(Mode::Normal));
        assert_eq!(mode("dovecot[]"), Ok(Mode::Normal));
        assert_eq!(mode("dovecot[mode=aggressive]"), Ok(Mode::Aggressive));
        assert_eq!(mode("dovecot[mode=\"aggressive\"]"), Ok(Mode::Aggressive));
        assert_eq!(mode("dovecot[ mode = 'normal' ]"), Ok(Mode::Normal));
        assert_eq!(mode("/etc/fail2ban/filter.d/dovecot.conf"), Ok(Mode::Normal));
        assert_eq!(mode("dovecot.conf[mode=aggressive]"), Ok(Mode::Aggressive));
    }

    #[test]
    fn names_what_it_does_not_know() {
        let error = |text: &str| text.parse::<Filter>().unwrap_err();
        assert_eq!(error("sshd"), FilterError::Unknown("sshd".to_owned()));
        assert_eq!(error("dovecot[mode=x"), FilterError::Unknown("dovecot[mode=x".to_owned()));
        assert_eq!(error("dovecot[a=b]"), FilterError::Option("a=b".to_owned()));
        assert!(matches!(error("dovecot[mode=extra]"), FilterError::Mode(_)));
    }
}
