//! What comes before the message: timestamp, host, program, service.
//!
//! All of it is written by the log daemon and Dovecot's master; clients have no say here.

use std::num::NonZeroU32;

use super::{
    scan::{behind, number, split_at, split_at_byte},
    timestamp::{self, Stamp},
};

/// Which parser a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// `imap-login` and its kind.
    Login,
    /// `auth` and `auth-worker`.
    Auth,
    /// A PAM module, logging under the auth process's name.
    Pam,
    /// Dovecot, but nothing that judges clients.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix<'l> {
    pub(super) stamp: Option<Stamp>,
    pub(super) service: Service,
    /// For [`Service::Auth`] with the service name, which can hold an address; for the
    /// others without.
    pub(super) message: &'l [u8],
    /// How many such lines the log daemon folded into this one.
    pub(super) repeated: NonZeroU32,
}

pub(super) const LOGIN_SERVICES: [&[u8]; 4] =
    [b"imap-login", b"pop3-login", b"managesieve-login", b"submission-login"];
/// How Dovecot calls itself in syslog.
const DOVECOT: &[u8] = b"dovecot";
/// How the messages of PAM's modules begin.
const PAM: &[u8] = b"pam_";
/// The levels of Dovecot's own format, which syslog has elsewhere.
const LEVELS: [&[u8]; 5] = [b"Info: ", b"Warning: ", b"Error: ", b"Fatal: ", b"Panic: "];
/// Nothing that is written at this level happened to a client.
const DEBUG: &[u8] = b"Debug: ";

/// Splits a line into its prefix and its message; `None` where it is not from Dovecot.
pub(super) fn split(line: &[u8]) -> Option<Prefix<'_>> {
    let (_, is_rfc_5424) = priority(line);
    let (stamp, rest) = match stamp(line) {
        Some((stamp, rest)) => (Some(stamp), rest),
        None => (None, undated(line)),
    };
    Some(Prefix { stamp, ..behind_stamp(rest, is_rfc_5424)? })
}

/// As [`split`], for what follows the timestamp.
pub(super) fn behind_stamp(rest: &[u8], is_rfc_5424: bool) -> Option<Prefix<'_>> {
    // Dovecot's own format: the service follows at once.
    if let Some((service, message)) = service(rest) {
        return Some(Prefix { stamp: None, service, message, repeated: NonZeroU32::MIN });
    }
    let (program, text) = if is_rfc_5424 { rfc_5424(rest)? } else { syslog_tag(rest)? };
    if program.contains(&b' ') { behind_words(rest) } else { of_program(program, text, None) }
}

/// Where more words than a host and a tag stand before the first colon.
fn behind_words(rest: &[u8]) -> Option<Prefix<'_>> {
    // Kubernetes marks whole lines of a container's output so; docker with `-t` does not.
    let marks = [&b"stderr F "[..], b"stdout F "];
    let output = marks.iter().find_map(|mark| rest.strip_prefix(*mark)).unwrap_or(rest);
    if let Some((service, message)) = service(output).or_else(|| dated_service(output)) {
        return Some(Prefix { stamp: None, service, message, repeated: NonZeroU32::MIN });
    }
    if !is_host(split_at_byte(rest, b' ')?.0) {
        return None;
    }
    if let Some((service, message)) = untagged(rest) {
        return Some(Prefix { stamp: None, service, message, repeated: NonZeroU32::MIN });
    }
    // RFC 5424 that was written without its number.
    let (program, text) = rfc_5424(rest)?;
    of_program(program, text, None)
}

/// `host dovecot imap-login: `, from a template of an admin's that has the program's name
/// where others have its tag.
fn untagged(rest: &[u8]) -> Option<(Service, &[u8])> {
    let (_host, rest) = split_at_byte(rest, b' ')?;
    let (program, text) = split_at_byte(rest, b' ')?;
    if program.starts_with(DOVECOT) { service(text) } else { None }
}

/// Dovecot's own format behind another's timestamp, as where it logs to standard error and
/// what started it passes that on.
fn dated_service(text: &[u8]) -> Option<(Service, &[u8])> {
    service(timestamp::take(text)?.1)
}

/// What `program` told the log daemon; `None` where it is not Dovecot.
pub(super) fn of_program<'l>(
    program: &[u8],
    text: &'l [u8],
    stamp: Option<Stamp>,
) -> Option<Prefix<'l>> {
    let (repeated, text) = repetition(behind_message_id(text));
    let (service, message) = match program {
        // PAM modules log under the name of the process that called them, and so does Dovecot
        // where it logs to standard error and what started it adds the host's.
        b"auth" | b"dovecot-auth" | b"auth-worker" => {
            let text = without_level(text);
            (if text.starts_with(PAM) { Service::Pam } else { Service::Auth }, text)
        }
        _ if LOGIN_SERVICES.contains(&program) => (Service::Login, without_level(text)),
        // `instance_name` is what stands here, and begins like that where there are several.
        _ if program.starts_with(DOVECOT) => {
            // Versions before 2.0 said it twice.
            let text = text.strip_prefix(b"dovecot: ").unwrap_or(text);
            service(text).or_else(|| dated_service(text)).unwrap_or((Service::Other, text))
        }
        _ => return None,
    };
    Some(Prefix { stamp, service, message, repeated })
}

