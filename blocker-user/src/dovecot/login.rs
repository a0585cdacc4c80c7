//! Lines of the login processes: `Disconnected: … (reason): user=<…>, …, rip=…, …`.
//!
//! Such a line has two halves. The first is Dovecot's own words up to `): ` and the first
//! field; no client text is in it. The second is `login_log_format_elements`, and there the
//! user name is whatever the client sent, `>` and `,` included. An address is therefore
//! chosen by position, never by what it looks like:
//!
//! - before `user=` only Dovecot writes, so a `rip=` there is the client's;
//! - otherwise the client's `rip=` follows the name, so it is the last one: nothing a client
//!   writes comes behind it in the elements Dovecot documents (`method=` is in upper case);
//! - where an admin added such elements, and several addresses differ, the session id at the
//!   very end of the line decides. It is behind the name, so the name cannot forge it.

use std::{net::IpAddr, time::Duration};

use super::{
    SessionCheck,
    event::{Event, Failure, Guesses, Session},
    rules::{
        self, AUTH_NOT_READY, INPUT_BUFFER_FULL, LOGIN_WORDS, Mode, NO_AUTH_ATTEMPTS, Rule,
        TLS_UNFINISHED,
    },
    scan::{address, contains, number, split_at, split_at_last},
    session,
};

/// What a line about a connection that ended before its login begins with.
const ENDED: [&[u8]; 5] = [
    b"Disconnected",
    b"Aborted login",
    b"Login aborted",
    b"Remote closed connection",
    b"Client has quit the connection",
];
/// Connections that end for no fault of the client.
const NOT_THE_CLIENT: [&[u8]; 4] =
    [b"queue full", b"Shutting down", b"shutting down", b"Auth process broken"];
/// TLS alerts by which a client says that it does not like the server's certificate: after
/// the certificate has expired, that is every honest customer.
const CERTIFICATE_REFUSED: [&[u8]; 6] = [
    b"alert certificate expired",
    b"alert certificate unknown",
    b"alert bad certificate",
    b"alert unknown ca",
    b"alert certificate revoked",
    b"alert unsupported certificate",
];

pub(super) fn judge(message: &[u8], check: SessionCheck) -> Option<Event> {
    if let Some(fields) = LOGIN_WORDS.iter().find_map(|head| message.strip_prefix(head.as_bytes()))
    {
        let ip = client(fields)?;
        let session = session_of(fields, ip, check)?;
        return Some(Event::Login { ip, session });
    }
    let (head, after_head) =
        ENDED.iter().find_map(|head| Some((*head, message.strip_prefix(*head)?)))?;
    let (words, fields) = halves(after_head)?;
    let rule = rule(head, words, fields)?;
    let ip = client(fields)?;
    let session = session_of(fields, ip, check)?;
    let (attempts, waited) = numbers(words);
    Some(Event::Failure(Failure {
        session,
        guesses: Guesses::Total(attempts),
        waited,
        ..Failure::new(ip, rule)
    }))
}

/// What the line is counted for. Where no credentials were tried, how the connection ended
/// says more than that, and can excuse it.
fn rule(head: &[u8], words: &[u8], fields: &[u8]) -> Option<&'static Rule> {
    let by_cause = || rules::by_cause(words);
    let by_reason = match last_group(words) {
        Some(_) => reason(words),
        None => by_cause().or_else(|| rules::by_head(head)),
    };
    // An overlong line is its client's doing, though 2.4.1 gives it the reason of a full
    // process, and either version that of an auth process it did not wait for.
    let overlong = || by_cause().filter(|rule| **rule == INPUT_BUFFER_FULL);
    let Some(rule) = by_reason else { return overlong() };
    if rule.mode == Mode::Normal {
        return Some(rule);
    }
    if NOT_THE_CLIENT.iter().any(|cause| contains(words, cause)) {
        return None;
    }
    // Auth answers at once where it works; who leaves after a wait was kept waiting.
    if *rule == AUTH_NOT_READY && !numbers(words).1.is_zero() {
        return overlong();
    }
    if *rule != NO_AUTH_ATTEMPTS && *rule != TLS_UNFINISHED {
        return Some(rule);
    }
    // Nobody is named on such a line: the fields are Dovecot's and OpenSSL's text alone.
    let fields = if contains(fields, b"user=<>") { fields } else { b"" };
    let is_refused = |alert: &&[u8]| contains(words, alert) || contains(fields, alert);
    if CERTIFICATE_REFUSED.iter().any(is_refused) {
        return None;
    }
    by_cause().or_else(|| rules::by_cause(fields)).or(Some(rule))
}

