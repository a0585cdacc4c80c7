//! Lines of the auth process and its workers, written with `auth_verbose=yes`, and of PAM.
//!
//! ```text
//! 2.3  passwd-file(NAME,IP,<SESSION>): unknown user
//! 2.4  auth(NAME,IP,sasl:plain)<SESSION>: passwd-file: unknown user
//! ```
//!
//! NAME is the client's text and can imitate everything that follows it. The last such head on
//! the line is Dovecot's, so its address is the client's; and if no verdict follows it, there
//! is none on the line, whatever a name before it says.
//!
//! A verdict with ` - trying the next passdb` behind it is not the last word: where that one
//! finds nothing either, it has a line of its own, and otherwise the client logs in.
//!
//! Two of those additions quote client text behind the verdict: `(given password: …)` with
//! `auth_verbose_passwords=plain`, and `(username: …)`. If such a quote offers an address that
//! differs from the others, the line says nothing. No guess goes uncounted for that: the
//! login process writes a line of its own.

use std::net::IpAddr;

use super::{
    SessionCheck,
    event::{Event, Failure, Guesses, Passdb, Session},
    name::Name,
    prefix::without_level,
    rules::{self, PAM_MODULE, Rule},
    scan::{address, find, find_iter, number, split_at, split_at_byte, split_at_last},
    session,
};

/// Client text follows.
const QUOTES: [&[u8]; 2] = [b"(given password: ", b"(username: "];
/// More than Dovecot writes between the last comma before the address and the verdict. Only
/// so much is looked at, however long the name before it is.
const LONGEST_TAIL: usize = 256;

/// Who a verdict is about.
struct Client<'m> {
    ip: IpAddr,
    session: Option<(Session, IpAddr)>,
    /// Behind the client in 2.4, before it in 2.3.
    driver: Option<&'m [u8]>,
    /// All that is before the address.
    before: &'m [u8],
    is_master: bool,
}

impl Client<'_> {
    /// Who is named.
    fn name(&self) -> Option<Name> {
        if self.is_master {
            return Some(Name::MASTER);
        }
        let head = if self.driver.is_some() { self.before } else { without_worker(self.before) };
        Name::new(split_at_byte(head, b'(')?.1)
    }
}

pub(super) fn judge(message: &[u8], check: SessionCheck) -> Option<Event> {
    if let Some(name) = master_login(message) {
        return Some(Event::MasterLogin(name));
    }
    let quote = QUOTES.iter().filter_map(|quote| find(message, quote)).min();
    let (client, rule) = match quote {
        None => last_head(message)?,
        Some(quote) => last_head_with_quote(message, quote)?,
    };
    let driver = client.driver.unwrap_or_else(|| driver_of_2_3(message));
    Some(Event::Failure(Failure {
        session: session::checked(client.session, client.ip, check)?,
        guesses: Guesses::One { passdb: Passdb::named(driver) },
        name: client.name(),
        ..Failure::new(client.ip, rule)
    }))
}

/// What stands before a colon.
enum Head<'m> {
    /// Words.
    None,
    /// What ends as a client does, and cannot be read. Behind a name it may be Dovecot's all
    /// the same, so nothing before it may be believed.
    Unreadable,
    Client(Client<'m>),
}

/// Whom the last head on the line is about, if a verdict follows it. The heads before it can be
/// the client's text, whatever follows the last one.
fn last_head(message: &[u8]) -> Option<(Client<'_>, &'static Rule)> {
    for at in memchr::memmem::rfind_iter(message, b": ") {
        match head(message.get(..at)?) {
            Head::None => {}
            Head::Unreadable => return None,
            Head::Client(client) => return Some((client, verdict(message.get(at + 2..)?)?)),
        }
    }
    None
}

/// As [`last_head`], unless client text from `quote` on offers an address of its own.
fn last_head_with_quote(message: &[u8], quote: usize) -> Option<(Client<'_>, &'static Rule)> {
    let mut first = None;
    let mut addresses_differ = false;
    let mut last = None;
    for at in find_iter(message, b": ") {
        match head(message.get(..at)?) {
            Head::None => {}
            // Those of the worker come before any client.
            Head::Unreadable if first.is_none() => {}
            Head::Unreadable => return None,
            Head::Client(client) => {
                addresses_differ |= *first.get_or_insert(client.ip) != client.ip;
                if addresses_differ && quote < at {
                    return None;
                }
                last = verdict(message.get(at + 2..)?).map(|rule| (client, rule));
            }
        }
    }
    last
}

/// Alone, or with `(SHA1 of given password: …)` and the like.
fn verdict(text: &[u8]) -> Option<&'static Rule> {
    let (rule, rest) = rules::by_verdict(text)?;
    (rest.is_empty() || (rest.starts_with(b" ") && rest.ends_with(b")"))).then_some(rule)
}

/// The client in what precedes a verdict.
fn head(before: &[u8]) -> Head<'_> {
    let before = before.get(before.len().saturating_sub(LONGEST_TAIL)..).unwrap_or(before);
    let (before, driver) = without_driver(before);
    let before = without_request(before);
    if !before.ends_with(b")") && !before.ends_with(b">") {
        return Head::None;
    }
    client(before, driver).map_or(Head::Unreadable, Head::Client)
}

