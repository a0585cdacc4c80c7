//! Lines of the auth process and its workers, written with `auth_verbose=yes`, and of PAM.
//!
//! ```text
//! 2.3  passwd-file(NAME,IP,<SESSION>): unknown user
//! 2.4  auth(NAME,IP,sasl:plain)<SESSION>: passwd-file: unknown user
//! ```
//!
//! NAME is the client's text and can imitate everything that follows it. The verdict that
//! ends the line is Dovecot's, so the address is the one right before the last verdict. A
//! verdict can quote the password (`auth_verbose_passwords=plain`), which is client text
//! behind the verdict: if such a line offers two addresses, it says nothing. No guess goes
//! uncounted for that, because the login process writes a line of its own.

use std::net::IpAddr;

use super::{
    event::Event,
    prefix::without_level,
    rules::{PAM_FAILED, PASSWORD_MISMATCH, Rule, UNKNOWN_USER},
    scan::{address, number, split_at, split_at_last},
};

/// What the passdbs say of a wrong guess, in any case of the first letter.
static VERDICTS: [(&[u8], &Rule); 5] = [
    (b"nknown user", &UNKNOWN_USER),
    (b"assword mismatch", &PASSWORD_MISMATCH),
    (b"nvalid credentials", &PASSWORD_MISMATCH),
    (b"am_authenticate() failed: Authentication failure", &PAM_FAILED),
    (b"am_authenticate() failed: User not known", &PAM_FAILED),
];
const QUOTED_PASSWORD: &[u8] = b"(given password: ";

pub(super) fn judge(message: &[u8]) -> Option<Event> {
    let mut found = None;
    for at in memchr::memmem::find_iter(message, b": ") {
        let (Some(before), Some(after)) = (message.get(..at), message.get(at + 2..)) else {
            continue;
        };
        let Some(rule) = verdict(after) else { continue };
        let Some(ip) = address_before(before) else { continue };
        match found {
            Some(Event::Failure { ip: other, .. })
                if other != ip && split_at(message, QUOTED_PASSWORD).is_some() =>
            {
                return None;
            }
            _ => found = Some(Event::Failure { ip, rule }),
        }
    }
    found
}

fn verdict(text: &[u8]) -> Option<&'static Rule> {
    let (first, rest) = text.split_first()?;
    if !matches!(first.to_ascii_lowercase(), b'u' | b'p' | b'i') {
        return None;
    }
    VERDICTS.iter().find(|(words, _)| rest.starts_with(words)).map(|(_, rule)| *rule)
}

/// The address in what precedes a verdict.
fn address_before(head: &[u8]) -> Option<IpAddr> {
    if let Some(inside) = head.strip_suffix(b")") {
        // 2.3: `driver(NAME,IP` or `driver(NAME,IP,<SESSION>`
        let inside = match inside.strip_suffix(b">") {
            Some(with_session) => split_at_last(with_session, b",<")?.0,
            None => inside,
        };
        return last_field(inside);
    }
    // 2.4: `auth(NAME,IP,sasl:plain)<SESSION>: driver`, `auth-worker(NAME,IP)<P><S>: request [N]: driver`
    let (head, driver) = split_at_last(head, b": ")?;
    if !driver.iter().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'0'..=b'9')) {
        return None;
    }
    let head = without_request(head);
    let (inside, _session) = split_at_last(head.strip_suffix(b">")?, b")<")?;
    let inside = match split_at_last(inside, b",") {
        Some((before, mechanism)) if mechanism.starts_with(b"sasl:") => before,
        _ => inside,
    };
    last_field(inside)
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

/// `pam_unix(dovecot:auth): authentication failure; … ruser=NAME rhost=IP  user=NAME`. PAM
/// writes the second name only for users that exist, so a client's text ends at `rhost=`.
pub(super) fn judge_pam(message: &[u8]) -> Option<Event> {
    let (module, rest) = split_at(without_level(message), b": authentication failure; ")?;
    if !module.starts_with(b"pam_") || !module.ends_with(b"(dovecot:auth)") {
        return None;
    }
    let (before, host) = split_at_last(rest, b" rhost=")?;
    split_at(before, b"tty=dovecot ")?;
    let end = host.iter().position(|byte| *byte == b' ').unwrap_or(host.len());
    let ip = address(host.get(..end)?)?;
    Some(Event::Failure { ip, rule: &PAM_FAILED })
}
