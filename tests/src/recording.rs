//! Log lines as Dovecot 2.3 writes them, for when no Dovecot is installed.

use std::{
    fs::OpenOptions,
    io::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::ZonedDateTime;

/// A log that is written to as if by Dovecot.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
}

impl Recording {
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// A connection of `client` to ManageSieve that said nothing.
    pub fn probe(&self, client: IpAddr) -> Result<()> {
        self.append(&probe(client, &ZonedDateTime::now()))
    }

    /// Any text, as it is.
    pub fn append(&self, text: &str) -> Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .with_context(|| format!("opening {}", self.path.display()))?;
        // In one write, as loggers do.
        Ok(file.write_all(text.as_bytes())?)
    }
}

/// The line, with its newline, that a silent connection of `client` at `at` leaves behind.
#[must_use]
pub fn probe(client: IpAddr, at: &ZonedDateTime) -> String {
    format!(
        "{} managesieve-login: Info: Disconnected: Connection closed (no auth attempts in 0 \
         secs): user=<>, rip={client}, lip=192.0.2.1, session=<{}>\n",
        at.strftime("%b %d %H:%M:%S"),
        session(client)
    )
}

/// Time, port and address, as in a session id of Dovecot's: no two are the same.
fn session(client: IpAddr) -> String {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(0x105e_0605_0403_0201);
    let mut bytes = CONNECTIONS.fetch_add(1, Ordering::Relaxed).to_le_bytes().to_vec();
    match client {
        IpAddr::V4(v4) => bytes.extend(v4.octets()),
        IpAddr::V6(v6) => bytes.extend(v6.octets()),
    }
    STANDARD.encode(bytes)
}
