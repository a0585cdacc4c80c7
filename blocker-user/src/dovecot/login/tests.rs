//! What is read in one look is what it would be if every part were looked for by itself.

use proptest::prelude::*;

use super::{
    super::{gate::tests::changed, prefix},
    *,
};

/// What each part of a line says, read one after the other.
mod plainly {
    use super::*;

    pub(super) fn halves(text: &[u8]) -> Option<(&[u8], &[u8])> {
        if let Some(at) = memchr::memmem::find(text, b": user=<>")
            && !text[..at].contains(&b')')
        {
            return Some((&text[..at], &text[at + 2..]));
        }
        memchr::memmem::find_iter(text, b"): ").find_map(|at| {
            let fields = &text[at + 3..];
            let name = fields.split(|byte| *byte == b'=').next()?;
            let is_name = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
            let is_field = name.len() < fields.len() && !name.is_empty();
            (is_field && name.iter().all(is_name)).then_some((&text[..=at], fields))
        })
    }

    pub(super) fn client(fields: &[u8], is_probe: bool) -> Option<IpAddr> {
        let starts = memchr::memmem::find_iter(fields, b"rip=");
        let starts: Vec<usize> = starts.filter(|at| *at == 0 || fields[at - 1] == b' ').collect();
        let values: Vec<_> = starts.iter().map(|at| field_address(&fields[at + 4..])).collect();
        let first = *values.first()?;
        if values.iter().all(|value| *value == first) {
            return first;
        }
        let by_session = session::last(fields).map(|(_, ip)| ip);
        if by_session.is_some() && values.contains(&by_session) {
            return by_session;
        }
        if starts[0] == 0 {
            return first;
        }
        let name = memchr::memmem::find(fields, b"user=").unwrap_or(fields.len());
        if has_unknown_element(if is_probe { fields } else { &fields[..name] }) {
            return None;
        }
        if starts[0] < name { first } else { values[values.len() - 1] }
    }

    /// N and X of `X/N successful auths`, and N of `N attempts`.
    pub(super) fn guesses(words: &[u8]) -> (Option<u32>, u32) {
        let auths = number_before(words, b" successful auths");
        let both = auths.and_then(|(all, before)| Some((all, number_before(before, b"/")?.0)));
        match both {
            Some((all, successes)) => (Some(all.saturating_sub(successes)), successes),
            None => (number_before(words, b" attempts").map(|(failed, _)| failed), 0),
        }
    }

    pub(super) fn is_plain(text: &[u8]) -> bool {
        let holds = |word: &[u8]| memchr::memmem::find(text, word).is_some();
        rules::by_cause(text).is_none()
            && !NOT_THE_CLIENT.iter().any(|word| holds(word))
            && !refuses_certificate(text)
            && !holds(OPENSSL)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_part_of_a_line_is_what_it_is_by_itself(line in changed(), is_probe in any::<bool>()) {
        let message = prefix::split(&line).map_or(&line[..], |prefix| prefix.message);
        prop_assert_eq!(halves(message), plainly::halves(message));
        prop_assert_eq!(client(message, is_probe), plainly::client(message, is_probe));
        prop_assert_eq!(is_plain(message), plainly::is_plain(message));
        let (words, fields) = halves(message).unwrap_or((message, b""));
        prop_assert_eq!(client(fields, is_probe), plainly::client(fields, is_probe));
        let tries = Tries::of(words);
        prop_assert_eq!((tries.failed, tries.successes), plainly::guesses(words));
    }
}

#[test]
fn every_word_of_a_cause_is_looked_for() {
    for word in rules::words_of_causes().map(str::as_bytes).chain(NOT_THE_CLIENT) {
        assert!(!is_plain(word), "{}", String::from_utf8_lossy(word));
    }
    assert!(is_plain(b": Connection closed (no auth attempts in 3 secs)"));
}
