//! Which logs are read: the words of `--log` and logpath in, each log once out; and without any
//! word, the log that is found.

use std::{
    env,
    fs::{self, FileType},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use super::VerbError;
use crate::{
    config::{Backend, Loaded, Origin, Settings},
    source::{
        Choice, ChosenLog, Host, JOURNALCTL, JournalPlace, Matches, Selection, Spec, is_pattern,
        logs_of_pattern,
    },
};

/// Names of standard input.
const STDIN: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// What makes two words one log.
#[derive(PartialEq, Eq)]
enum Identity {
    /// What is no file: by itself.
    Itself(Spec),
    /// Device and inode.
    File(u64, u64),
    /// What is not there yet.
    Path(PathBuf),
}

/// What there is to read, and why, where nobody has said it.
pub(super) struct Logs {
    pub(super) specs: Vec<Spec>,
    pub(super) why: Option<String>,
}

/// The logs of this configuration.
pub(super) fn of(loaded: &Loaded) -> Result<Logs, VerbError> {
    let settings = &loaded.settings;
    let is_flag = loaded.origins.get("logpath") == Some(&Origin::Flag);
    if settings.backend == Backend::Systemd && !is_flag {
        let why = (!settings.logpath.is_empty())
            .then(|| "backend = systemd, and so the files of logpath are not read".to_owned());
        return Ok(Logs {
            specs: vec![with_journalctl("backend = systemd", settings.journal())?],
            why,
        });
    }
    if !settings.logpath.is_empty() {
        return Ok(Logs { specs: distinct(&settings.logpath, settings)?, why: None });
    }
    let Choice { log, why } = Host::default().choose(&settings.journal());
    let specs = match log {
        ChosenLog::Journal => vec![Spec::Journal(settings.journal())],
        ChosenLog::File(path) => distinct(&[path.display().to_string()], settings)?,
    };
    Ok(Logs { specs, why: Some(why) })
}

/// A log that is named twice is read once: its lines would count twice.
fn distinct(words: &[String], settings: &Settings) -> Result<Vec<Spec>, VerbError> {
    let mut known: Vec<(Identity, String)> = Vec::new();
    let mut logs = Vec::new();
    for word in words {
        for (spec, identity) in log(word, settings)? {
            // A pattern may lead to what is named besides.
            let is_told = !matches!(spec, Spec::Member(_));
            if let Some((_, first)) = known.iter().find(|(known, _)| *known == identity) {
                if is_told {
                    tracing::warn!("the log {word} is read once only: it is the same as {first}");
                }
                continue;
            }
            known.push((identity, word.clone()));
            logs.push(spec);
        }
    }
    Ok(logs)
}

/// What a word stands for: more than one thing if it is a pattern.
fn log(word: &str, settings: &Settings) -> Result<Vec<(Spec, Identity)>, VerbError> {
    let itself = |spec: Spec| Ok(vec![(spec.clone(), Identity::Itself(spec))]);
    if STDIN.contains(&word) {
        return itself(Spec::Stdin);
    }
    if let Some(place) = word.strip_prefix("journal")
        && (place.is_empty() || place.starts_with(':'))
    {
        let selection = journal(word, place, settings)?;
        return itself(with_journalctl(&format!("--log {word}"), selection)?);
    }
    let path = Path::new(word);
    match fs::metadata(path) {
        // Whatever its name looks like.
        Ok(found) if found.is_file() => {
            let identity = Identity::File(found.dev(), found.ino());
            Ok(vec![(Spec::File(path.to_owned()), identity)])
        }
        Ok(found) if found.file_type().is_fifo() => itself(Spec::Fifo(path.to_owned())),
        Ok(found) => Err(no_log(word, found.file_type())),
        Err(_) if is_pattern(word) => pattern(word),
        // It is waited for, whatever keeps it from being read.
        Err(_) => Ok(vec![(Spec::File(path.to_owned()), Identity::Path(resolved(path)))]),
    }
}

/// `journal`, `journal:DIRECTORY`, `journal:UNIT`.
fn journal(word: &str, place: &str, settings: &Settings) -> Result<Selection, VerbError> {
    let selection = settings.journal();
    match place.strip_prefix(':') {
        None => Ok(selection),
        Some(directory) if directory.contains('/') => {
            let directory = PathBuf::from(directory);
            if fs::metadata(&directory).is_ok_and(|found| !found.is_dir()) {
                return Err(VerbError::Usage(format!(
                    "--log {word}: {} is not a directory of journal files; a single one is read \
                     with backend = systemd[journalfiles={}]",
                    directory.display(),
                    directory.display()
                )));
            }
            Ok(Selection { place: JournalPlace::Directory(directory), ..selection })
        }
        Some(unit) if is_unit(unit) => Ok(Selection { matches: Matches::unit(unit), ..selection }),
        Some(_) => Err(VerbError::Usage(format!(
            "--log {word} names neither a directory, as in journal:/var/log/journal/remote, nor a \
             unit, as in journal:dovecot@mail.service"
        ))),
    }
}

/// `asked` is who wants it.
fn with_journalctl(asked: &str, selection: Selection) -> Result<Spec, VerbError> {
    if journalctl().is_some() {
        return Ok(Spec::Journal(selection));
    }
    Err(VerbError::Usage(format!(
        "{asked} needs {JOURNALCTL}, which is systemd's and not in PATH; without systemd, name \
         the file that Dovecot logs to: --log /var/log/mail.log"
    )))
}

/// Where the program is that reads a journal.
pub(super) fn journalctl() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|place| place.join(JOURNALCTL)).find(|it| it.is_file())
}

/// Systemd's own rule for names of units.
fn is_unit(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    !text.is_empty() && text.len() < 256 && text.chars().all(letter)
}

