//! The log that everybody is measured on: a day of a busy mail server, the same bytes on
//! every machine. Nine lines in eleven are no failure; the rest are the failures of Dovecot 2.3
//! and 2.4, as syslog and as Dovecot itself write them.
mod crowd;

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufWriter, Write as _},
    net::{IpAddr, Ipv6Addr},
    path::Path,
};

use anyhow::{Context as _, Result};

pub(super) use crowd::Crowd;

/// What the rules of both modes recognise a failure by.
pub(super) const WORDS: [&str; 15] = [
    "no auth attempts",
    "auth failed, ",
    "tried to use disallowed ",
    "tried to use disabled ",
    "tried to use unsupported auth mechanism",
    "client didn't finish SASL auth",
    "sent invalid base64 in response",
    "disconnected before auth was ready",
    "disconnected during TLS handshake",
    "proxy dest auth failed",
    "nknown user",
    "assword mismatch",
    "nvalid credentials",
    "am_authenticate() failed: ",
    ": authentication failure; ",
];

/// 2026-11-23T00:00:00Z, in seconds.
pub(super) const START: u64 = 1_795_392_000;
pub(super) const DAY_SECS: u64 = 86_400;

/// How many lines were made, and how many of them tell of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) lines: u64,
    pub(super) failures: u64,
    pub(super) bytes: u64,
}

/// Writes a log of one day with so many lines.
pub(super) fn write(path: &Path, lines: u64) -> Result<Made> {
    let failed = || format!("failed to write {}", path.display());
    let mut out = BufWriter::new(File::create(path).with_context(failed)?);
    let made = day_to(&mut out, &mut Log::default(), START, lines).with_context(failed)?;
    out.flush().with_context(failed)?;
    Ok(made)
}

/// The day that begins at `start`.
pub(super) fn day_to(
    out: &mut impl io::Write,
    log: &mut Log,
    start: u64,
    lines: u64,
) -> io::Result<Made> {
    let mut made = Made { lines, failures: 0, bytes: 0 };
    let mut line = String::new();
    for number in 0..lines {
        line.clear();
        let is_failure = log.line(start + number * DAY_SECS / lines.max(1), &mut line);
        made.failures += u64::from(is_failure);
        made.bytes += line.len() as u64;
        out.write_all(line.as_bytes())?;
    }
    Ok(made)
}

/// Lines without end.
pub(super) struct Log(Random);

impl Default for Log {
    fn default() -> Self {
        Self::of(START, Crowd::Few)
    }
}

impl Log {
    pub(super) fn of(seed: u64, crowd: Crowd) -> Self {
        Self(Random { state: seed, crowd })
    }

    /// Appends a line of that second since 1970, and says whether it tells of a failure.
    pub(super) fn line(&mut self, second: u64, line: &mut String) -> bool {
        let random = &mut self.0;
        let is_failure = random.below(11) < 2;
        let message = if is_failure { failure(random) } else { innocent(random) };
        prefix(line, random, second, &message);
        line.push_str(&message.text);
        line.push('\n');
        is_failure
    }
}

/// What a program logs, without what comes before it.
struct Message {
    program: &'static str,
    /// Dovecot names the service before the text; the others have nothing here.
    service: String,
    text: String,
}

fn prefix(line: &mut String, random: &mut Random, second: u64, message: &Message) {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day) = date(second / DAY_SECS);
    let name = MONTHS[month - 1];
    let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
    let pid = 700 + random.below(30_000);
    let Message { program, service, .. } = message;
    let kind = random.below(10);
    // Writing to a String cannot fail.
    let _infallible = match kind {
        // Dovecot's own format, which no other program uses.
        0..3 if !service.is_empty() => {
            write!(line, "{name} {day:>2} {hour:02}:{minute:02}:{second:02} {service}: Info: ")
        }
        0..7 => write!(
            line,
            "{name} {day:>2} {hour:02}:{minute:02}:{second:02} mail {program}[{pid}]: "
        ),
        _ => {
            let micros = random.below(1_000_000);
            write!(line, "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
                .and_then(|()| write!(line, ".{micros:06}+00:00 mail {program}[{pid}]: "))
        }
    };
    if !service.is_empty() && kind >= 3 {
        line.push_str(service);
        line.push_str(": ");
    }
}

/// Year, month and day of so many days after 1970-01-01.
fn date(mut days: u64) -> (u64, usize, u64) {
    let is_leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in (1..).zip(lengths) {
        if days < length {
            return (year, month, days + 1);
        }
        days -= length;
    }
    unreachable!("the months are as long as the year")
}

fn dovecot(service: impl Into<String>, text: String) -> Message {
    Message { program: "dovecot", service: service.into(), text }
}

fn postfix(program: &'static str, text: String) -> Message {
    Message { program, service: String::new(), text }
}

