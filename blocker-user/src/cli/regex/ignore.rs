//! IGNOREREGEX: lines that are counted as ignored, whatever the rules say of them.

use std::str::FromStr;

use regex::bytes::Regex;

/// How much memory a compiled expression may take, and its cache for each thread.
const MAX_COMPILED_BYTES: usize = 10 * 1024 * 1024;

#[derive(Clone, Debug)]
pub(super) struct Ignore(Regex);

#[derive(Debug, thiserror::Error)]
pub(super) enum IgnoreError {
    #[error("IGNOREREGEX {0:?} cannot be used: {1}")]
    Invalid(String, Box<regex::Error>),
    #[error(
        "IGNOREREGEX {0:?} has a tag of fail2ban in it ({1}), which is not known here; write what \
         it stands for, for example \\S+"
    )]
    Tag(String, String),
}

impl Ignore {
    pub(super) fn matches(&self, line: &[u8]) -> bool {
        self.0.is_match(line)
    }
}

impl FromStr for Ignore {
    type Err = IgnoreError;

    fn from_str(text: &str) -> Result<Self, IgnoreError> {
        if let Some(tag) = tag(text) {
            return Err(IgnoreError::Tag(text.to_owned(), tag.to_owned()));
        }
        regex::bytes::RegexBuilder::new(text)
            .size_limit(MAX_COMPILED_BYTES)
            .dfa_size_limit(MAX_COMPILED_BYTES)
            .build()
            .map(Self)
            .map_err(|error| IgnoreError::Invalid(text.to_owned(), Box::new(error)))
    }
}

/// `<HOST>` and its kind: capitals in angle brackets.
fn tag(text: &str) -> Option<&str> {
    text.match_indices('<').find_map(|(start, _)| {
        let rest = text.get(start..)?;
        let tag = rest.get(..=rest.find('>')?)?;
        let name = tag.trim_start_matches(['<', '/']).trim_end_matches('>');
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "_-".contains(c);
        // `(?P<NAME>…)` is no tag.
        let is_group = text.get(..start)?.ends_with("(?P") || text.get(..start)?.ends_with("(?");
        (!is_group && name.len() > 1 && name.chars().all(is_name)).then_some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::Ignore;

    #[test]
    fn matches_anywhere_in_the_bytes_of_a_line() {
        let ignore: Ignore = r"rip=192\.0\.2\.".parse().unwrap();
        assert!(ignore.matches(b"\xff rip=192.0.2.7"));
        assert!(!ignore.matches(b"rip=192.0.3.7"));
        assert!("(?P<NET>192)|user=<>".parse::<Ignore>().is_ok());
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let fault = |text: &str| text.parse::<Ignore>().unwrap_err().to_string();
        assert!(fault("^x <HOST>").contains("(<HOST>)"));
        assert!(fault("<F-USER>x</F-USER>").contains("(<F-USER>)"));
        assert!(fault("(?=x)").contains("look-around"), "{}", fault("(?=x)"));
        assert!(fault("x{1000}{1000}{1000}").contains("size limit"));
    }
}
