//! Logs by construction: who connects when and does what, as Dovecot writes it down. What such a
//! log holds is known because it was put there, so it can be held against what doveblock makes
//! of it.
//!
//! The wording is that of real daemons, see `blocker-user/tests/corpus`.

use std::{fmt::Write as _, net::IpAddr};

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{Timestamp, tz::TimeZone};

/// Whose wording it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V2_3,
    V2_4,
}

/// What comes before the words.
#[derive(Clone, Debug)]
pub enum Style {
    /// rsyslog's own: a year, fractions of a second, an offset.
    Iso,
    /// The older syslog, in the local time of a zone.
    Syslog(TimeZone),
    /// Dovecot's own file, likewise.
    Own(TimeZone),
}

/// Seconds since 1970.
pub type Seconds = i64;

#[derive(Clone, Debug)]
struct Line {
    at: Seconds,
    service: String,
    text: String,
}

/// A log that is being made up. Lines may be added in any order.
#[derive(Clone, Debug)]
pub struct Log {
    version: Version,
    service: &'static str,
    connections: u64,
    lines: Vec<Line>,
}

impl Log {
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self {
            version,
            service: "imap-login",
            connections: 0x105e_0605_0403_0201,
            lines: Vec::new(),
        }
    }

    /// The login process of what is added from here on.
    pub fn serve(&mut self, service: &'static str) -> &mut Self {
        self.service = service;
        self
    }

    /// A connection that ended at `at` without a try, after `secs`.
    pub fn probe(&mut self, at: Seconds, ip: impl Into<IpAddr>, secs: u32) -> &mut Self {
        let reason = format!("no auth attempts in {secs} secs");
        self.ended(at, ip.into(), "Connection closed", &reason, "no_auth_attempts", "")
    }

    /// A connection that ended in its TLS handshake: how long it took is not said.
    pub fn broken_handshake(&mut self, at: Seconds, ip: impl Into<IpAddr>) -> &mut Self {
        let (reason, code) = match self.version {
            Version::V2_3 => ("no auth attempts in 0 secs", ""),
            Version::V2_4 => ("disconnected during TLS handshake", "tls_handshake_not_finished"),
        };
        self.ended(at, ip.into(), "Connection closed", reason, code, "")
    }

    /// A connection that began a try and did not finish it.
    pub fn unfinished(&mut self, at: Seconds, ip: impl Into<IpAddr>, secs: u32) -> &mut Self {
        let (reason, code) = match self.version {
            Version::V2_3 => (format!("client didn't finish SASL auth, waited {secs} secs"), ""),
            Version::V2_4 => (
                format!("client didn't finish SASL auth, 1 attempts in {secs} secs"),
                "auth_waiting_client",
            ),
        };
        self.ended(at, ip.into(), "Connection closed", &reason, code, "")
    }

    /// One wrong password on a connection of its own.
    pub fn guess(&mut self, at: Seconds, ip: impl Into<IpAddr>, user: &str) -> &mut Self {
        self.guesses(at, ip, user, 1, 0)
    }

    /// Wrong passwords on one connection that ended at `at`, after `secs`.
    pub fn guesses(
        &mut self,
        at: Seconds,
        ip: impl Into<IpAddr>,
        user: &str,
        attempts: u32,
        secs: u32,
    ) -> &mut Self {
        let reason = format!("auth failed, {attempts} attempts in {secs} secs");
        self.ended(at, ip.into(), "Connection closed", &reason, "auth_failed", user)
    }

    /// What `auth_verbose` adds: a line of the password database, one of the connection's end.
    pub fn verbose_guess(&mut self, at: Seconds, ip: impl Into<IpAddr>, user: &str) -> &mut Self {
        let ip = ip.into();
        let id = self.next_session(ip);
        self.verdict(at, ip, user, &id);
        let reason = "auth failed, 1 attempts in 2 secs";
        self.ended_as(at + 2, ip, "Connection closed", reason, "auth_failed", user, &id)
    }

    /// A wrong password and then the right one, on the same connection, with `auth_verbose`.
    pub fn typo_and_login(&mut self, at: Seconds, ip: impl Into<IpAddr>, user: &str) -> &mut Self {
        let ip = ip.into();
        let id = self.next_session(ip);
        self.verdict(at, ip, user, &id);
        self.login_as(at + 3, ip, user, &id)
    }

    pub fn login(&mut self, at: Seconds, ip: impl Into<IpAddr>, user: &str) -> &mut Self {
        let ip = ip.into();
        let id = self.next_session(ip);
        self.login_as(at, ip, user, &id)
    }

    /// A line that is none of doveblock's business.
    pub fn other(&mut self, at: Seconds, service: &str, text: &str) -> &mut Self {
        self.lines.push(Line { at, service: service.to_owned(), text: text.to_owned() });
        self
    }

    fn verdict(&mut self, at: Seconds, ip: IpAddr, user: &str, id: &str) {
        let (service, text) = match self.version {
            Version::V2_3 => {
                ("auth".to_owned(), format!("passwd-file({user},{ip},<{id}>): Password mismatch"))
            }
            Version::V2_4 => (
                format!("auth({user},{ip},sasl:plain)<{id}>"),
                "passwd-file: Password mismatch".to_owned(),
            ),
        };
        self.lines.push(Line { at, service, text });
    }

    fn login_as(&mut self, at: Seconds, ip: IpAddr, user: &str, id: &str) -> &mut Self {
        let words = match self.version {
            Version::V2_3 => "Login",
            Version::V2_4 => "Logged in",
        };
        let lip = server(ip);
        self.write(
            at,
            format!("{words}: user=<{user}>, method=PLAIN, rip={ip}, lip={lip}, mpid=7, TLS, session=<{id}>"),
        )
    }

    fn ended(
        &mut self,
        at: Seconds,
        ip: IpAddr,
        cause: &str,
        reason: &str,
        code: &str,
        user: &str,
    ) -> &mut Self {
        let id = self.next_session(ip);
        self.ended_as(at, ip, cause, reason, code, user, &id)
    }

    #[expect(clippy::too_many_arguments, reason = "they are the fields of the line")]
    fn ended_as(
        &mut self,
        at: Seconds,
        ip: IpAddr,
        cause: &str,
        reason: &str,
        code: &str,
        user: &str,
        id: &str,
    ) -> &mut Self {
        let mut text = match self.version {
            Version::V2_3 => format!("Disconnected: {cause} ({reason})"),
            Version::V2_4 => format!("Login aborted: {cause} ({reason}) ({code})"),
        };
        let method = if user.is_empty() { "" } else { "method=PLAIN, " };
        let lip = server(ip);
        text += &format!(": user=<{user}>, {method}rip={ip}, lip={lip}, session=<{id}>");
        self.write(at, text)
    }

    fn write(&mut self, at: Seconds, text: String) -> &mut Self {
        self.lines.push(Line { at, service: self.service.to_owned(), text });
        self
    }

    /// Time, port and address, as Dovecot makes it; no two are the same.
    pub fn next_session(&mut self, of: IpAddr) -> String {
        self.connections += 1;
        let mut bytes = self.connections.to_le_bytes().to_vec();
        match of {
            IpAddr::V4(v4) => bytes.extend(v4.octets()),
            IpAddr::V6(v6) => bytes.extend(v6.octets()),
        }
        STANDARD.encode(bytes)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The lines from `from` on and before `to`, in the order of time.
    #[must_use]
    pub fn between(&self, from: Seconds, to: Seconds) -> Self {
        let lines = self.lines.iter().filter(|line| (from..to).contains(&line.at)).cloned();
        Self { lines: lines.collect(), ..*self }
    }

    /// All of it, in the order of time; lines of one second in the order in which they were added.
    pub fn text(&self, style: &Style) -> Result<String> {
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        lines.sort_by_key(|line| line.at);
        let mut text = String::new();
        for line in lines {
            line.write(style, &mut text)?;
        }
        Ok(text)
    }

    /// The same, once: what is added behind it comes without what was taken.
    pub fn take(&mut self, style: &Style) -> Result<String> {
        let text = self.text(style);
        self.lines.clear();
        text
    }

    /// Every line by itself, with its time, in that order.
    pub fn lines(&self, style: &Style) -> Result<Vec<(Seconds, String)>> {
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        lines.sort_by_key(|line| line.at);
        let one = |line: &Line| {
            let mut text = String::new();
            line.write(style, &mut text).map(|()| (line.at, text))
        };
        lines.into_iter().map(one).collect()
    }
}

impl Line {
    fn write(&self, style: &Style, to: &mut String) -> Result<()> {
        let Self { at, service, text } = self;
        let time = Timestamp::from_second(*at)?;
        match style {
            Style::Iso => {
                let time = time.strftime("%Y-%m-%dT%H:%M:%S.000000+00:00");
                writeln!(to, "{time} mail dovecot: {service}: {text}")?;
            }
            Style::Syslog(zone) => {
                let time = time.to_zoned_datetime(zone.clone());
                writeln!(
                    to,
                    "{} mail dovecot: {service}: {text}",
                    time.strftime("%b %e %H:%M:%S")
                )?;
            }
            Style::Own(zone) => {
                let time = time.to_zoned_datetime(zone.clone());
                writeln!(to, "{} {service}: Info: {text}", time.strftime("%b %d %H:%M:%S"))?;
            }
        }
        Ok(())
    }
}

/// The server's address that such a client meets.
fn server(client: IpAddr) -> &'static str {
    if client.is_ipv4() { "192.0.2.100" } else { "2001:db8::100" }
}

/// As doveblock states times.
pub fn shown(at: Seconds) -> Result<String> {
    Ok(Timestamp::from_second(at)?.to_string())
}
