//! Lines of the login processes: `Disconnected: … (reason): user=<…>, …, rip=…, …`.
//!
//! Such a line has two halves. The first is Dovecot's own words up to `): ` and the first
//! field. The second is `login_log_format_elements`, and there the user name is whatever the
//! client sent, `>` and `,` included; so are elements that an admin added, such as the server
//! name of the TLS handshake. An address is therefore never chosen by what it looks like:
//!
//! - where all `rip=` agree there is nothing to choose;
//! - otherwise the session id decides that ends the line, as in Dovecot's own format. It is
//!   behind the name, so the name cannot forge it;
//! - without one, position does: a `rip=` before the name is Dovecot's, and so is the last one
//!   behind it. Where an unknown element could have brought the others, the line says nothing.
//!
//! Whoever adds elements with client text to the format should keep `session=` at its end.

use std::{net::IpAddr, sync::LazyLock, time::Duration};

use aho_corasick::{AhoCorasick, MatchKind};

use super::{
    SessionCheck,
    event::{Event, Failure, Guesses, Login, Session},
    name::Name,
    rules::{
        self, AUTH_FAILED, AUTH_NOT_READY, GUESS_WORDS, INPUT_BUFFER_FULL, LOGIN_WORDS, Mode,
        NO_AUTH_ATTEMPTS, PROXIED_WORDS, PROXY_AUTH_FAILED, Rule, SASL_UNFINISHED, TLS_UNFINISHED,
        UNSUPPORTED_MECHANISM,
    },
    scan::{
        address, behind, contains, find, find_iter, number, split_at, split_at_byte, split_at_last,
    },
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
/// Reasons and codes for which no number of attempts is guilt.
const SERVERS: [&[u8]; 10] = [
    // Those behind a right password.
    b"login_disabled",
    b"password_expired",
    b"anonymous_auth_disabled",
    b"proxy_dest_redirecting",
    b"temp_fail",
    b"internal",
    b"auth_process",
    b"process_full",
    b"connection_limit",
    b"proxy_dest_connect_failed",
];
/// The code of an account that is refused whatever the password is. The names of some are easily
/// guessed (root where a `deny` passdb has it), so it must not hide the attempts before it.
const USER_DISABLED: &[u8] = b"user_disabled";
/// What OpenSSL begins its errors with.
const OPENSSL: &[u8] = b"SSL routines:";
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
    if let Some(fields) = logged_in(message) {
        let ip = client(fields, false)?;
        let session = session_of(fields, ip, check)?;
        return Some(Event::Login(Login { ip, session, name: name(fields) }));
    }
    let (head, after_head) = ENDED.iter().find_map(|head| Some((*head, behind(message, head)?)))?;
    let (words, fields) = halves(after_head)?;
    let tries = Tries::of(words);
    let rule = rule(head, words, fields, &tries)?;
    let ip = client(fields, rule.mode == Mode::Aggressive)?;
    let session = session_of(fields, ip, check)?;
    let failed = match tries.failed {
        // It let the client in as often as the host behind it did not.
        Some(failed) if *rule == PROXY_AUTH_FAILED => Some(failed + tries.successes),
        // The last one was at that account.
        Some(failed) if contains(words, USER_DISABLED) => Some(failed.saturating_sub(1)),
        failed => failed,
    };
    // Hidden guesses without a number: at least one, and what the connection ended on.
    let unknown = if *rule == AUTH_FAILED { 2 } else { 1 };
    Some(Event::Failure(Failure {
        session,
        guesses: Guesses::Total(failed.unwrap_or(unknown).max(1)),
        name: name(fields),
        waited: tries.waited,
        ..Failure::new(ip, rule)
    }))
}

/// The fields of a line that tells of a login, here or at the host behind a proxy.
fn logged_in(message: &[u8]) -> Option<&[u8]> {
    let here = LOGIN_WORDS.iter().find_map(|words| behind(message, words.as_bytes()));
    here.or_else(|| proxied(message))
}

/// The same for `proxy(NAME,HOST:PORT): Started proxying to remote host (0.028 secs): user=<…`.
/// NAME can imitate that on the line of a failure, but has Dovecot's own `): ` behind it there.
fn proxied(message: &[u8]) -> Option<&[u8]> {
    let (_name, text) = split_at(message.strip_prefix(b"proxy(")?, b"): ")?;
    let text = PROXIED_WORDS.iter().find_map(|words| text.strip_prefix(words.as_bytes()))?;
    let (_host, fields) = split_at(text, b": ")?;
    (!contains(fields, b"): ")).then_some(fields)
}

