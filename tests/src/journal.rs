//! A journal in a directory of its own, written by systemd-journal-remote: no systemd need run.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use jiff::Timestamp;

use crate::process::{command, run};

/// Where Debian has it.
pub const WRITER: &str = "/lib/systemd/systemd-journal-remote";

/// The unit whose entries count.
pub const DOVECOT: &str = "dovecot.service";

#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
}

impl Journal {
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// As it is named to `--log`.
    #[must_use]
    pub fn word(&self) -> String {
        format!("journal:{}", self.dir.display())
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// An entry that a process of `unit` wrote now, under Dovecot's name.
    pub fn write(&self, unit: &str, message: &[u8]) -> Result<()> {
        fs::create_dir_all(&self.dir)?;
        let mut head = String::new();
        let now = Timestamp::now().as_microsecond();
        writeln!(head, "__REALTIME_TIMESTAMP={now}\n__MONOTONIC_TIMESTAMP={now}")?;
        writeln!(head, "_BOOT_ID=0123456789abcdef0123456789abcdef\n_SYSTEMD_UNIT={unit}")?;
        writeln!(head, "SYSLOG_IDENTIFIER=dovecot\n_PID=12\n_HOSTNAME=mail")?;
        // With its length before it, so that it may hold anything.
        let mut entry = head.into_bytes();
        entry.extend_from_slice(b"MESSAGE\n");
        entry.extend_from_slice(&u64::try_from(message.len())?.to_le_bytes());
        entry.extend_from_slice(message);
        entry.extend_from_slice(b"\n\n");
        let input = self.dir.with_extension("export");
        fs::write(&input, entry)?;
        let output = self.dir.join("test.journal");
        run(command(WRITER).arg("--output").arg(output).arg(input)).map(drop)
    }

    /// Throws away what is there, as a journal does that has grown too large.
    pub fn vacuum(&self) -> Result<()> {
        Ok(fs::remove_file(self.dir.join("test.journal"))?)
    }

    /// The journalctl processes that read it, zombies too.
    pub fn readers(&self) -> Result<Vec<u32>> {
        let wanted = format!("--directory={}", self.dir.display());
        let mut found = Vec::new();
        for process in fs::read_dir("/proc")? {
            let process = process?;
            let Some(id) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // Whoever has ended since has no command line any more.
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            if line.split(|byte| *byte == 0).any(|word| word == wanted.as_bytes()) {
                found.push(id);
            }
        }
        Ok(found)
    }
}
