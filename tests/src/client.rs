//! Mail clients, good and bad. Every step has a time limit; nothing here hangs.

use std::{
    fmt,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt},
};

use crate::{
    netns::{Family, Host, Namespace, SERVER, World},
    wait::{self, LIMIT},
};

/// How long a shut door is knocked at. Longer than the second after which a lost SYN is
/// sent again, so that one lost packet does not look like a ban.
const KNOCK: Duration = Duration::from_millis(1500);

/// How a conversation begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// The first line the server says.
    Banner(String),
    /// Nothing comes back: what a ban looks like from outside.
    TimedOut,
    /// Nobody listens.
    Refused,
}

impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Banner(line) => write!(f, "the server says: {line}"),
            Self::TimedOut => f.write_str("no answer, timed out"),
            Self::Refused => f.write_str("refused"),
        }
    }
}

/// The protocols a client can log in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Imap,
    Pop3,
    Sieve,
}

impl Protocol {
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Imap => 143,
            Self::Pop3 => 110,
            Self::Sieve => 4190,
        }
    }
}

/// Somebody at one address.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    namespace: &'a Namespace,
    address: IpAddr,
    server: IpAddr,
}

impl<'a> Client<'a> {
    /// `host` with its address of `family`, out in the client namespace.
    #[must_use]
    pub fn new(world: &'a World, host: Host, family: Family) -> Self {
        Self { namespace: &world.client, address: host.on(family), server: SERVER.on(family) }
    }

    /// A process on the server itself that talks from `address` to `address`.
    #[must_use]
    pub fn on_server(world: &'a World, address: IpAddr) -> Self {
        Self { namespace: &world.server, address, server: address }
    }

    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Connects, reads the first line and hangs up: a silent probe, or a look whether the
    /// door is open.
    pub fn greet(&self, port: u16, limit: Duration) -> Result<Greeting> {
        wait::check()?;
        match self.open(port, limit) {
            Ok(mut stream) => Ok(Greeting::Banner(read_line(&mut stream)?)),
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(Greeting::TimedOut),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(Greeting::Refused),
            Err(error) => Err(error).with_context(|| format!("{} to {port}", self.address)),
        }
    }

    /// A silent probe that is expected to get through.
    pub fn probe(&self, port: u16) -> Result<String> {
        match self.greet(port, LIMIT)? {
            Greeting::Banner(line) => Ok(line),
            other => bail!("{} to port {port}: {other}, expected a banner", self.address),
        }
    }

    /// Waits until no answer comes from `port`.
    pub fn shut_out(&self, port: u16) -> Result<()> {
        let what = format!("{} to be shut out of port {port}", self.address);
        wait::until(LIMIT, &what, || {
            Ok((self.greet(port, KNOCK)? == Greeting::TimedOut).then_some(()))
        })
    }

    /// Logs in, and out again. Returns whether the server accepted it.
    pub fn log_in(&self, protocol: Protocol, user: &str, password: &str) -> Result<bool> {
        wait::check()?;
        let mut stream = self
            .open(protocol.port(), LIMIT)
            .with_context(|| format!("{} to {protocol:?}", self.address))?;
        let accepted = match protocol {
            Protocol::Imap => {
                read_line(&mut stream)?;
                say(&mut stream, &format!("a LOGIN {user} {password}"))?;
                let accepted = answer(&mut stream, "a OK", "a NO")?;
                say(&mut stream, "b LOGOUT")?;
                accepted
            }
            Protocol::Pop3 => {
                read_line(&mut stream)?;
                say(&mut stream, &format!("USER {user}"))?;
                answer(&mut stream, "+OK", "-ERR")?;
                say(&mut stream, &format!("PASS {password}"))?;
                let accepted = answer(&mut stream, "+OK", "-ERR")?;
                say(&mut stream, "QUIT")?;
                accepted
            }
            Protocol::Sieve => {
                // The greeting is a list of capabilities and ends with an OK.
                answer(&mut stream, "OK", "BYE")?;
                let token = BASE64.encode(format!("\0{user}\0{password}"));
                say(&mut stream, &format!("AUTHENTICATE \"PLAIN\" \"{token}\""))?;
                let accepted = answer(&mut stream, "OK", "NO")?;
                say(&mut stream, "LOGOUT")?;
                accepted
            }
        };
        // Dovecot writes its line when the connection ends: see to it that it has.
        drain(&mut stream)?;
        Ok(accepted)
    }

