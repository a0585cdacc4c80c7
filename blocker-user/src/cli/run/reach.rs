//! What a running daemon has to be able to open: from the configuration to [`Reach`].

use std::path::{Path, PathBuf};

use super::args::Config;
use crate::{
    cli::logs::journalctl,
    config::Ignored,
    firewall::shared_pins,
    sandbox::Reach,
    source::{JournalPlace, Spec},
};

/// Where journals of this host are.
const JOURNALS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];
/// What journalctl tells this host's by.
const HOST: &str = "/etc/machine-id";

pub(super) fn of(config: &Config) -> Reach {
    let is_journal = |log: &Spec| matches!(log, Spec::Journal(_));
    // The socket, and a pin directory that this start has made.
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let tidy = [&config.socket, &config.pin_dir].map(absolute);
    Reach {
        read: config.logs.iter().flat_map(read_by).chain(config.read_from.clone()).collect(),
        write: vec![config.state_dir.clone(), config.pin_dir.clone(), shared_pins()],
        tidy: tidy.iter().filter_map(|it| it.parent()).map(Path::to_owned).collect(),
        run: config.logs.iter().any(is_journal).then(journalctl).flatten().into_iter().collect(),
        names: config.settings.ignoreip.iter().any(|it| matches!(it, Ignored::Name(_))),
    }
}

fn read_by(log: &Spec) -> Vec<PathBuf> {
    match log {
        Spec::File(path) | Spec::Member(path) | Spec::Fifo(path) => around(path),
        Spec::Pattern(pattern) => around(Path::new(pattern)),
        Spec::Journal(selection) => {
            let named = match &selection.place {
                JournalPlace::Directory(directory) => in_it(directory),
                JournalPlace::Files(pattern) => around(pattern),
                JournalPlace::Host | JournalPlace::Namespace(_) => {
                    JOURNALS.iter().flat_map(|it| in_it(Path::new(it))).collect()
                }
            };
            [vec![PathBuf::from(HOST)], named].concat()
        }
        Spec::Stdin => Vec::new(),
    }
}

/// A directory, or what is there of the way to one that may come.
fn in_it(directory: &Path) -> Vec<PathBuf> {
    around(&directory.join("any"))
}

/// The directories that a log is in: by its name, and by where that leads. Not the file, which
/// is another one after each rotation; and for one that is not there yet, what is there of the
/// way to it.
fn around(log: &Path) -> Vec<PathBuf> {
    let named = std::path::absolute(log).unwrap_or_else(|_| log.to_owned());
    let led = named.canonicalize().ok();
    let mut directories: Vec<PathBuf> = [Some(named), led]
        .into_iter()
        .flatten()
        .filter_map(|path| path.ancestors().skip(1).find(|it| it.is_dir()).map(Path::to_owned))
        .collect();
    directories.dedup();
    directories
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::{around, in_it};

    #[test]
    fn a_log_may_be_rotated_be_a_link_and_come_later() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (logs, data) = (root.join("logs"), root.join("data"));
        fs::create_dir(&logs).unwrap();
        fs::create_dir(&data).unwrap();
        fs::write(data.join("mail"), "").unwrap();
        symlink(data.join("mail"), logs.join("mail.log")).unwrap();
        assert_eq!(around(&logs.join("mail.log")), [logs.clone(), data.clone()]);
        assert_eq!(around(&data.join("mail")), [data.as_path()]);
        assert_eq!(in_it(&data), [data.as_path()]);
        assert_eq!(in_it(&data.join("journal")), [data]);
        for later in ["not/yet/mail.log", "*/mail.log"] {
            assert_eq!(around(&logs.join(later)), [logs.as_path()]);
        }
    }
}