fn innocent(random: &mut Random) -> Message {
    let (user, ip) = (random.user(), random.customer());
    let session = random.session(ip);
    let (pid, size, queue) = (random.below(60_000), random.below(90_000), random.queue_id());
    match random.below(100) {
        0..16 => dovecot(
            "imap-login",
            format!(
                "Login: user=<{user}>, method=PLAIN, rip={ip}, lip=192.0.2.1, mpid={pid}, TLS, session=<{session}>"
            ),
        ),
        16..20 => dovecot(
            "pop3-login",
            format!(
                "Login: user=<{user}>, method=PLAIN, rip={ip}, lip=192.0.2.1, mpid={pid}, TLS, session=<{session}>"
            ),
        ),
        20..24 => dovecot(
            "imap-login",
            format!(
                "Logged in: user=<{user}>, method=PLAIN, rip={ip}, lip=2001:db8::1, mpid={pid}, TLS, session=<{session}>"
            ),
        ),
        24..38 => dovecot(
            format!("imap({user})<{pid}><{session}>"),
            format!(
                "Disconnected: Logged out in={size} out={pid} deleted=0 expunged=0 trashed=0 hdr_count=2 hdr_bytes=1288 body_count=1 body_bytes={size}"
            ),
        ),
        38..42 => dovecot(
            format!("pop3({user})<{pid}><{session}>"),
            format!("Disconnected: Logged out top=0/0, retr=1/{size}, del=1/12, size={size}"),
        ),
        42..46 => dovecot(
            format!("imap({user})<{pid}><{session}>"),
            format!(
                "Connection closed (IDLE running for 0.001 + waiting input for 290.016 secs, 2 B in + 10+10 B out, state=wait-input) in={size} out={pid} deleted=0 expunged=0 trashed=0 hdr_count=0 hdr_bytes=0 body_count=0 body_bytes=0"
            ),
        ),
        46..54 => dovecot(
            format!("lmtp({user})<{pid}><{session}>"),
            format!("msgid=<{queue}.{pid}@example.org>: saved mail to INBOX"),
        ),
        54..58 => dovecot(
            format!("lmtp({pid})"),
            "Disconnect from local: Logged out (state=READY)".to_owned(),
        ),
        58..66 => postfix("postfix/smtpd", format!("connect from mail{pid}.example.net[{ip}]")),
        66..74 => postfix(
            "postfix/smtpd",
            format!(
                "disconnect from mail{pid}.example.net[{ip}] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7"
            ),
        ),
        74..80 => {
            postfix("postfix/cleanup", format!("{queue}: message-id=<{queue}.{pid}@example.org>"))
        }
        80..86 => postfix(
            "postfix/qmgr",
            format!("{queue}: from=<{user}@example.org>, size={size}, nrcpt=1 (queue active)"),
        ),
        86..92 => postfix(
            "postfix/lmtp",
            format!(
                "{queue}: to=<{user}@example.org>, relay=mail.example.org[private/dovecot-lmtp], delay=0.12, delays=0.05/0.01/0.01/0.05, dsn=2.0.0, status=sent (250 2.0.0 <{user}@example.org> {session} Saved)"
            ),
        ),
        92..96 => postfix(
            "postfix/smtpd",
            format!("warning: unknown[{ip}]: SASL LOGIN authentication failed: UGFzc3dvcmQ6"),
        ),
        _ => postfix(
            "CRON",
            format!("pam_unix(cron:session): session opened for user root(uid=0) by (uid={pid})"),
        ),
    }
}

fn failure(random: &mut Random) -> Message {
    let (user, ip) = (random.user(), random.failing());
    let session = random.session(ip);
    let (secs, pid) = (random.below(180), random.below(60_000));
    let service =
        ["imap-login", "imap-login", "pop3-login", "managesieve-login", "submission-login"]
            [random.index(5)];
    let named =
        format!("user=<{user}>, method=PLAIN, rip={ip}, lip=192.0.2.1, TLS, session=<{session}>");
    let silent = format!("user=<>, rip={ip}, lip=192.0.2.1, session=<{session}>");
    match random.below(100) {
        0..24 => dovecot(
            service,
            format!(
                "Disconnected: Connection closed (auth failed, 1 attempts in {secs} secs): {named}"
            ),
        ),
        24..30 => dovecot(
            service,
            format!("Aborted login (auth failed, 3 attempts in {secs} secs): {named}"),
        ),
        30..42 => dovecot(
            service,
            format!(
                "Login aborted: Connection closed (auth failed, 2 attempts in {secs} secs) (auth_failed): {named}"
            ),
        ),
        42..60 => dovecot(
            service,
            format!("Disconnected: Connection closed (no auth attempts in {secs} secs): {silent}"),
        ),
        60..68 => dovecot(
            service,
            format!(
                "Login aborted: Logged out (no auth attempts in {secs} secs) (no_auth_attempts): {silent}"
            ),
        ),
        68..72 => dovecot(
            service,
            format!(
                "Disconnected: Connection closed (disconnected before auth was ready, waited 0 secs): {silent}"
            ),
        ),
        72..76 => dovecot(
            service,
            format!(
                "Login aborted: Connection closed (disconnected during TLS handshake) (tls_handshake_not_finished): {silent}"
            ),
        ),
        76..80 => dovecot(
            service,
            format!(
                "Disconnected: Aborted login by logging out (tried to use disallowed plaintext auth): {silent}"
            ),
        ),
        80..84 => dovecot(
            service,
            format!(
                "Disconnected: Connection closed (tried to use unsupported auth mechanism): {silent}"
            ),
        ),
        84..92 => dovecot("auth", format!("passwd-file({user},{ip},<{session}>): unknown user")),
        92..96 => dovecot(
            format!("auth-worker({pid})"),
            format!(
                "conn unix:auth-worker (pid=7,uid=109): auth-worker<{secs}>: sql({user},{ip},<{session}>): Password mismatch"
            ),
        ),
        _ => postfix(
            "auth",
            format!(
                "pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser={user} rhost={ip}  user={user}"
            ),
        ),
    }
}

