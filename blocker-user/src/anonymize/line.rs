//! A line of a log that names nobody.
//!
//! A client's text can be anything and stand anywhere, so nothing is looked for that would have to
//! go. It is the other way round: what stays is the timestamp, punctuation, short numbers and
//! Dovecot's own [words](super::words). Everything else is replaced, addresses and session ids by
//! others, so that the line is judged as before. Whether it is, is tried; if not, and of lines that
//! say nothing about clients, only the time is left.

use std::{borrow::Cow, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Key, words};
use crate::{
    dovecot::{Event, Failure, Guesses, Judge, Login, Parts, parts},
    time::LogTime,
};

/// What is left of a line of which nothing is.
const LEFT_OUT: &[u8] = b"left out";
/// Time and port, which a session id begins with.
const ID_HEAD: usize = 8;
/// Longer numbers may be a telephone's.
const LONGEST_NUMBER: usize = 5;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Replaced,
    /// The line is about nobody.
    LeftOut,
    /// It would have been judged otherwise afterwards.
    Unsure,
}

pub struct Anonymizer {
    key: Key,
    before: Judge,
    after: Judge,
}

impl Anonymizer {
    /// The judges are alike; each sees one of the two logs.
    #[must_use]
    pub fn new(key: Key, before: Judge, after: Judge) -> Self {
        Self { key, before, after }
    }

    /// Appends to `out` what takes the place of `line` (without its newline).
    pub fn line(&mut self, line: &[u8], now: LogTime, out: &mut Vec<u8>) -> Done {
        let judgement = self.before.judge(line, now);
        let Parts { stamp, header, message } = parts(line);
        let start = out.len();
        if judgement.event.is_some()
            && let Some(message) = message
        {
            out.extend(stamp);
            self.text(header, out, Place::Header);
            self.text(&without_password(message), out, Place::Message);
            let after = self.after.judge(out.get(start..).unwrap_or_default(), now);
            let is_same = self.is_same(judgement.event, after.event);
            if judgement.time == after.time && is_same {
                return Done::Replaced;
            }
            out.truncate(start);
        }
        out.extend(stamp);
        out.extend(LEFT_OUT);
        if judgement.event.is_some() { Done::Unsure } else { Done::LeftOut }
    }

    fn is_same(&self, before: Option<Event>, after: Option<Event>) -> bool {
        match (before, after) {
            (Some(Event::Failure(before)), Some(Event::Failure(after))) => {
                let ip = self.key.address(before.ip);
                // A password database may have any name.
                let guesses = match (before.guesses, after.guesses) {
                    (Guesses::One { .. }, guesses @ Guesses::One { .. }) => guesses,
                    (guesses, _) => guesses,
                };
                before.name.is_some() == after.name.is_some()
                    && after == Failure { ip, name: after.name, guesses, ..before }
            }
            (Some(Event::Login(before)), Some(Event::Login(after))) => {
                let ip = self.key.address(before.ip);
                before.name.is_some() == after.name.is_some()
                    && after == Login { ip, name: after.name, ..before }
            }
            (Some(Event::MasterLogin(_)), Some(Event::MasterLogin(_))) => true,
            _ => false,
        }
    }