/// The id of the connection, if it is one of `ip`'s. `None` where the check is strict and the
/// id is another client's.
fn session_of(fields: &[u8], ip: IpAddr, check: SessionCheck) -> Option<Option<Session>> {
    session::checked(session::last(fields), ip, check)
}

/// The N and M of `N attempts in M secs` and `waited M secs`, which only Dovecot writes.
fn numbers(words: &[u8]) -> (u32, Duration) {
    let before = |end: &[u8]| {
        let (head, _) = split_at_last(words, end)?;
        let start = head.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1);
        number(head.get(start..)?).map(|(value, _)| value)
    };
    let secs = before(b" secs)").unwrap_or(0);
    (before(b" attempts").unwrap_or(1).max(1), Duration::from_secs(secs.into()))
}

/// Splits at the first `): ` that a field follows, which is before all client text, or, where
/// no reason is given and nobody named, at `: user=<>`.
fn halves(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some((words, _)) = split_at(text, b": user=<>")
        && !words.contains(&b')')
    {
        return Some((words, text.get(words.len() + 2..)?));
    }
    memchr::memmem::find_iter(text, b"): ").find_map(|at| {
        let fields = text.get(at + 3..)?;
        let name = fields.iter().position(|byte| !byte.is_ascii_lowercase())?;
        (name > 0 && fields.get(name) == Some(&b'=')).then_some((text.get(..=at)?, fields))
    })
}

/// The rule for `… (reason)` or `… (reason) (code)`.
fn reason(words: &[u8]) -> Option<&'static Rule> {
    let (before, last) = last_group(words)?;
    let is_code = last.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if is_code && last_group(before).is_some() {
        return rules::by_code(last);
    }
    rules::by_reason(last)
}

/// The last `(…)` of `words`, and what is before it. Parentheses inside are part of it.
fn last_group(words: &[u8]) -> Option<(&[u8], &[u8])> {
    let words = words.trim_ascii_end().strip_suffix(b")")?;
    let mut depth = 1_u32;
    let start = words.iter().rposition(|byte| {
        match byte {
            b')' => depth += 1,
            b'(' => depth -= 1,
            _ => {}
        }
        depth == 0
    })?;
    Some((words.get(..start)?, words.get(start + 1..)?))
}

/// The client's address. See the head of this file.
fn client(fields: &[u8]) -> Option<IpAddr> {
    const RIP: &[u8] = b"rip=";
    let is_field =
        |at: &usize| matches!(at.checked_sub(1).map(|i| fields.get(i)), None | Some(Some(b' ')));
    let value = |at: usize| fields.get(at + RIP.len()..).and_then(field_address);
    let name = memchr::memmem::find(fields, b"user=").unwrap_or(fields.len());
    let mut found = memchr::memmem::find_iter(fields, RIP).filter(is_field);

    let first = found.next()?;
    if first < name {
        return value(first);
    }
    let Some(last) = found.last() else { return value(first) };
    let by_session = session::last(fields).map(|(_, ip)| ip).filter(|ip| {
        let mut all = memchr::memmem::find_iter(fields, RIP).filter(is_field);
        all.any(|at| value(at) == Some(*ip))
    });
    by_session.or_else(|| value(last))
}

/// The address at the start of `text`, up to the end of its field.
fn field_address(text: &[u8]) -> Option<IpAddr> {
    let end = text.iter().position(|byte| matches!(byte, b',' | b' ')).unwrap_or(text.len());
    address(text.get(..end)?)
}