/// What follows `[ID 702911 mail.info] `, which the syslogd of Solaris and its heirs puts before
/// each message.
fn behind_message_id(text: &[u8]) -> &[u8] {
    let parsed = || {
        let (_, rest) = number(text.strip_prefix(b"[ID ")?)?;
        let (level, rest) = split_at(rest.strip_prefix(b" ")?, b"] ")?;
        (!level.contains(&b' ')).then_some(rest)
    };
    parsed().unwrap_or(text)
}

/// The timestamp of any program's line, and what follows it.
pub(super) fn stamp(line: &[u8]) -> Option<(Stamp, &[u8])> {
    timestamp::take(priority(line).0)
}

/// What follows the place of a timestamp where there is none.
pub(super) fn undated(line: &[u8]) -> &[u8] {
    let (line, _) = priority(line);
    behind_uptime(line).unwrap_or(line)
}

/// `<22>` in front of the line as syslog sends it over the wire, RFC 5424 with its version `1`.
/// Files have the one without the other too.
pub(super) fn priority(line: &[u8]) -> (&[u8], bool) {
    let after_priority = || number(line.strip_prefix(b"<")?)?.1.strip_prefix(b">");
    let rest = after_priority().unwrap_or(line);
    rest.strip_prefix(b"1 ").map_or((rest, false), |rest| (rest, true))
}

/// What follows `[ 1234.567890] ` or `[ 1234.567890 <    0.001234 >] `, the time since the
/// start of a host that is not told: `journalctl -o short-monotonic` and `short-delta`.
fn behind_uptime(line: &[u8]) -> Option<&[u8]> {
    let (uptime, rest) = split_at(line.strip_prefix(b"[")?, b"] ")?;
    let is_uptime = |byte: &u8| byte.is_ascii_digit() || b" .<>".contains(byte);
    uptime.iter().all(is_uptime).then_some(rest)
}

/// The message inside rsyslog's `message repeated 5 times: [ … ]`, and how often it came.
fn repetition(text: &[u8]) -> (NonZeroU32, &[u8]) {
    let parsed = || {
        let (times, rest) = number(text.strip_prefix(b"message repeated ")?)?;
        let message = rest.strip_prefix(b" times: [")?.strip_suffix(b"]")?;
        Some((NonZeroU32::new(times)?, message.trim_ascii_start()))
    };
    parsed().unwrap_or((NonZeroU32::MIN, text))
}

/// `host program[pid]: `, or without the host, as daemontools leave it out.
fn syslog_tag(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, rest) = split_at(rest, b": ")?;
    let tag = match split_at_byte(before, b' ') {
        Some((host, tag)) => is_host(host).then_some(tag)?,
        None => before,
    };
    let program = split_at_byte(tag, b'[').map_or(tag, |(program, _pid)| program);
    Some((program, rest))
}

/// Whether `word` can be one. In Dovecot's own format `imap(NAME)<17><…>: ` stands in its
/// place, and what follows the first blank of NAME would be taken for a tag.
fn is_host(word: &[u8]) -> bool {
    !word.contains(&b'(')
}

/// `host program pid msgid structured-data message`, RFC 5424 section 6.
fn rfc_5424(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_host, rest) = split_at_byte(rest, b' ')?;
    let (program, rest) = split_at_byte(rest, b' ')?;
    let (_pid, rest) = split_at_byte(rest, b' ')?;
    let (_message_id, rest) = split_at_byte(rest, b' ')?;
    let rest = match rest.strip_prefix(b"- ") {
        Some(rest) => rest,
        None => behind_elements(rest)?,
    };
    // Some senders mark UTF-8 with a byte order mark; rsyslog keeps the blank behind the tag.
    Some((program, rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest).trim_ascii_start()))
}

/// What follows `[id name="value"][…] `. Values can hold brackets, and quotes behind a backslash.
fn behind_elements(data: &[u8]) -> Option<&[u8]> {
    let mut is_value = false;
    let mut is_escaped = false;
    let end = data.windows(2).position(|pair| {
        let [byte, next] = pair else { return false };
        let was_escaped = is_escaped;
        is_escaped = *byte == b'\\' && !was_escaped;
        is_value ^= *byte == b'"' && !was_escaped;
        !is_value && *byte == b']' && *next == b' '
    })?;
    data.get(end + 2..)
}

