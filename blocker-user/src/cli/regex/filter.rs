//! The filter argument, in fail2ban's notation.

use std::str::FromStr;

use crate::{
    dovecot::{Mode, UnknownMode},
    filter::has_host_tag,
};

const NAME: &str = "dovecot";
/// fail2ban's file of the same rules. It is not read: the rules are built in.
const CONF: &str = "dovecot.conf";
/// What fail2ban has to be told of a log's layout.
const LOGTYPES: [&str; 4] = ["file", "short", "journal", "rfc5424"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// The built-in rules.
    Rules(Mode),
    /// A pattern that stands in for them, with the tag of an address in it.
    Failregex(String),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FilterError {
    #[error(
        "{0:?} is neither a file nor a filter; the filters are dovecot and \
         dovecot[mode=aggressive], and a failregex says with <HOST> where the address stands"
    )]
    Unknown(String),
    #[error(
        "{0:?} is a file of filters, which is not read; give dovecot for the built-in rules, or in \
         quotes the failregex that stands in the file"
    )]
    File(String),
    #[error(
        "{0:?} is not an option of the filter; there are mode, and logtype (file, short, journal, \
         rfc5424), which is found out line by line whatever it says"
    )]
    Option(String),
    #[error(transparent)]
    Mode(#[from] UnknownMode),
}

impl Filter {
    /// Whether `text` names a filter, this one or another, whatever options it has.
    pub(super) fn is_name(text: &str) -> bool {
        options(text).is_some_and(|options| options.is_empty() || options.starts_with('['))
            || is_file_of_filters(text)
    }
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches(['"', '\''])
}

/// Logs have other names than the files of `filter.d`.
fn is_file_of_filters(text: &str) -> bool {
    let file = text.split('[').next().unwrap_or(text);
    [".conf", ".local"].iter().any(|end| file.ends_with(end))
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
        let options = match options(text.trim()) {
            Some("") => return Ok(Self::Rules(Mode::Normal)),
            Some(options) => options,
            None if is_file_of_filters(text) && !has_host_tag(text) => {
                return Err(FilterError::File(text.to_owned()));
            }
            None if has_host_tag(text) => return Ok(Self::Failregex(text.to_owned())),
            None => return Err(unknown()),
        };
        let options = options
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .ok_or_else(unknown)?;
        let mut mode = Mode::Normal;
        for option in options.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some((name, value)) if name.trim() == "mode" => {
                    mode = unquoted(value).parse()?;
                }
                Some((name, value))
                    if name.trim() == "logtype" && LOGTYPES.contains(&unquoted(value)) => {}
                _ => return Err(FilterError::Option(option.to_owned())),
            }
        }
        Ok(Self::Rules(mode))
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, FilterError};
    use crate::dovecot::Mode;

    #[test]
    fn reads_fail2bans_notation() {
        let (normal, aggressive) =
            (Ok(Filter::Rules(Mode::Normal)), Ok(Filter::Rules(Mode::Aggressive)));
        assert_eq!("dovecot".parse(), normal);
        assert_eq!("dovecot[]".parse(), normal);
        assert_eq!("dovecot[mode=aggressive]".parse(), aggressive);
        assert_eq!("dovecot[mode=\"aggressive\"]".parse(), aggressive);
        assert_eq!("dovecot[ mode = 'normal' ]".parse(), normal);
        assert_eq!("dovecot[mode=aggressive, logtype=journal]".parse(), aggressive);
        assert_eq!("dovecot[logtype=\"file\"]".parse(), normal);
        assert_eq!("/etc/fail2ban/filter.d/dovecot.conf".parse(), normal);
        assert_eq!("dovecot.conf[mode=aggressive]".parse(), aggressive);
    }

    #[test]
    fn a_failregex_has_the_tag_of_an_address() {
        let hosts = ["<HOST>", "<ADDR>", "<IP4>", "<IP6>", "<DNS>", "<SUBNET>"];
        let ids = ["<F-ID>x+</F-ID>", "<F-ID/>", "<F-ADDR/>", "<F-IP4>x</F-IP4>"];
        for tag in hosts.into_iter().chain(ids) {
            let text = format!("^ x user=<[^>]*>, {tag}$");
            assert_eq!(text.parse(), Ok(Filter::Failregex(text)));
        }
        for text in ["^ x", "user=<bob>", "<F-USER>x</F-USER>", "<CIDR>", "</F-ID>", "<HOTS>"] {
            assert!(matches!(text.parse::<Filter>(), Err(FilterError::Unknown(_))), "{text}");
        }
    }

    #[test]
    fn names_what_it_does_not_know() {
        let error = |text: &str| text.parse::<Filter>().unwrap_err();
        assert_eq!(error("sshd"), FilterError::Unknown("sshd".to_owned()));
        assert_eq!(error("dovecot[mode=x"), FilterError::Unknown("dovecot[mode=x".to_owned()));
        let file = "/etc/fail2ban/filter.d/my-dovecot.conf".to_owned();
        assert_eq!(error(&file), FilterError::File(file));
        for option in ["a=b", "logtype=x", "mode"] {
            let expected = FilterError::Option(option.to_owned());
            assert_eq!(error(&format!("dovecot[{option}]")), expected);
        }
        assert!(matches!(error("dovecot[mode=extra]"), FilterError::Mode(_)));
    }
}
