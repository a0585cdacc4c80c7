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

use std::net::IpAddr;

use super::{
    event::Event,
    rules::{self, Mode, Rule},
    scan::{address, contains, find, find_iter, split_at},
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
/// What a line about a login begins with, in 2.3 and 2.4.
const LOGGED_IN: [&[u8]; 2] = [b"Login: ", b"Logged in: "];

/// Connections that end for no fault of the client.
const NOT_THE_CLIENT: [&[u8]; 4] =
    [b"queue full", b"Shutting down", b"shutting down", b"Auth process broken"];
/// TLS alerts by which a client says that it does not like the server's certificate: after
/// the certificate has expired, that is every honest customer.
const CERTIFICATE_REFUSED: [&[u8]; 5] = [
    b"alert certificate expired",
    b"alert certificate unknown",
    b"alert bad certificate",
    b"alert unknown ca",
    b"alert certificate revoked",
];

pub(super) fn judge(message: &[u8]) -> Option<Event> {
    if let Some(fields) = LOGGED_IN.iter().find_map(|head| message.strip_prefix(*head)) {
        return client(fields).map(|ip| Event::Login { ip });
    }
    let after_head = ENDED.iter().find_map(|head| message.strip_prefix(*head))?;
    let (words, fields) = halves(after_head)?;
    let rule = reason(words)?;
    if rule.mode == Mode::Aggressive && is_excused(words, fields) {
        return None;
    }
    client(fields).map(|ip| Event::Failure { ip, rule })
}

/// Splits at the first `): ` that a field follows, which is before all client text.
fn halves(text: &[u8]) -> Option<(&[u8], &[u8])> {
    find_iter(text, b"): ").find_map(|at| {
        let fields = text.get(at + 3..)?;
        let name = fields.iter().position(|byte| !byte.is_ascii_lowercase())?;
        (name > 0 && fields.get(name) == Some(&b'=')).then_some((text.get(..=at)?, fields))
    })
}

/// The rule for `… (reason)` or `… (reason) (code)`.
fn reason(words: &[u8]) -> Option<&'static Rule> {
    let (before, last) = last_group(words)?;
    let is_code = last.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_');
    if is_code && last_group(before).is_some() {
        return rules::by_code(last);
    }
    rules::by_words(last)
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

/// Whether a silent connection is nobody's probe: the server ended it, or a client ended it
/// over the server's certificate. A probe has no user name, so no client text is looked at.
fn is_excused(words: &[u8], fields: &[u8]) -> bool {
    let tail = split_at(fields, b"user=<>").map_or(&b""[..], |(_, tail)| tail);
    let refused = |text: &[u8]| {
        // All of them begin so, and hardly a line has it.
        contains(text, b"alert ") && CERTIFICATE_REFUSED.iter().any(|alert| contains(text, alert))
    };
    NOT_THE_CLIENT.iter().any(|cause| contains(words, cause)) || refused(words) || refused(tail)
}

/// The client's address. See the head of this file.
fn client(fields: &[u8]) -> Option<IpAddr> {
    const RIP: &[u8] = b"rip=";
    let is_field =
        |at: &usize| matches!(at.checked_sub(1).map(|i| fields.get(i)), None | Some(Some(b' ')));
    let value = |at: usize| fields.get(at + RIP.len()..).and_then(field_address);
    let name = find(fields, b"user=").unwrap_or(fields.len());
    let mut found = find_iter(fields, RIP).filter(is_field);

    let first = found.next()?;
    if first < name {
        return value(first);
    }
    let Some(last) = found.last() else { return value(first) };
    let by_session = session::last_address(fields).filter(|ip| {
        let mut all = find_iter(fields, RIP).filter(is_field);
        all.any(|at| value(at) == Some(*ip))
    });
    by_session.or_else(|| value(last))
}

/// The address at the start of `text`, up to the end of its field.
fn field_address(text: &[u8]) -> Option<IpAddr> {
    let end = memchr::memchr2(b',', b' ', text).unwrap_or(text.len());
    address(text.get(..end)?)
}