/// The service at the front of a message of Dovecot's.
fn service(rest: &[u8]) -> Option<(Service, &[u8])> {
    for name in LOGIN_SERVICES {
        if let Some(message) = behind_name(rest, name) {
            return Some((Service::Login, without_level(message)));
        }
    }
    if rest.starts_with(PAM) {
        return Some((Service::Pam, rest));
    }
    // `auth: …`, `auth(name,…): …`, `auth-worker(123): …`
    let after = rest.strip_prefix(b"auth")?;
    let after = after.strip_prefix(b"-worker").unwrap_or(after);
    match after.first() {
        Some(b'(') => Some(match behind_pid(after) {
            Some(message) if message.starts_with(DEBUG) => (Service::Other, rest),
            _ => (Service::Auth, rest),
        }),
        Some(b':') => {
            let message = without_level(after.strip_prefix(b": ")?);
            let service = match message {
                _ if message.starts_with(PAM) => Service::Pam,
                _ if message.starts_with(DEBUG) => Service::Other,
                _ => Service::Auth,
            };
            Some((service, message))
        }
        _ => None,
    }
}

/// The message behind `imap-login: ` or `imap-login(123): `.
fn behind_name<'l>(rest: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let after = behind(rest, name)?;
    after.strip_prefix(b": ").or_else(|| behind_pid(after))
}

/// The message behind `(123): `; in its place 2.4's workers have a client's name.
fn behind_pid(text: &[u8]) -> Option<&[u8]> {
    number(text.strip_prefix(b"(")?)?.1.strip_prefix(b"): ")
}

