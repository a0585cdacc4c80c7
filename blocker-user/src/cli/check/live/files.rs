//! Looks at the files: those of the configuration, and the logs with what stands at their ends.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    Facts,
    item::Item,
    lines::Tally,
    logs::{self, FileFacts, There},
};
use crate::{
    cli::{config::filter_of, logs as chosen},
    config::Settings,
    control::api::Running,
    dovecot::{self, Judge, Mode},
    source::{JOURNALCTL, Selection, Spec, ask, is_pattern, logs_of_pattern},
    time::LogTime,
};

/// How much of the end of a log is judged.
const END: u64 = 1 << 20;
/// The same of a journal.
const ENTRIES: u32 = 2000;
const LIMIT: Duration = Duration::from_secs(5);
/// What so many entries may come to.
const MOST: usize = 16 << 20;

/// What the logs are like.
pub(super) struct Read {
    pub(super) items: Vec<Item>,
    pub(super) tally: Tally,
    /// Of the logs that are read.
    pub(super) names: Vec<String>,
}

/// Files of the configuration that changed since the daemon read it; `now` are those that would
/// be read by now, where they are the same ones.
pub(super) fn changed_since(running: &Running, now: Option<&Vec<PathBuf>>) -> Vec<String> {
    let read_at: Option<jiff::Timestamp> = running.configured_at.parse().ok();
    let read_at = read_at.map(LogTime::from);
    let is_changed = |name: &&String| match fs::metadata(name) {
        // Of a file that was moved in, the time of its last change tells nothing.
        Ok(found) => read_at.is_some_and(|at| changed(&found) > at),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    let known = &running.configuration;
    let mut names: Vec<String> = known.iter().filter(is_changed).cloned().collect();
    let now = now.into_iter().flatten().map(|file| file.display().to_string());
    let now: Vec<String> = now.collect();
    // A daemon that was told to read elsewhere does not read these.
    if known.is_empty() || now.iter().any(|name| known.contains(name)) {
        names.extend(now.into_iter().filter(|name| !known.contains(name)));
    }
    names
}

/// When the contents or the name of a file changed last.
fn changed(found: &fs::Metadata) -> LogTime {
    let micros = found.ctime_nsec().checked_div(1000).unwrap_or(0);
    LogTime::from_micros(LogTime::from_secs(found.ctime()).as_micros().saturating_add(micros))
}

fn written(found: &fs::Metadata) -> LogTime {
    LogTime::from_secs(found.mtime())
}

pub(super) fn read(facts: &Facts<'_>, asked: Option<IpAddr>) -> Read {
    let Facts { loaded, status, now, .. } = facts;
    let settings = &loaded.settings;
    let findtime = match status {
        Some(status) => Duration::from_secs(status.findtime_secs),
        None => settings.findtime,
    };
    let specs = match status {
        Some(status) => status.logs.iter().map(|name| spec(name, settings)).collect(),
        None => chosen::of(loaded).map(|logs| logs.specs).unwrap_or_default(),
    };
    let names = specs.iter().map(ToString::to_string).collect();
    let mut read =
        Read { items: Vec::new(), tally: Tally::new(now.before(findtime), asked), names };
    for spec in &specs {
        match spec {
            Spec::File(path) | Spec::Member(path) => read.file(facts, path, findtime),
            Spec::Pattern(pattern) => {
                // Those it led to at the start are named besides.
                let known = |path: &PathBuf| read.names.contains(&path.display().to_string());
                let mut found = logs_of_pattern(pattern).unwrap_or_default();
                found.retain(|path| !known(path));
                for path in found {
                    read.file(facts, &path, findtime);
                }
            }
            Spec::Journal(selection) => read.journal(facts, selection),
            Spec::Fifo(_) | Spec::Stdin => read.items.push(Item::unknown(
                "log",
                format!("{spec}: what went through it cannot be seen"),
                "`doveblock status` shows the lines read",
            )),
        }
    }
    read.items.extend(status.as_ref().map(|it| logs::behind(&it.running, it.lag_secs)));
    read
}

/// From the name that the daemon has for it.
fn spec(name: &str, settings: &Settings) -> Spec {
    let path = Path::new(name);
    match name {
        "standard input" => Spec::Stdin,
        // By its name, a daemon and whoever asks it may mean another one: ours is the best guess.
        _ if name.starts_with("journal") && !path.exists() => Spec::Journal(settings.journal()),
        _ if is_pattern(name) && !path.exists() => Spec::Pattern(name.to_owned()),
        _ => Spec::File(path.to_owned()),
    }
}

impl Read {
    fn file(&mut self, facts: &Facts<'_>, path: &Path, findtime: Duration) {
        let process = facts.process.as_ref();
        let seen = process.map_or_else(|| path.to_owned(), |process| process.path(path));
        let found = fs::metadata(&seen);
        let there = match &found {
            Ok(found) => There::Found { len: found.len(), written: written(found) },
            Err(error) if error.kind() == io::ErrorKind::NotFound => There::Missing,
            Err(_) => There::Hidden,
        };
        let identity = process.and_then(super::Process::identity);
        let is_open = || process?.has_open(found.as_ref().ok()?.dev(), found.as_ref().ok()?.ino());
        let name = path.display().to_string();
        let facts_of_file = FileFacts {
            name: name.clone(),
            there,
            is_open: is_open(),
            may_read: identity.as_ref().and_then(|identity| identity.may_read(&seen).ok()),
            reader: identity.map_or_else(|| "somebody".to_owned(), |identity| identity.name()),
        };
        self.items.push(logs::file(&facts_of_file, facts.now));
        let Ok(end) = end_of(&seen) else { return };
        self.tally.last = None;
        self.judge(facts, &end);
        if let (Some(line), There::Found { written, .. }) = (self.tally.last, there) {
            self.items.push(logs::dates(&name, line, written, findtime));
        }
    }

    fn journal(&mut self, facts: &Facts<'_>, selection: &Selection) {
        let mut command = Command::new(JOURNALCTL);
        command.args(selection.last_entries(ENTRIES));
        let answer = ask(&mut command, LIMIT, MOST).map_err(|error| error.to_string());
        let before = self.tally.lines;
        if let Ok(text) = &answer {
            self.judge(facts, text);
        }
        let entries = answer.map(|_| self.tally.lines.saturating_sub(before));
        self.items.push(logs::journal(&entries, &selection.to_string()));
    }

    fn judge(&mut self, facts: &Facts<'_>, text: &[u8]) {
        let settings = &facts.loaded.settings;
        let judge = Judge::new(dovecot::Settings {
            mode: Mode::Aggressive,
            zone: jiff::tz::TimeZone::system(),
            session_check: settings.session_check,
        });
        // What is wrong with the patterns is told as a fault of the configuration.
        let mut judge = match filter_of(settings) {
            Ok(filter) => judge.with_filter(filter, settings.failregex.with_builtin),
            Err(_) => judge,
        };
        self.tally.add(&mut judge, text, facts.now);
    }
}

/// The whole lines among the last bytes of a file.
fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(END);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(END).read_to_end(&mut end)?;
    let first = match start {
        0 => 0,
        _ => memchr::memchr(b'\n', &end).map_or(end.len(), |at| at + 1),
    };
    let last = memchr::memrchr(b'\n', &end).map_or(0, |at| at + 1);
    Ok(end.get(first..last).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{END, changed_since, end_of};
    use crate::control::api::Status;

    #[test]
    fn only_whole_lines_of_the_end_are_judged() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("mail.log");
        fs::write(&log, "one\ntwo\nthr").unwrap();
        assert_eq!(end_of(&log).unwrap(), b"one\ntwo\n");
        let long = usize::try_from(END).unwrap();
        fs::write(&log, "x".repeat(long) + "\ntwo\n").unwrap();
        assert_eq!(end_of(&log).unwrap(), b"two\n");
        fs::write(&log, "").unwrap();
        assert_eq!(end_of(&log).unwrap(), b"");
    }

    #[test]
    fn files_that_were_written_added_or_removed_are_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let name = |file: &str| path(file).display().to_string();
        for file in ["a.conf", "new.conf"] {
            fs::write(path(file), "").unwrap();
        }
        let mut running = Status::example().running;
        running.configuration = vec![name("a.conf"), name("gone.conf")];
        // Of tomorrow: nothing was written since.
        running.configured_at = "2100-01-01T00:00:00Z".to_owned();
        assert_eq!(changed_since(&running, None), [name("gone.conf")]);
        let now = vec![path("a.conf"), path("new.conf")];
        assert_eq!(changed_since(&running, Some(&now)), [name("gone.conf"), name("new.conf")]);
        running.configured_at = "2020-01-01T00:00:00Z".to_owned();
        assert_eq!(changed_since(&running, None), [name("a.conf"), name("gone.conf")]);
        // It was told to read elsewhere.
        running.configuration = vec![name("a.conf")];
        assert_eq!(changed_since(&running, Some(&vec![path("new.conf")])), [name("a.conf")]);
    }
}
