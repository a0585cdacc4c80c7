//! Small steps over bytes. Each takes what it recognises off the front and returns the rest.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The part before `byte`, and the part after it.
#[inline(always)]
pub(super) fn split_at_byte(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(byte, text)?;
    let (before, rest) = text.split_at(at);
    Some((before, rest.get(1..)?))
}

/// The part before the first `needle`, and the part after it.
#[inline(always)]
pub(super) fn split_at<'t>(text: &'t [u8], needle: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = find(text, needle)?;
    let (before, rest) = text.split_at(at);
    Some((before, rest.get(needle.len()..)?))
}

/// The part before the last `needle`, and the part after it.
#[inline(always)]
pub(super) fn split_at_last<'t>(text: &'t [u8], needle: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = rfind(text, needle)?;
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
    if let Some(ip) = dotted_quad(text) {
        return Some(ip.into());
    }
    if let Some(ip) = hextets(text) {
        return Some(IpAddr::from(ip).to_canonical());
    }
    let text = str::from_utf8(text).ok()?;
    let without_scope = || text.split_once('%')?.0.parse().ok();
    text.parse().ok().or_else(without_scope).map(|ip: IpAddr| ip.to_canonical())
}

/// An IPv4 address, which most are, in a fraction of the time that `str::parse` takes.
fn dotted_quad(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut rest = text;
    for (index, octet) in octets.iter_mut().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        let mut value = 0_u16;
        let mut digits = 0;
        while let [byte @ b'0'..=b'9', after @ ..] = rest {
            // Neither 1000 nor 01.
            if digits == 3 || (digits == 1 && value == 0) {
                return None;
            }
            value = value * 10 + u16::from(byte - b'0');
            digits += 1;
            rest = after;
        }
        if digits == 0 {
            return None;
        }
        *octet = u8::try_from(value).ok()?;
    }
    rest.is_empty().then(|| octets.into())
}

/// An IPv6 address in hexadecimal alone, likewise. What else one can look like is for
/// `str::parse`.
fn hextets(text: &[u8]) -> Option<Ipv6Addr> {
    const COUNT: usize = 8;
    let mut groups = [0; COUNT];
    let (mut len, mut gap) = (0, None);
    let mut rest = text;
    if let Some(after) = rest.strip_prefix(b"::") {
        (gap, rest) = (Some(0), after);
    }
    while !rest.is_empty() {
        let (mut value, mut digits) = (0_u32, 0);
        while let [byte, after @ ..] = rest
            && let Some(digit) = char::from(*byte).to_digit(16)
            && digits < 4
        {
            (value, digits, rest) = (value << 4 | digit, digits + 1, after);
        }
        *groups.get_mut(len)? = u16::try_from(value).ok().filter(|_| digits > 0)?;
        len += 1;
        rest = match rest {
            [] => break,
            [b':', b':', after @ ..] if gap.is_none() => {
                gap = Some(len);
                after
            }
            [b':', after @ ..] if !after.is_empty() => after,
            _ => return None,
        };
    }
    match gap {
        None if len == COUNT => {}
        // The groups behind the gap are the last ones.
        Some(at) if len < COUNT => groups.get_mut(at..)?.rotate_right(COUNT - len),
        _ => return None,
    }
    Some(groups.into())
}

/// `text` behind `word`, which is one of a table and not empty. Most of them differ in their
/// first byte, and to compare that is quicker than a call to compare all.
#[inline(always)]
pub(super) fn behind<'t>(text: &'t [u8], word: &[u8]) -> Option<&'t [u8]> {
    if text.first() == word.first() { text.strip_prefix(word) } else { None }
}

#[inline(always)]
pub(super) fn contains(text: &[u8], needle: &[u8]) -> bool {
    find(text, needle).is_some()
}

/// Where `needle` begins. `memmem` prepares itself for every needle, which pays on long texts;
/// a line is shorter than that takes. This looks for one byte of the needle at once: inlined
/// where the needle is a literal, so that the compiler chooses that byte.
#[inline(always)]
pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    find_iter(text, needle).next()
}

/// As [`find`], for every place.
#[inline(always)]
pub(super) fn find_iter<'t>(text: &'t [u8], needle: &'t [u8]) -> impl Iterator<Item = usize> + 't {
    let (offset, byte) = rarer_end(needle);
    let candidates = memchr::memchr_iter(byte, text.get(offset..).unwrap_or_default());
    candidates.filter(move |at| is_at(text, *at, needle))
}

/// As [`find`], for the last place.
#[inline(always)]
pub(super) fn rfind(text: &[u8], needle: &[u8]) -> Option<usize> {
    let (offset, byte) = rarer_end(needle);
    let mut candidates = memchr::memrchr_iter(byte, text.get(offset..).unwrap_or_default());
    candidates.find(|at| is_at(text, *at, needle))
}

#[inline(always)]
fn is_at(text: &[u8], at: usize, needle: &[u8]) -> bool {
    text.get(at..).is_some_and(|text| text.starts_with(needle))
}

/// The first or the last byte of `needle` (leaving out a blank), whichever is met less often
/// in a line of Dovecot's, and where in it. To find the very best takes longer than it saves.
#[inline(always)]
fn rarer_end(needle: &[u8]) -> (usize, u8) {
    let trimmed = needle.strip_suffix(b" ").unwrap_or(needle);
    let first = needle.first().copied().unwrap_or(0);
    match trimmed.split_last() {
        Some((last, before)) if rarity(*last) > rarity(first) => (before.len(), *last),
        _ => (0, first),
    }
}

#[inline(always)]
fn rarity(byte: u8) -> u8 {
    match byte {
        b' ' | b'=' | b':' | b',' | b'.' => 0,
        b'a' | b'e' | b'i' | b'n' | b'o' | b's' | b't' | b'0'..=b'9' => 1,
        b'a'..=b'z' => 2,
        b'A'..=b'Z' => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::{address, find_iter, number, rfind};
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn an_address_is_what_the_standard_library_takes_for_one(
            text in prop_oneof![
                "[0-9]{1,3}(\\.[0-9]{1,3}){3}",
                "[0-9.]{0,16}",
                any::<[u8; 4]>().prop_map(|octets| std::net::IpAddr::from(octets).to_string()),
                "[0-9a-fA-F]{0,5}(:{1,3}[0-9a-f]{0,5}){0,9}",
                "(::)?([0-9a-f]{1,4}:){0,8}(:[0-9a-f]{1,4}){0,8}",
                "::[0-9a-f:.]{0,12}",
                any::<[u8; 16]>().prop_map(|octets| std::net::IpAddr::from(octets).to_string()),
            ],
        ) {
            let expected = text.parse().ok().map(|ip: std::net::IpAddr| ip.to_canonical());
            prop_assert_eq!(address(text.as_bytes()), expected);
        }

        #[test]
        fn needles_are_found_where_memmem_finds_them(
            text in "[ab:(=> ]{0,40}",
            needle in prop_oneof![Just("a"), Just("ab"), Just(": "), Just("b=>"), Just(" a:(")],
        ) {
            let (text, needle) = (text.as_bytes(), needle.as_bytes());
            let expected: Vec<usize> = memchr::memmem::find_iter(text, needle).collect();
            prop_assert_eq!(find_iter(text, needle).collect::<Vec<_>>(), expected);
            prop_assert_eq!(rfind(text, needle), memchr::memmem::rfind(text, needle));
        }
    }
}