pub(super) fn without_level(message: &[u8]) -> &[u8] {
    LEVELS.iter().find_map(|level| behind(message, level)).unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::{Service, split};

    fn parts(line: &str) -> Option<(Service, String, bool)> {
        let prefix = split(line.as_bytes())?;
        let message = String::from_utf8_lossy(prefix.message).into_owned();
        Some((prefix.service, message, prefix.stamp.is_some()))
    }

    #[test]
    fn finds_the_message_behind_every_prefix() {
        let prefixes = [
            "Nov 24 17:00:00 mail dovecot: imap-login: ",
            "Nov 24 17:00:00 mail dovecot[17]: imap-login: ",
            "<22>Nov 24 17:00:00 mail dovecot: imap-login: ",
            "2026-11-24T17:00:00.123456+01:00 mail dovecot[17]: imap-login: Info: ",
            "<22>1 2026-11-24T17:00:00Z mail dovecot 17 - - imap-login: ",
            "<22>1 2026-11-24T17:00:00Z mail dovecot - ID [a b=\"c\"] \u{feff}imap-login: ",
            r#"<22>1 2026-11-24T17:00:00Z mail dovecot - ID [a b="\"] x" c="]"][d] imap-login: "#,
            "Nov 24 17:00:00 imap-login: Info: ",
            "2026-11-24 17:00:00 imap-login: Warning: ",
            "Nov 24 17:00:00.123456 mail dovecot[17]: imap-login: ",
            "Tue 2026-11-24 17:00:00 UTC mail dovecot[17]: imap-login: ",
            "2026-11-24T17:00:00+0000 mail dovecot[17]: imap-login: ",
            "2026-11-24T17:00:00 mail dovecot-two[17]: imap-login: ",
            "@400000006a0b1c0a2ef02e94 imap-login: Info: ",
            "@1795539600 mail dovecot: imap-login: ",
            "@400000006a0b1c0a2ef02e94 dovecot: imap-login: ",
            "Nov 24 17:00:00 mail dovecot[17]: dovecot: imap-login: ",
            "1795539600.123456 mail dovecot[17]: imap-login: ",
            "Nov 24 17:00:00 imap-login(17): Info: ",
            "Nov 24 17:00:00 mail dovecot[17]: imap-login(18): ",
            "[2026-11-24 17:00:00] imap-login: Info: ",
            "Tue 2026-11-24 17:00:00 UTC mail dovecot.service[17]: imap-login: ",
            // Standard error of a container and of a unit.
            "2026-11-24T17:00:00.123456789Z Nov 24 17:00:00 imap-login: Info: ",
            "2026-11-24T17:00:00.123456789Z stderr F Nov 24 17:00:00 imap-login: Info: ",
            "2026-11-24T17:00:00.123456789Z stdout F imap-login: Info: ",
            "Nov 24 17:00:00 mail dovecot[17]: Nov 24 17:00:00 imap-login: Info: ",
            // RFC 5424 without its priority, and without its version as well.
            "1 2026-11-24T17:00:00Z mail dovecot 17 - - imap-login: ",
            "2026-11-24T17:00:00Z mail dovecot 17 - - imap-login: ",
            "2026-11-24T17:00:00Z mail dovecot - - [a b=\"c: d\"] imap-login: ",
            "<22>1 2026-11-24T17:00:00.123456+01:00 mail dovecot - - -  imap-login: ",
            // As the syslogd of Solaris has it, without a tag, and with a name for one.
            "Nov 24 17:00:00 mail dovecot[17]: [ID 702911 mail.info] imap-login: ",
            "Nov 24 17:00:00 mail imap-login: Info: ",
            "2026-11-24T17:00:00+01:00 mail dovecot imap-login: ",
            "@400000006a0b1c0a imap-login: Info: ",
        ];
        for prefix in prefixes {
            let found = parts(&format!("{prefix}Hello: world"));
            assert_eq!(found, Some((Service::Login, "Hello: world".to_owned(), true)), "{prefix}");
        }
    }

    #[test]
    fn finds_the_message_where_no_time_is_told() {
        let prefixes = [
            "imap-login: ",
            "<22>dovecot: imap-login: ",
            "[ 1234.691346] mail dovecot[17]: imap-login: ",
            "[12345.691346] mail dovecot[17]: imap-login: ",
            "[ 1234.691346                ] mail dovecot[17]: imap-login: ",
            "[ 1235.691346 <    1.000000 >] mail dovecot[17]: imap-login: ",
        ];
        for prefix in prefixes {
            let found = parts(&format!("{prefix}Hello: world"));
            assert_eq!(found, Some((Service::Login, "Hello: world".to_owned(), false)), "{prefix}");
        }
        assert_eq!(parts("[x] mail dovecot[17]: imap-login: "), None);
    }

    #[test]
    fn a_repetition_counts_as_often_as_it_says() {
        let times = |text: &str| {
            let line = format!("Nov 24 17:00:00 mail {text}");
            let prefix = split(line.as_bytes()).unwrap();
            (prefix.service, prefix.repeated.get(), prefix.message.to_vec())
        };
        let login = times("dovecot: message repeated 5 times: [ imap-login: Hello: world]");
        assert_eq!(login, (Service::Login, 5, b"Hello: world".to_vec()));
        let pam = times("auth: message repeated 2 times: [ pam_unix(dovecot:auth): x]");
        assert_eq!(pam, (Service::Pam, 2, b"pam_unix(dovecot:auth): x".to_vec()));
        // None at all, and none that is whole.
        let none = times("dovecot: message repeated 0 times: [ imap-login: x]");
        assert_eq!((none.0, none.1), (Service::Other, 1));
        let cut = times("dovecot: message repeated 5 times: [ imap-login: Hello: wor");
        assert_eq!((cut.0, cut.1), (Service::Other, 1));
    }

    #[test]
    fn tells_the_services_apart() {
        let service = |rest: &str| parts(&format!("Nov 24 17:00:00 {rest}")).map(|(it, ..)| it);
        assert_eq!(service("auth: Info: passwd-file(a,b): x"), Some(Service::Auth));
        assert_eq!(service("auth-worker(17): Info: x"), Some(Service::Auth));
        assert_eq!(service("auth: pam_unix(dovecot:auth): x"), Some(Service::Pam));
        assert_eq!(service("dovecot-auth: pam_unix(dovecot:auth): x"), Some(Service::Pam));
        assert_eq!(service("mail auth[17]: pam_unix(dovecot:auth): x"), Some(Service::Pam));
        // As journalctl writes it with its unit for a tag, and without any.
        assert_eq!(service("m dovecot.service[1]: pam_unix(dovecot:auth): x"), Some(Service::Pam));
        assert_eq!(service("pam_unix(dovecot:auth): x"), Some(Service::Pam));
        assert_eq!(service("mail auth[17]: passwd-file(a,b): x"), Some(Service::Auth));
        assert_eq!(service("mail dovecot: imap(bob)<1><s>: Logged out"), Some(Service::Other));
        assert_eq!(service("mail postfix/smtpd[1]: dovecot: imap-login: x"), None);
        assert_eq!(service("mail sshd[1]: Failed password"), None);
        // Names of users.
        for name in ["x dovecot: imap-login: x", "x imap-login: x", "x dovecot imap-login: x"] {
            assert_eq!(service(&format!("imap({name})<1><s>: Info: x")), None, "{name}");
            assert_eq!(service(&format!("lmtp(a {name})<1><s>: Info: x")), None, "{name}");
        }
        assert_eq!(service("imap(x dovecot 1 - - imap-login: x)<1><s>: Info: x"), None);
        assert_eq!(service(""), None);
    }
}
