//! Which journal, and which of its entries; and the arguments of journalctl for them.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::Matches;

pub(crate) const PROGRAM: &str = "journalctl";
/// Systemd's, and part of every entry of this host.
const MACHINE_ID: &str = "/etc/machine-id";

/// Where a journal is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// This host's own, of all its boots.
    #[default]
    Host,
    /// A directory of journal files, as of a container or another host.
    Directory(PathBuf),
    /// A pattern of journal files.
    Files(PathBuf),
    /// One of this host's namespaces (`LogNamespace=`).
    Namespace(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub place: Place,
    pub matches: Matches,
    /// How old the entries may be with which to begin.
    pub look_back: Duration,
}

impl Selection {
    /// Without the entry to begin at, everything within `look_back`.
    pub(super) fn arguments(&self, cursor: Option<&str>) -> Vec<String> {
        let mut arguments = vec![
            "--output=json".to_owned(),
            // Besides those that always come: cursor and time.
            "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_HOSTNAME,_PID".to_owned(),
            // Long messages too, which are null otherwise.
            "--all".to_owned(),
            "--no-pager".to_owned(),
            // Otherwise `--follow` keeps to the last boot.
            "--merge".to_owned(),
        ];
        arguments.push(match cursor {
            Some(cursor) => format!("--cursor={cursor}"),
            None => format!("--since=-{}s", self.look_back.as_secs()),
        });
        arguments.extend(self.place.argument());
        // `--merge` also takes in what other hosts have sent here.
        let machine = (self.place == Place::Host).then(machine).flatten();
        arguments.extend(self.matches.arguments(machine.as_deref()));
        arguments
    }

    /// The arguments that show whether there is any entry at all.
    pub(in crate::source) fn last_entry(&self) -> Vec<String> {
        self.last_entries(1)
    }

    /// The arguments that show the last so many entries.
    pub(crate) fn last_entries(&self, count: u32) -> Vec<String> {
        let always = ["--output=json", "--quiet", "--no-pager", "--all"].map(str::to_owned);
        let count = format!("--lines={count}");
        let place = self.place.argument();
        let matches = self.matches.arguments(None);
        always.into_iter().chain([count]).chain(place).chain(matches).collect()
    }
}

impl Place {
    fn argument(&self) -> Option<String> {
        let option = |name: &str, path: &Path| Some(format!("--{name}={}", path.display()));
        match self {
            Self::Host => None,
            Self::Directory(path) => option("directory", path),
            Self::Files(path) => option("file", path),
            Self::Namespace(name) => Some(format!("--namespace={name}")),
        }
    }
}

fn machine() -> Option<String> {
    let id = fs::read_to_string(MACHINE_ID).ok()?;
    let id = id.trim();
    let is_id = id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit());
    is_id.then(|| format!("_MACHINE_ID={id}"))
}

/// As it is named in messages, and stored by: the same for the same entries.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Host => f.write_str("journal")?,
            Place::Directory(path) => write!(f, "journal:{}", path.display())?,
            Place::Files(path) => write!(f, "journal files {}", path.display())?,
            Place::Namespace(name) => write!(f, "journal namespace {name}")?,
        }
        write!(f, " ({})", self.matches)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Matches, Place, Selection};

    fn selection(place: Place) -> Selection {
        Selection { place, matches: Matches::default(), look_back: Duration::from_secs(90) }
    }

    #[test]
    fn begins_at_an_entry_or_looks_back() {
        let selection = selection(Place::Directory("/j".into()));
        let arguments = selection.arguments(Some("s=1")).join(" ");
        assert!(arguments.contains("--cursor=s=1 --directory=/j"), "{arguments}");
        assert!(arguments.ends_with(" _SYSTEMD_UNIT=dovecot.service"), "{arguments}");
        let arguments = selection.arguments(None).join(" ");
        assert!(arguments.contains("--since=-90s") && !arguments.contains("cursor"), "{arguments}");
    }

    #[test]
    fn each_has_a_name_of_its_own() {
        let names = [
            Place::Host,
            Place::Directory("/j".into()),
            Place::Files("/j".into()),
            Place::Namespace("j".to_owned()),
        ]
        .map(|place| selection(place).to_string());
        assert_eq!(names[0], "journal (_SYSTEMD_UNIT=dovecot.service)");
        assert_eq!(names[1], "journal:/j (_SYSTEMD_UNIT=dovecot.service)");
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name));
        }
    }
}