    /// Names and passwords on one IMAP connection, one after the other. Returns whether the
    /// server accepted the last.
    pub fn try_in_turn(&self, credentials: &[(&str, &str)]) -> Result<bool> {
        let mut stream = self.connect(Protocol::Imap.port())?;
        read_line(&mut stream)?;
        let mut accepted = false;
        for (user, password) in credentials {
            say(&mut stream, &format!("a LOGIN {user} {password}"))?;
            accepted = answer(&mut stream, "a OK", "a NO")?;
        }
        say(&mut stream, "b LOGOUT")?;
        drain(&mut stream)?;
        Ok(accepted)
    }

    /// A wrong password that is the last thing the server hears: the ban for it cuts the
    /// connection off, which nobody would hang up then. It stays open as long as it is held.
    #[must_use = "the connection ends when it is dropped"]
    pub fn last_guess(&self) -> Result<TcpStream> {
        let mut stream = self.connect(Protocol::Imap.port())?;
        read_line(&mut stream)?;
        say(&mut stream, "a LOGIN alice letmein")?;
        Ok(stream)
    }

    /// A guess that is expected to be wrong.
    pub fn guess(&self, protocol: Protocol) -> Result<()> {
        if self.log_in(protocol, "alice", "letmein")? {
            bail!("the server took a wrong password");
        }
        Ok(())
    }

    /// Connects and says nothing.
    pub fn connect(&self, port: u16) -> Result<TcpStream> {
        wait::check()?;
        self.open(port, LIMIT).with_context(|| format!("{} to {port}", self.address))
    }

    fn open(&self, port: u16, limit: Duration) -> io::Result<TcpStream> {
        let from = SocketAddr::new(self.address, 0);
        let to = SocketAddr::new(self.server, port);
        let opened = self.namespace.enter(|| Ok(open(from, to, limit)));
        opened.unwrap_or_else(|error| Err(io::Error::other(format!("{error:#}"))))
    }
}

fn open(from: SocketAddr, to: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    bind(&socket, &from)?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let end = Instant::now() + limit;
    let mut fds = [PollFd::new(&socket, PollFlags::OUT)];
    loop {
        let left = Timespec::try_from(end.saturating_duration_since(Instant::now()))
            .map_err(io::Error::other)?;
        match poll(&mut fds, Some(&left)) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    sockopt::socket_error(&socket)??;
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn say(stream: &mut TcpStream, line: &str) -> Result<()> {
    stream.write_all(format!("{line}\r\n").as_bytes()).with_context(|| format!("saying {line:?}"))
}

/// Reads lines up to one that begins with `yes` or `no`.
fn answer(stream: &mut TcpStream, yes: &str, no: &str) -> Result<bool> {
    const MOST_LINES: usize = 100;
    for _ in 0..MOST_LINES {
        let line = read_line(stream)?;
        if line.starts_with(yes) {
            return Ok(true);
        }
        if line.starts_with(no) {
            return Ok(false);
        }
    }
    bail!("{MOST_LINES} lines without {yes:?} or {no:?}")
}

/// Byte by byte, because there is no buffer to lose the rest in.
fn read_line(stream: &mut TcpStream) -> Result<String> {
    const LONGEST: usize = 4096;
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LONGEST {
        let read = stream.read(&mut byte);
        let read = match read {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other.context("waiting for the server to say a line")?,
        };
        if read == 0 {
            bail!("the server hung up after {:?}", String::from_utf8_lossy(&line));
        }
        if byte == *b"\n" {
            break;
        }
        line.extend(byte);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// Ends our half of the connection and waits for the server to end its own.
fn drain(stream: &mut TcpStream) -> Result<()> {
    const MOST_BYTES: u64 = 1 << 20;
    stream.shutdown(std::net::Shutdown::Write)?;
    match io::copy(&mut stream.take(MOST_BYTES), &mut io::sink()) {
        // Whichever way it ends, it has ended.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error).context("waiting for the server to hang up"),
    }
}