/// What the line is counted for. Where no credentials were tried, how the connection ended
/// says more than that, and can excuse it.
fn rule(head: &[u8], words: &[u8], fields: &[u8], tries: &Tries) -> Option<&'static Rule> {
    let by_cause = || rules::by_cause(words);
    let by_reason = match last_group(words) {
        Some((before, last)) => {
            let by_reason = reason(before, last);
            if hides_guesses(words, by_reason, fields, tries) {
                return Some(&AUTH_FAILED);
            }
            by_reason
        }
        None => by_cause().or_else(|| rules::by_head(head)),
    };
    // An overlong line is its client's doing, though 2.4.1 gives it the reason of a full
    // process, and either version that of an auth process it did not wait for.
    let overlong = || by_cause().filter(|rule| **rule == INPUT_BUFFER_FULL);
    let Some(rule) = by_reason else { return overlong() };
    if rule.mode == Mode::Normal {
        return Some(rule);
    }
    let is_plain = is_plain(words);
    if !is_plain && NOT_THE_CLIENT.iter().any(|cause| contains(words, cause)) {
        return None;
    }
    // Auth answers at once where it works; who leaves after a wait was kept waiting.
    if *rule == AUTH_NOT_READY && !tries.waited.is_zero() {
        return overlong();
    }
    if *rule != NO_AUTH_ATTEMPTS && *rule != TLS_UNFINISHED {
        return Some(rule);
    }
    // Nobody is named on such a line: the fields are Dovecot's and OpenSSL's text alone.
    let names_nobody = contains(fields, b"user=<>");
    let fields = if names_nobody && !self::is_plain(fields) { fields } else { b"" };
    if is_plain && fields.is_empty() {
        return Some(rule);
    }
    if refuses_certificate(words) || refuses_certificate(fields) {
        return None;
    }
    by_cause().or_else(|| rules::by_cause(fields)).or(Some(rule))
}

/// Whether `text` holds none of the words that [`rule`] looks for besides a reason's. Nearly no
/// line holds one, and one look for all of them tells.
fn is_plain(text: &[u8]) -> bool {
    static WORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
        let words = rules::words_of_causes().map(str::as_bytes);
        let words = words.chain(NOT_THE_CLIENT).chain([OPENSSL]);
        AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(words).ok()
    });
    WORDS.as_ref().is_some_and(|words| !words.is_match(text))
}

/// Whether OpenSSL, and not the subject of a client's certificate, tells of such an alert.
fn refuses_certificate(text: &[u8]) -> bool {
    /// `SSL routines:ssl3_read_bytes:sslv3 alert bad certificate`, or with newer versions
    /// without the function.
    const LONGEST: usize = 80;
    find_iter(text, OPENSSL).any(|at| {
        let end = text.len().min(at + LONGEST);
        let said = text.get(at..end).unwrap_or_default();
        CERTIFICATE_REFUSED.iter().any(|alert| contains(said, alert))
    })
}

/// A connection that guessed and then did something else to end on: the reason is of the last
/// thing it did. Versions before 2.4 give no number there, but name whom the guesses were for.
fn hides_guesses(words: &[u8], reason: Option<&Rule>, fields: &[u8], guesses: &Tries) -> bool {
    /// Honest clients try again, or by another mechanism, but not for ever.
    const MOST_TRIES: u32 = 2;
    match reason {
        Some(rule) if *rule == SASL_UNFINISHED => {
            guesses.failed.is_some_and(|failed| failed > 1) || is_named(fields)
        }
        Some(rule) if *rule == UNSUPPORTED_MECHANISM => {
            guesses.failed.is_none() && is_named(fields)
        }
        Some(_) => false,
        None => {
            let is_servers = SERVERS.iter().any(|code| contains(words, code));
            // Where some succeeded, the others did not fail for what the last one met.
            let are_told_apart = guesses.successes > 0;
            (are_told_apart || !is_servers) && guesses.failed > Some(MOST_TRIES)
        }
    }
}

/// Whether a user is named. A name can begin with `>` and go on like the other elements do, but
/// then its own end is there as well: behind no name there are no brackets but the session's.
fn is_named(fields: &[u8]) -> bool {
    let Some((_, behind)) = split_at(fields, b"user=<") else { return false };
    let Some(behind) = behind.strip_prefix(b">") else { return true };
    let behind = split_at_last(behind, b"session=<")
        .and_then(|(before, id)| {
            id.strip_suffix(b">").is_some_and(|id| !id.contains(&b'>')).then_some(before)
        })
        .unwrap_or(behind);
    behind.iter().any(|byte| matches!(byte, b'<' | b'>'))
}

/// Who is named. A name may be cut short that holds what ends one; whoever has an account has
/// none like that.
fn name(fields: &[u8]) -> Option<Name> {
    Name::new(user(fields)?)
}