fn client<'m>(before: &'m [u8], driver: Option<&'m [u8]>) -> Option<Client<'m>> {
    if let Some(with_session) = before.strip_suffix(b">") {
        // 2.4: `auth(NAME,IP,sasl:plain)<SESSION>`, `auth-worker(NAME,IP)<PID><SESSION>`
        let (inside, ids) = split_at_last(with_session, b")<")?;
        let id = split_at_last(ids, b"><").map_or(ids, |(_pid, id)| id);
        let is_master = inside.ends_with(b",master");
        let (before, ip) = last_field(without_mechanism(inside))?;
        let session = session::decode(id);
        return Some(Client { ip, session, driver, before, is_master });
    }
    // 2.3: `driver(NAME,IP)`, `driver(NAME,IP,<SESSION>)`, `driver(NAME,IP,master,<SESSION>)`
    let inside = before.strip_suffix(b")")?;
    let (inside, id) = match inside.strip_suffix(b">") {
        Some(with_session) => split_at_last(with_session, b",<")?,
        // An id that is not known leaves its comma.
        None => (inside.strip_suffix(b",").unwrap_or(inside), &b""[..]),
    };
    let of_master = inside.strip_suffix(b",master");
    let (before, ip) = last_field(of_master.unwrap_or(inside))?;
    let is_master = of_master.is_some();
    Some(Client { ip, session: session::decode(id), driver, before, is_master })
}

/// The name before the first parenthesis that is a client's: `auth-worker<3>: sql(…`.
fn driver_of_2_3(message: &[u8]) -> &[u8] {
    split_at_byte(without_worker(message), b'(').map_or(&b""[..], |(driver, _)| driver)
}

/// What is behind that which 2.3 writes of the worker's connection.
fn without_worker(message: &[u8]) -> &[u8] {
    const OF_THE_WORKER: [&[u8]; 4] = [b"(", b"auth", b"conn ", b"Info"];
    let mut rest = message;
    while let Some((part, after)) = split_at(rest, b": ")
        && OF_THE_WORKER.iter().any(|start| part.starts_with(start))
    {
        rest = after;
    }
    rest
}

/// Takes `: passwd-file` and the like off the end, which 2.4 has there, and the level that
/// Dovecot's own format has before it.
fn without_driver(head: &[u8]) -> (&[u8], Option<&[u8]>) {
    let is_name =
        |byte: &u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    match split_at_last(head, b": ") {
        Some((before, driver)) if driver.iter().all(is_name) => {
            (before.strip_suffix(b": Info").unwrap_or(before), Some(driver))
        }
        _ => (head, None),
    }
}

/// Takes `,sasl:plain` and the flags behind it off the end. They are names that Dovecot knows,
/// in lower case: anything else behind `,sasl:` is a client's text, and no address is a name.
fn without_mechanism(inside: &[u8]) -> &[u8] {
    let is_name = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b',');
    match split_at_last(inside, b",sasl:") {
        Some((before, mechanism)) if mechanism.iter().all(is_name) => before,
        _ => inside,
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

/// The address that ends `inside`, and what is before it.
fn last_field(inside: &[u8]) -> Option<(&[u8], IpAddr)> {
    let (before, ip) = split_at_last(inside, b",")?;
    address(ip).map(|ip| (before, ip))
}

/// `Master user logging in as NAME`, which 2.3 writes behind nothing and 2.4 behind a client.
/// Only who knows a master's password can have a text of his own in NAME.
fn master_login(message: &[u8]) -> Option<Name> {
    const WORDS: &[u8] = b"Master user logging in as ";
    let at = find(message, WORDS)?;
    let name = || Name::new(message.get(at + WORDS.len()..)?);
    if at == 0 {
        return name();
    }
    // As in `last_head`: what a head follows is a client's text.
    for colon in memchr::memmem::rfind_iter(message, b": ") {
        match head(message.get(..colon)?) {
            Head::None => {}
            Head::Client(client) if client.is_master && colon + 2 == at => return name(),
            Head::Unreadable | Head::Client(_) => return None,
        }
    }
    None
}

/// `pam_unix(dovecot:auth): authentication failure; … ruser=NAME rhost=IP  user=NAME`, where
/// the end from `  user=` on can be missing. NAME can imitate the rest, but it must then stand
/// on both sides alike: only an address with that on both sides counts, and only if it is the
/// one that does. A name can be made so that two readings are whole; such a line says nothing,
/// and the login process's own line counts the guess. Where they differ in the name alone, it
/// names nobody.
pub(super) fn judge_pam(message: &[u8]) -> Option<Event> {
    const HOST: &[u8] = b" rhost=";
    let (module, rest) = split_at(without_level(message), b": authentication failure; ")?;
    if !module.starts_with(b"pam_") || !module.ends_with(b"(dovecot:auth)") {
        return None;
    }
    let (_, names) = split_at(rest, b" tty=dovecot ruser=")?;
    let mut found: Option<(IpAddr, Option<Name>)> = None;
    for at in find_iter(names, HOST) {
        let (Some(name), Some(host)) = (names.get(..at), names.get(at + HOST.len()..)) else {
            continue;
        };
        let end = host.iter().position(|byte| *byte == b' ').unwrap_or(host.len());
        let (Some(ip), Some(tail)) = (host.get(..end).and_then(address), host.get(end..)) else {
            continue;
        };
        let user = tail.trim_ascii_start().strip_prefix(b"user=");
        // Linux-PAM leaves a blank where it has no second name to write.
        if tail.trim_ascii_end().is_empty() || name.is_empty() || user == Some(name) {
            let name = Name::new(name).or_else(|| Name::new(user?));
            found = match found {
                None => Some((ip, name)),
                Some((other, _)) if other != ip => return None,
                Some((_, other)) => Some((ip, name.filter(|_| name == other))),
            };
        }
    }
    let guesses = Guesses::One { passdb: Passdb::named(module) };
    found.map(|(ip, name)| {
        Event::Failure(Failure { guesses, name, ..Failure::new(ip, &PAM_MODULE) })
    })
}