/// Sebastiano Vigna's splitmix64: a few lines, the same numbers everywhere.
struct Random {
    state: u64,
    crowd: Crowd,
}

impl Random {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    fn user(&mut self) -> String {
        const NAMES: [&str; 8] = [
            "alice",
            "bob",
            "info",
            "carol.smith",
            "postmaster",
            "dave",
            "sales@example.org",
            "erin",
        ];
        let name = NAMES[self.index(NAMES.len())];
        match self.below(3) {
            0 => format!("{name}{}", self.below(1000)),
            _ => name.to_owned(),
        }
    }

    /// Who does nothing wrong.
    fn customer(&mut self) -> IpAddr {
        match self.crowd {
            Crowd::Few => self.ip(),
            Crowd::Month { .. } | Crowd::Distinct { .. } => crowd::customer(self.below(60_000)),
        }
    }

    /// Who fails.
    fn failing(&mut self) -> IpAddr {
        let crowd = self.crowd;
        match crowd {
            Crowd::Few => self.ip(),
            // Customers mistype, too.
            Crowd::Month { .. } if self.below(20) == 0 => self.customer(),
            Crowd::Month { day } => crowd::attacker(day * 5_000 + self.below(8_000)),
            Crowd::Distinct { next, of } => {
                self.crowd = Crowd::Distinct { next: next + 1, of };
                crowd::attacker(next % of)
            }
        }
    }

    /// One in four clients has IPv6; addresses return, as attackers and customers do.
    fn ip(&mut self) -> IpAddr {
        let (network, host) = (self.byte() % 40, 1 + self.byte() % 250);
        match self.below(4) {
            0 => Ipv6Addr::new(0x2001, 0xdb8, network.into(), 0, 0, 0, 0, host.into()).into(),
            1 => [203, 0, 113, host].into(),
            2 => [198, 51, 100, host].into(),
            _ => [198, 18, network, host].into(),
        }
    }

    /// As Dovecot makes it: six bytes of time, two of port, then the client's address.
    fn session(&mut self, of: IpAddr) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut id = self.next().to_le_bytes().to_vec();
        match of {
            IpAddr::V4(v4) => id.extend(v4.octets()),
            IpAddr::V6(v6) => id.extend(v6.octets()),
        }
        // 12 or 24 bytes: base64 without padding.
        let groups = id
            .chunks(3)
            .map(|group| group.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)));
        groups
            .flat_map(|group| [18, 12, 6, 0].map(|shift| char::from(ALPHABET[group >> shift & 63])))
            .collect()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn queue_id(&mut self) -> String {
        format!("{:010X}", self.below(1 << 40))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(lines: u64) -> (Made, String) {
        let mut log = Vec::new();
        let made = day_to(&mut log, &mut Log::default(), START, lines).unwrap();
        (made, String::from_utf8(log).unwrap())
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(START / DAY_SECS), (2026, 11, 23));
        assert_eq!(date(19_782), (2024, 2, 29));
        assert_eq!(date(20_453), (2025, 12, 31));
    }

    #[test]
    fn the_words_that_everybody_looks_for_are_in_the_failures_and_nowhere_else() {
        let mut log = Log::default();
        for _ in 0..5_000 {
            let mut line = String::new();
            let is_failure = log.line(START, &mut line);
            assert_eq!(WORDS.iter().any(|word| line.contains(word)), is_failure, "{line}");
        }
    }

    #[test]
    fn the_same_lines_come_every_time() {
        assert_eq!(made(100), made(100));
    }

    #[test]
    fn it_is_counted_as_it_is_written_and_a_tenth_to_a_quarter_are_failures() {
        let (made, log) = made(5_000);
        assert_eq!(log.lines().count(), 5_000);
        assert_eq!(made.bytes, log.len() as u64);
        assert!((500..=1250).contains(&made.failures), "{made:?}");
    }

    #[test]
    fn every_kind_of_prefix_and_of_address_is_in_it() {
        let (_, log) = made(2_000);
        for wanted in [
            " mail dovecot[",
            "2026-11-23T00:0",
            " imap-login: Info: ",
            " auth: Info: ",
            " mail postfix/smtpd[",
            "rip=2001:db8:",
            "rip=198.18.",
            "): unknown user",
        ] {
            assert!(log.contains(wanted), "{wanted:?} is not in the log");
        }
    }
}
