//! Small steps over bytes. Each takes what it recognises off the front and returns the rest.

use std::net::IpAddr;

/// The part before `byte`, and the part after it.
pub(super) fn split_at_byte(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(byte, text)?;
    let (before, rest) = text.split_at(at);
    Some((before, rest.get(1..)?))
}

/// The part before the first `needle`, and the part after it.
pub(super) fn split_at<'t>(text: &'t [u8], needle: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = memchr::memmem::find(text, needle)?;
    let (before, rest) = text.split_at(at);
    Some((before, rest.get(needle.len()..)?))
}

/// The part before the last `needle`, and the part after it.
pub(super) fn split_at_last<'t>(text: &'t [u8], needle: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = memchr::memmem::rfind(text, needle)?;
    let (before, rest) = text.split_at(at);
    Some((before, rest.get(needle.len()..)?))
}

/// A decimal number of one to nine digits, and what follows it.
pub(super) fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    const MAX_DIGITS: usize = 9;
    let digits = text.iter().take(MAX_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > MAX_DIGITS {
        return None;
    }
    let (number, rest) = text.split_at(digits);
    let value = number.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Some((value, rest))
}

/// Exactly an IP address. IPv4 in IPv6 becomes IPv4; a scope (`fe80::1%eth0`) is dropped.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let text = text.split_once('%').map_or(text, |(address, _scope)| address);
    text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

pub(super) fn contains(text: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(text, needle).is_some()
}

#[cfg(test)]
mod tests {
    use super::{address, number};

    #[test]
    fn numbers_do_not_overflow() {
        assert_eq!(number(b"007x"), Some((7, &b"x"[..])));
        assert_eq!(number(b"999999999"), Some((999_999_999, &b""[..])));
        assert_eq!(number(b"9999999999"), None);
        assert_eq!(number(b"x"), None);
    }

    #[test]
    fn addresses_are_whole_or_nothing() {
        assert_eq!(address(b"::ffff:192.0.2.7"), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(address(b"fe80::1%eth0"), Some("fe80::1".parse().unwrap()));
        for wrong in [&b"192.0.2"[..], b"192.0.2.7 ", b"", b"192.0.2.7,", b"\xff", b"mail"] {
            assert_eq!(address(wrong), None);
        }
    }
}