    fn text(&self, text: &[u8], out: &mut Vec<u8>, place: Place) {
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let before = text.get(..at).unwrap_or_default();
            if let Some((id, len)) = self.session_id(before, rest) {
                out.extend(id.as_bytes());
                at += len;
                continue;
            }
            let len = rest.iter().take_while(|byte| is_of_word(**byte)).count();
            if len == 0 {
                // Punctuation, and control characters where Dovecot left some.
                out.extend(rest.first());
                at += 1;
                continue;
            }
            let word = rest.get(..len).unwrap_or_default();
            let is_name = is_in_user(before)
                || before.ends_with(b"user=")
                || before.ends_with(b"logname=")
                || before.ends_with(b"(") && rest.get(len) == Some(&b',');
            out.extend(self.word(&String::from_utf8_lossy(word), place, is_name).as_bytes());
            at += len;
        }
    }

    /// At the start of `rest` a session id, as that of the address that replaces the one in it,
    /// and how long it was.
    fn session_id(&self, before: &[u8], rest: &[u8]) -> Option<(String, usize)> {
        // A name can look like one.
        if !before.ends_with(b"<") || before.ends_with(b"user=<") {
            return None;
        }
        let len = memchr::memchr(b'>', rest.get(..40).unwrap_or(rest))?;
        let bytes = STANDARD.decode(rest.get(..len)?).ok()?;
        let (head, address) = bytes.split_at_checked(ID_HEAD)?;
        let ip = match *address {
            [a, b, c, d] => IpAddr::from([a, b, c, d]),
            _ => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
        };
        let mut id = head.to_vec();
        match self.key.address(ip) {
            IpAddr::V4(v4) => id.extend(v4.octets()),
            IpAddr::V6(v6) => id.extend(v6.octets()),
        }
        Some((STANDARD.encode(id), len))
    }

    /// Without the dots and colons that end it, an address or pieces between colons.
    fn word<'w>(&self, word: &'w str, place: Place, is_name: bool) -> Cow<'w, str> {
        let bare = word.trim_end_matches(['.', ':']);
        // `::` is an address of its own.
        let bare = if bare.is_empty() { word } else { bare };
        let end = word.get(bare.len()..).unwrap_or_default();
        let (ip, zone) = bare.split_once('%').unwrap_or((bare, ""));
        if let Ok(ip) = ip.parse() {
            let zone = if zone.is_empty() { "" } else { "%0" };
            return format!("{}{zone}{end}", self.key.address(ip)).into();
        }
        let pieces: Vec<Cow<'_, str>> =
            bare.split(':').map(|piece| self.piece(piece, place, is_name)).collect();
        format!("{}{end}", pieces.join(":")).into()
    }

    fn piece<'w>(&self, piece: &'w str, place: Place, is_name: bool) -> Cow<'w, str> {
        if let Ok(ip) = piece.parse::<IpAddr>() {
            return self.key.address(ip).to_string().into();
        }
        let is_number = !piece.is_empty() && piece.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && (is_name || piece.len() > LONGEST_NUMBER && place == Place::Message) {
            return self.key.digits(piece).into();
        }
        // A name can look like anything.
        if !is_name && (is_number || is_decimal(piece) || is_code(piece) || words::is_known(piece))
        {
            return piece.into();
        }
        match (place, piece.split_once('@')) {
            (Place::Header, _) => self.key.host(piece).into(),
            (Place::Message, Some((local, _))) if !is_name && words::is_known(local) => {
                // As where it stands without its domain.
                let (_, domain) = piece.split_once('@').unwrap_or_default();
                format!("{local}@{}", self.key.host(domain)).into()
            }
            (Place::Message, _) => self.key.user(piece).into(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Host and program.
    Header,
    Message,
}

/// Whether what follows is inside of `user=<…>`.
fn is_in_user(before: &[u8]) -> bool {
    let start = memchr::memmem::rfind(before, b"user=<");
    start.and_then(|start| before.get(start..)).is_some_and(|name| !name.contains(&b'>'))
}

/// The password that `auth_verbose_passwords` has put into a line is whatever a client sent, and
/// no rule looks at it.
fn without_password(message: &[u8]) -> Cow<'_, [u8]> {
    const GIVEN: &[u8] = b"given password: ";
    let Some(start) = memchr::memmem::find(message, GIVEN) else { return message.into() };
    let (before, password) = message.split_at(start + GIVEN.len());
    let end = memchr::memrchr(b')', password).unwrap_or(password.len());
    [before, b"x", password.get(end..).unwrap_or_default()].concat().into()
}

/// What names, hosts and addresses are written in.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.@+%*:~-".contains(&byte) || !byte.is_ascii()
}

/// A span of time: `0.028`.
fn is_decimal(piece: &str) -> bool {
    let is_digits = |text: &str| {
        (1..=LONGEST_NUMBER).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit())
    };
    piece.split_once('.').is_some_and(|(whole, part)| is_digits(whole) && is_digits(part))
}

/// `0A000418`, in front of OpenSSL's words; `0x2c`, a character that no name may have.
fn is_code(piece: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let of_openssl = piece.len() == 8 && piece.starts_with("0A") && is_hex(piece);
    of_openssl || piece.strip_prefix("0x").is_some_and(|code| code.len() == 2 && is_hex(code))
}

#[cfg(test)]
mod tests;
