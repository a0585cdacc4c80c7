//! Lines of the auth process and its workers, written with `auth_verbose=yes`, and of PAM.
//!
//! ```text
//! 2.3  passwd-file(NAME,IP,<SESSION>): unknown user
//! 2.4  auth(NAME,IP,sasl:plain)<SESSION>: passwd-file: unknown user
//! ```
//!
//! NAME is the client's text and can imitate everything that follows it. The verdict that
//! ends the line is Dovecot's, so the address is the one right before the last verdict, and
//! a verdict that anything but Dovecot's own additions follow is none.
//!
//! Two of those additions quote client text behind the verdict: `(given password: …)` with
//! `auth_verbose_passwords=plain`, and `(username: …)`. If such a quote offers an address that
//! differs from the others, the line says nothing. No guess goes uncounted for that: the
//! login process writes a line of its own.

use std::net::IpAddr;

use super::{
    event::Event,
    prefix::without_level,
    rules::{PAM_FAILED, PASSWORD_MISMATCH, Rule, UNKNOWN_USER},
    scan::{address, find, find_iter, number, split_at, split_at_last},
};

/// What the passdbs say of a wrong guess, without the first letter, whose case varies.
static VERDICTS: [(&[u8], &Rule); 4] = [
    (b"nknown user", &UNKNOWN_USER),
    (b"assword mismatch", &PASSWORD_MISMATCH),
    (b"nvalid credentials", &PASSWORD_MISMATCH),
    (b"am_authenticate() failed: ", &PAM_FAILED),
];
/// What PAM says of a wrong guess; it has other errors that are not the client's.
const PAM_VERDICTS: [&[u8]; 3] =
    [b"Authentication failure", b"User not known", b"Permission denied"];
/// Client text follows.
const QUOTES: [&[u8]; 2] = [b"(given password: ", b"(username: "];

pub(super) fn judge(message: &[u8]) -> Option<Event> {
    let quote = QUOTES.iter().filter_map(|quote| find(message, quote)).min();
    let mut first = None;
    let mut addresses_differ = false;
    let mut last_verdict = None;
    for at in find_iter(message, b": ") {
        let (Some(before), Some(after)) = (message.get(..at), message.get(at + 2..)) else {
            continue;
        };
        let Some(ip) = address_before(before) else { continue };
        addresses_differ |= *first.get_or_insert(ip) != ip;
        if addresses_differ && quote.is_some_and(|quote| quote < at) {
            return None;
        }
        if let Some(rule) = verdict(after) {
            last_verdict = Some(Event::Failure { ip, rule });
        }
    }
    last_verdict
}

fn verdict(text: &[u8]) -> Option<&'static Rule> {
    let (first, rest) = text.split_first()?;
    if !matches!(first.to_ascii_lowercase(), b'u' | b'p' | b'i') {
        return None;
    }
    let (rest, rule) =
        VERDICTS.iter().find_map(|(words, rule)| Some((rest.strip_prefix(*words)?, *rule)))?;
    let is_whole = if *rule == PAM_FAILED {
        PAM_VERDICTS.iter().any(|words| rest.starts_with(words))
    } else {
        // Alone, or with `(SHA1 of given password: …)` and the like.
        rest.is_empty() || (rest.starts_with(b" (") && rest.ends_with(b")"))
    };
    is_whole.then_some(rule)
}

/// The address in what precedes a verdict.
fn address_before(head: &[u8]) -> Option<IpAddr> {
    let head = without_request(without_driver(head));
    if let Some(with_session) = head.strip_suffix(b">") {
        // 2.4: `auth(NAME,IP,sasl:plain)<SESSION>`, `auth-worker(NAME,IP)<PID><SESSION>`
        let (inside, _session) = split_at_last(with_session, b")<")?;
        return last_field(split_at_last(inside, b",sasl:").map_or(inside, |(before, _)| before));
    }
    // 2.3: `driver(NAME,IP)` or `driver(NAME,IP,<SESSION>)`
    let inside = head.strip_suffix(b")")?;
    match inside.strip_suffix(b">") {
        Some(with_session) => last_field(split_at_last(with_session, b",<")?.0),
        None => last_field(inside),
    }
}

/// Takes `: passwd-file` and the like off the end, which 2.4 has there, and the level that
/// Dovecot's own format has before it.
fn without_driver(head: &[u8]) -> &[u8] {
    let is_name = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    match split_at_last(head, b": ") {
        Some((before, driver)) if driver.iter().all(is_name) => {
            before.strip_suffix(b": Info").unwrap_or(before)
        }
        _ => head,
    }
}

/// Takes `: request [N]` off the end.
fn without_request(head: &[u8]) -> &[u8] {
    let parsed = || {
        let (before, request) = split_at_last(head, b": request [")?;
        (number(request)?.1 == b"]").then_some(before)
    };
    parsed().unwrap_or(head)
}

fn last_field(inside: &[u8]) -> Option<IpAddr> {
    address(split_at_last(inside, b",")?.1)
}

/// `pam_unix(dovecot:auth): authentication failure; … ruser=NAME rhost=IP  user=NAME`, where
/// the end from `  user=` on can be missing. NAME can imitate the rest, but it must then stand
/// on both sides alike: only an address with that on both sides counts, and only if it is the
/// one that does.
pub(super) fn judge_pam(message: &[u8]) -> Option<Event> {
    const HOST: &[u8] = b" rhost=";
    let (module, rest) = split_at(without_level(message), b": authentication failure; ")?;
    if !module.starts_with(b"pam_") || !module.ends_with(b"(dovecot:auth)") {
        return None;
    }
    let (_, names) = split_at(rest, b" tty=dovecot ruser=")?;
    let mut found = None;
    for at in find_iter(names, HOST) {
        let (Some(name), Some(host)) = (names.get(..at), names.get(at + HOST.len()..)) else {
            continue;
        };
        let end = host.iter().position(|byte| *byte == b' ').unwrap_or(host.len());
        let (Some(ip), Some(tail)) = (host.get(..end).and_then(address), host.get(end..)) else {
            continue;
        };
        let user = tail.trim_ascii_start().strip_prefix(b"user=");
        if tail.is_empty() || name.is_empty() || user == Some(name) {
            if found.is_some_and(|other| other != ip) {
                return None;
            }
            found = Some(ip);
        }
    }
    found.map(|ip| Event::Failure { ip, rule: &PAM_FAILED })
}
