//! Which log is Dovecot's, where nobody has said so: what Dovecot's configuration says, then
//! the journal, then the files that syslog daemons usually write. Other programs are asked, and
//! believed only where their answer can be one.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{JOURNALCTL, Selection, ask::ask};

/// Where syslog daemons write what Dovecot tells them, and Dovecot itself where somebody followed
/// its documentation.
const USUAL: [&str; 6] = [
    "/var/log/mail.log",
    "/var/log/maillog",
    "/var/log/dovecot.log",
    "/var/log/dovecot-info.log",
    "/var/log/syslog",
    "/var/log/messages",
];
const LIMIT: Duration = Duration::from_secs(5);
/// An answer is three short lines, or an entry of the journal.
const MOST: usize = 1 << 20;
/// How much of the end of a file is looked through for Dovecot's name.
const END: u64 = 1 << 20;

/// Where to look; the parts are replaced in tests.
pub(crate) struct Host {
    doveconf: PathBuf,
    journalctl: PathBuf,
    usual: Vec<PathBuf>,
    limit: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    File(PathBuf),
    Journal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) log: Log,
    pub(crate) why: String,
}

/// What Dovecot's configuration says of where failures of clients are logged.
enum LogsTo {
    File {
        path: PathBuf,
        option: &'static str,
    },
    Syslog {
        facility: String,
    },
    /// Whoever started it.
    Output,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            doveconf: "doveconf".into(),
            journalctl: JOURNALCTL.into(),
            usual: USUAL.map(PathBuf::from).to_vec(),
            limit: LIMIT,
        }
    }
}

impl Host {
    pub(crate) fn choose(&self, journal: &Selection) -> Choice {
        let dovecot = match self.asked_of_dovecot() {
            Ok(LogsTo::File { path, option }) => {
                let why = format!("Dovecot writes it, by {option} in its configuration");
                return Choice { log: Log::File(path), why };
            }
            Ok(LogsTo::Syslog { facility }) => {
                format!("Dovecot logs to syslog, facility {facility}")
            }
            Ok(LogsTo::Output) => "Dovecot logs to its standard output".to_owned(),
            Err(why) => format!("Dovecot's configuration does not tell: doveconf {why}"),
        };
        let journal = match self.asked_of_journal(journal) {
            Ok(()) => {
                let why = format!("{dovecot}; the journal has entries of it");
                return Choice { log: Log::Journal, why };
            }
            Err(why) => format!("{dovecot}; {why}"),
        };
        let (log, why) = self.usual();
        Choice { log: Log::File(log), why: format!("{journal}; {why}") }
    }

    fn asked_of_dovecot(&self) -> Result<LogsTo, String> {
        let mut command = Command::new(&self.doveconf);
        command.args(["-h", "log_path", "info_log_path", "syslog_facility"]);
        let answer = ask(&mut command, self.limit, MOST).map_err(|error| error.to_string())?;
        let text = str::from_utf8(&answer).map_err(|_| "printed no text".to_owned())?;
        logs_to(text).ok_or_else(|| {
            let start: String = text.chars().take(60).collect();
            format!("printed what is no place to log to: {start:?}")
        })
    }

    fn asked_of_journal(&self, selection: &Selection) -> Result<(), String> {
        let mut command = Command::new(&self.journalctl);
        command.args(selection.last_entry());
        match ask(&mut command, self.limit, MOST) {
            Ok(answer) if answer.starts_with(b"{") => Ok(()),
            Ok(_) => Err(format!("the journal has no entries with {}", selection.matches)),
            Err(error) => Err(format!("the journal cannot be asked: journalctl {error}")),
        }
    }

    fn usual(&self) -> (PathBuf, &'static str) {
        let there: Vec<&PathBuf> = self.usual.iter().filter(|path| path.is_file()).collect();
        if let Some(path) = there.iter().find(|path| names_dovecot(path)) {
            return ((*path).clone(), "of the usual files this is the first that names it");
        }
        if let Some(path) = there.first() {
            let why = "none of the usual files names it, and this is the first that is there";
            return ((*path).clone(), why);
        }
        let first = self.usual.first().cloned().unwrap_or_default();
        (first, "none of the usual files is there, and this is the most usual")
    }
}

/// What the three values say, one a line: log_path, info_log_path, syslog_facility. Failures are
/// logged at level Info, and go to the first if the second is empty.
fn logs_to(text: &str) -> Option<LogsTo> {
    let mut lines = text.lines().map(str::trim);
    let (log, info, facility) = (lines.next()?, lines.next()?, lines.next()?);
    let (place, option) = match info {
        "" => (log, "log_path"),
        info => (info, "info_log_path"),
    };
    let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
    match place {
        "syslog" if is_word(facility) => Some(LogsTo::Syslog { facility: facility.to_owned() }),
        _ if ["/dev/", "/proc/"].iter().any(|start| place.starts_with(start)) => {
            Some(LogsTo::Output)
        }
        _ if place.starts_with('/') && !place.contains(char::is_control) => {
            Some(LogsTo::File { path: place.into(), option })
        }
        _ => None,
    }
}

fn names_dovecot(path: &Path) -> bool {
    let end = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(END)))?;
        let mut end = Vec::new();
        file.take(END).read_to_end(&mut end)?;
        Ok(end)
    };
    end().is_ok_and(|end| memchr::memmem::find(&end, b"dovecot").is_some())
}

#[cfg(test)]
mod tests;
