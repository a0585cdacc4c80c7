//! Which logs are read: the words of `--log` and logpath in, each log once out.

use std::{
    fs::{self, FileType},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use crate::{cli::VerbError, source::Spec};

/// What makes two words one log.
#[derive(PartialEq, Eq)]
enum Identity {
    Stdin,
    /// Device and inode.
    File(u64, u64),
    /// What is not there yet.
    Path(PathBuf),
}

/// A log that is named twice is read once: its lines would count twice.
pub(super) fn distinct(words: &[String]) -> Result<Vec<Spec>, VerbError> {
    let mut known: Vec<(Identity, &str)> = Vec::new();
    let mut logs = Vec::new();
    for word in words {
        let (spec, identity) = log(word)?;
        if let Some((_, first)) = known.iter().find(|(known, _)| *known == identity) {
            tracing::warn!("the log {word} is read once only: it is the same as {first}");
            continue;
        }
        known.push((identity, word));
        logs.push(spec);
    }
    Ok(logs)
}

fn log(word: &str) -> Result<(Spec, Identity), VerbError> {
    let path = match word {
        "-" => return Ok((Spec::Stdin, Identity::Stdin)),
        "journal" => {
            return Err(VerbError::Usage(
                "--log journal is not there yet; until then pipe it in: journalctl --follow \
                 --unit dovecot --output json | doveblock run --log -"
                    .to_owned(),
            ));
        }
        path => Path::new(path),
    };
    let identity = match fs::metadata(path) {
        Ok(found) if found.is_file() => Identity::File(found.dev(), found.ino()),
        Ok(found) => return Err(no_log(word, found.file_type())),
        // It is waited for, whatever keeps it from being read.
        Err(_) => Identity::Path(resolved(path)),
    };
    Ok((Spec::File(path.to_owned()), identity))
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
                "--log {word} is a directory, not a log; name the files in it"
            ));
        }
        found if found.is_fifo() => "a FIFO",
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
    use crate::source::Spec;

    fn logs(words: &[PathBuf]) -> Result<Vec<Spec>, String> {
        let words: Vec<String> = words.iter().map(|word| word.display().to_string()).collect();
        distinct(&words).map_err(|error| error.to_string())
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
        assert_eq!(logs(&["-".into(), "-".into()]).unwrap(), [Spec::Stdin]);
    }

    #[test]
    fn what_is_no_regular_file_is_refused_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let refused = logs(std::slice::from_ref(&fifo)).unwrap_err();
        let remedy = format!("--log - < {}", fifo.display());
        assert!(refused.contains("a FIFO") && refused.contains(&remedy), "{refused}");
        assert!(logs(&["/dev/null".into()]).unwrap_err().contains("a device"));
        assert!(logs(&[dir.path().to_owned()]).unwrap_err().contains("a directory"));
        let socket = dir.path().join("socket");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(logs(&[socket]).unwrap_err().contains("a socket"));
        assert!(logs(&["journal".into()]).unwrap_err().contains("journalctl"));
    }
}