/// The files that there are now, and the pattern for those that come.
fn pattern(word: &str) -> Result<Vec<(Spec, Identity)>, VerbError> {
    let found = logs_of_pattern(word).map_err(|error| {
        VerbError::Usage(format!("--log {word} is no pattern of names: {}", error.msg))
    })?;
    let members = found.into_iter().map(|path| {
        let identity = match fs::metadata(&path) {
            Ok(found) => Identity::File(found.dev(), found.ino()),
            Err(_) => Identity::Path(resolved(&path)),
        };
        (Spec::Member(path), identity)
    });
    let spec = Spec::Pattern(word.to_owned());
    let itself = (spec.clone(), Identity::Itself(spec));
    Ok(members.chain([itself]).collect())
}

/// A path with nothing at its end, the way to it without detours.
fn resolved(path: &Path) -> PathBuf {
    let by_parent = || -> io::Result<PathBuf> {
        let absolute = std::path::absolute(path)?;
        match (absolute.parent(), absolute.file_name()) {
            (Some(parent), Some(name)) => Ok(fs::canonicalize(parent)?.join(name)),
            _ => Ok(absolute),
        }
    };
    by_parent().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// What a file that is followed must be able to do (to be read from its start, cut back and
/// renamed) only a regular one can.
fn no_log(word: &str, found: FileType) -> VerbError {
    let what = match found {
        found if found.is_dir() => {
            return VerbError::Usage(format!(
                "--log {word} is a directory, not a log; name the files in it, or a pattern: \
                 {word}/*.log"
            ));
        }
        found if found.is_char_device() || found.is_block_device() => "a device",
        found if found.is_socket() => {
            return VerbError::Usage(format!(
                "--log {word} is a socket, not a log; have syslog write to a file"
            ));
        }
        _ => "no regular file",
    };
    VerbError::Usage(format!(
        "--log {word} is {what}, which cannot be followed as a file; hand it over as standard \
         input: doveblock run --log - < {word}"
    ))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::PathBuf};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::distinct;
    use crate::{
        config::Settings,
        source::{JournalPlace, Spec},
    };

    fn logs(words: &[PathBuf]) -> Result<Vec<Spec>, String> {
        let words: Vec<String> = words.iter().map(|word| word.display().to_string()).collect();
        distinct(&words, &Settings::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_log_that_is_named_twice_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["mail.log", "other.log"] {
            fs::write(path(name), "").unwrap();
        }
        symlink(path("mail.log"), path("link")).unwrap();
        fs::hard_link(path("mail.log"), path("hard")).unwrap();
        symlink(dir.path(), path("here")).unwrap();
        let named = ["mail.log", "mail.log", "./mail.log", "link", "hard", "other.log"];
        let kept = ["mail.log", "other.log"].map(|name| Spec::File(path(name)));
        assert_eq!(logs(&named.map(path)).unwrap(), kept);
        // Nor one that is not there yet.
        let named = ["later.log", "./later.log", "here/later.log", "x/later.log", "x/./later.log"];
        let kept = ["later.log", "x/later.log"].map(|name| Spec::File(path(name)));
        assert_eq!(logs(&named.map(path)).unwrap(), kept);
        assert_eq!(logs(&["-".into(), "/dev/stdin".into()]).unwrap(), [Spec::Stdin]);
        assert_eq!(logs(&["journal".into(), "journal".into()]).unwrap().len(), 1);
    }

    #[test]
    fn a_pattern_is_what_it_leads_to_now_and_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["a.log", "b.log", "b.log.1", "c.log.2.gz", "[x].log"] {
            fs::write(path(name), "").unwrap();
        }
        symlink(path("b.log"), path("z.log")).unwrap();
        let pattern = path("*.log").display().to_string();
        let found = logs(&[path("b.log"), pattern.clone().into()]).unwrap();
        let expected = [
            Spec::File(path("b.log")),
            Spec::Member(path("[x].log")),
            Spec::Member(path("a.log")),
            Spec::Pattern(pattern),
        ];
        assert_eq!(found, expected);
        // A file that is called like a pattern is a file.
        assert_eq!(logs(&[path("[x].log")]).unwrap(), [Spec::File(path("[x].log"))]);
        assert!(logs(&["/a/[".into()]).unwrap_err().contains("no pattern"));
    }

    #[test]
    fn a_journal_is_a_directory_or_a_unit_or_the_hosts() {
        let journal = |word: &str| match logs(&[word.into()])?.remove(0) {
            Spec::Journal(selection) => Ok(selection),
            other => Err(other.to_string()),
        };
        let host = journal("journal").unwrap();
        assert_eq!(host, Settings::default().journal());
        let place = journal("journal:/j/k").unwrap().place;
        assert_eq!(place, JournalPlace::Directory("/j/k".into()));
        let unit = journal("journal:dovecot@a").unwrap();
        assert_eq!(unit.to_string(), "journal (_SYSTEMD_UNIT=dovecot@a.service)");
        assert!(journal("journal:").unwrap_err().contains("neither"));
        assert!(journal("journal:a b").unwrap_err().contains("neither"));
        assert!(journal("journal:/proc/version").unwrap_err().contains("journalfiles"));
        assert_eq!(journal("journal.log").unwrap_err(), "journal.log");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        assert!(logs(&["/dev/null".into()]).unwrap_err().contains("a device"));
        assert!(logs(&[dir.path().to_owned()]).unwrap_err().contains("a directory"));
        let socket = dir.path().join("socket");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(logs(&[socket]).unwrap_err().contains("a socket"));
        let fifo = dir.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(logs(std::slice::from_ref(&fifo)).unwrap(), [Spec::Fifo(fifo)]);
    }
}