/// The same as text.
fn user(fields: &[u8]) -> Option<&[u8]> {
    let (_, rest) = split_at(fields, b"user=<")?;
    let name = split_at(rest, b">, ").map(|(name, _)| name);
    name.or_else(|| rest.strip_suffix(b">"))
}

/// Who logged in, on a line that was found to tell of a login.
#[must_use]
pub fn login_user(line: &[u8]) -> Option<&[u8]> {
    user(line).filter(|user| !user.is_empty())
}

/// The id of the connection, if it is one of `ip`'s. `None` where the check is strict and the
/// id is another client's.
fn session_of(fields: &[u8], ip: IpAddr, check: SessionCheck) -> Option<Option<Session>> {
    session::checked(session::last(fields), ip, check)
}

/// The numbers that Dovecot writes into a reason, and only Dovecot.
struct Tries {
    /// N of `N attempts`; N - X of 2.4's `X/N successful auths`.
    failed: Option<u32>,
    /// X of that.
    successes: u32,
    /// M of `in M secs` and `waited M secs`.
    waited: Duration,
}

impl Tries {
    fn of(words: &[u8]) -> Self {
        let secs = number_before(words, b" secs)").map_or(0, |(secs, _)| secs);
        let waited = Duration::from_secs(secs.into());
        let [auths, attempts] = GUESS_WORDS.map(str::as_bytes);
        if words.contains(&b'/')
            && let Some((all, before)) = number_before(words, auths)
            && let Some((successes, _)) = number_before(before, b"/")
        {
            return Self { failed: Some(all.saturating_sub(successes)), successes, waited };
        }
        let failed = number_before(words, attempts).map(|(attempts, _)| attempts);
        Self { failed, successes: 0, waited }
    }
}

/// The number right before the last `end`, and what is before it.
fn number_before<'w>(words: &'w [u8], end: &[u8]) -> Option<(u32, &'w [u8])> {
    let (head, _) = split_at_last(words, end)?;
    let start = head.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1);
    let (before, digits) = head.split_at_checked(start)?;
    number(digits).map(|(value, _)| (value, before))
}

/// Splits at the first `): ` that a field follows, which is before all client text, or, where
/// no reason is given and nobody named, at `: user=<>`.
fn halves(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let before_any_reason = text.get(..memchr::memchr(b')', text).unwrap_or(text.len()))?;
    if let Some((words, _)) = split_at(before_any_reason, b": user=<>") {
        return Some((words, text.get(words.len() + 2..)?));
    }
    find_iter(text, b"): ").find_map(|at| {
        let fields = text.get(at + 3..)?;
        let is_name = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let name = fields.iter().position(|byte| !is_name(byte))?;
        (name > 0 && fields.get(name) == Some(&b'=')).then_some((text.get(..=at)?, fields))
    })
}

/// The rule for `… (reason)` or `… (reason) (code)`.
fn reason(before: &[u8], last: &[u8]) -> Option<&'static Rule> {
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

/// The client's address. See the head of this file. A probe has no name.
fn client(fields: &[u8], is_probe: bool) -> Option<IpAddr> {
    const RIP: &[u8] = b"rip=";
    let is_field =
        |at: &usize| matches!(at.checked_sub(1).map(|i| fields.get(i)), None | Some(Some(b' ')));
    let value = |at: usize| fields.get(at + RIP.len()..).and_then(field_address);
    let found = || find_iter(fields, RIP).filter(is_field);

    let mut places = found();
    let first = places.next()?;
    let ip = value(first);
    if places.all(|at| value(at) == ip) {
        return ip;
    }
    let last = found().last()?;
    let by_session = session::last(fields).map(|(_, ip)| ip);
    if by_session.is_some() && found().any(|at| value(at) == by_session) {
        return by_session;
    }
    if first == 0 {
        return ip;
    }
    let name = find(fields, b"user=").unwrap_or(fields.len());
    // The elements that no name can have brought: those before it, and all where there is none.
    let certain = if is_probe { fields } else { fields.get(..name)? };
    if has_unknown_element(certain) {
        return None;
    }
    value(if first < name { first } else { last })
}

/// Whether there is an element that is not Dovecot's own, and may hold a client's text.
fn has_unknown_element(fields: &[u8]) -> bool {
    const OWN: [&[u8]; 9] =
        [b"user", b"method", b"rip", b"rport", b"lip", b"lport", b"mpid", b"pid", b"session"];
    fields
        .split(|byte| *byte == b' ')
        .filter_map(|element| split_at_byte(element, b'='))
        .any(|(key, _)| !OWN.contains(&key))
}

/// The address at the start of `text`, up to the end of its field.
fn field_address(text: &[u8]) -> Option<IpAddr> {
    let end = text.iter().position(|byte| matches!(byte, b',' | b' ')).unwrap_or(text.len());
    address(text.get(..end)?)
}

#[cfg(test)]
mod tests;
