//! The options that say where lines come from: logpath, backend and journalmatch.

use super::{
    Backend, Fault, Invalid, Place, Settings,
    text::Text,
    values::{name_of, one_of},
};
use crate::source::{JournalPlace, Matches, Selection};

const BACKENDS: [(&str, Backend); 6] = [
    ("auto", Backend::Auto),
    ("polling", Backend::Polling),
    ("systemd", Backend::Systemd),
    ("pyinotify", Backend::Auto),
    ("inotify", Backend::Auto),
    ("gamin", Backend::Auto),
];

/// With fail2ban's options of `systemd`: `systemd[journalpath=/var/log/journal/remote]`.
pub(super) fn backend(text: &str) -> Result<(Backend, JournalPlace), Invalid> {
    let (name, options) = match text.trim().split_once('[') {
        Some((name, options)) => (name, options.trim_end().strip_suffix(']').unwrap_or(options)),
        None => (text, ""),
    };
    let backend = one_of(name, &BACKENDS)?;
    let mut place = JournalPlace::Host;
    for option in options.split(',').map(str::trim).filter(|option| !option.is_empty()) {
        let Some((name, value)) = option.split_once('=') else {
            return Err(Invalid::new(format!("{option:?} is no option of a backend")));
        };
        let value = value.trim().trim_matches(['"', '\'']);
        let found = match name.trim() {
            "journalpath" => JournalPlace::Directory(value.into()),
            "journalfiles" => JournalPlace::Files(value.into()),
            "namespace" => JournalPlace::Namespace(value.to_owned()),
            // Everything there is is read.
            "journalflags" | "rotated" => continue,
            other => return Err(Invalid::new(format!("{other:?} is no option of a backend"))),
        };
        if backend != Backend::Systemd {
            return Err(Invalid::new(format!("only systemd takes {}", name.trim())));
        }
        if value.is_empty() || place != JournalPlace::Host {
            return Err(Invalid::new("one journal is named by one of its options".to_owned()));
        }
        place = found;
    }
    Ok((backend, place))
}

pub(super) fn show_backend(backend: Backend, place: &JournalPlace) -> String {
    let name = name_of(backend, &BACKENDS);
    match place {
        JournalPlace::Host => name,
        JournalPlace::Directory(path) => format!("{name}[journalpath={}]", path.display()),
        JournalPlace::Files(path) => format!("{name}[journalfiles={}]", path.display()),
        JournalPlace::Namespace(namespace) => format!("{name}[namespace={namespace}]"),
    }
}

pub(super) fn journalmatch(text: &Text) -> Result<Matches, Invalid> {
    let lines = text.lines().map(|line| line.text.as_str());
    Matches::parse(lines).map_err(|error| Invalid::new(error.to_string()))
}

/// One path or pattern a line. fail2ban takes `head` or `tail` behind it, which says where to
/// begin.
pub(super) fn logpath(text: &Text) -> Result<Vec<String>, Invalid> {
    let path = |line: &str| {
        let path = match line.rsplit_once(char::is_whitespace) {
            Some((path, "head" | "tail")) => path.trim_end(),
            _ => line,
        };
        if path.contains(char::is_whitespace) {
            return Err(Invalid::new(format!(
                "{line:?} is more than one path; write each in a line of its own, indented"
            )));
        }
        if let Err(error) = glob::Pattern::new(path) {
            return Err(Invalid::new(format!("{path:?} is no pattern of names: {}", error.msg)));
        }
        Ok(path.to_owned())
    };
    text.lines().map(|line| path(&line.text)).collect()
}

impl Settings {
    /// The entries of the journal that are Dovecot's, as far back as they matter.
    #[must_use]
    pub fn journal(&self) -> Selection {
        Selection {
            place: self.journal.clone(),
            matches: self.journalmatch.clone(),
            look_back: self.findtime.max(self.ignore_authenticated),
        }
    }

    /// What the author of `journalmatch`, who wrote it at `place`, may regret.
    pub(super) fn doubt_of_journalmatch(&self, place: &Place) -> Option<Fault> {
        let row = self.journalmatch.forgeable()?;
        let what = format!(
            "whoever can log on this host can write entries with {row}, and have others banned"
        );
        let todo = "add a field that the journal sets by itself, as in \
                    _SYSTEMD_UNIT=dovecot.service";
        Some(Fault::warning(what, todo).at(place).option("journalmatch"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Backend, JournalPlace, backend, show_backend};

    #[test]
    fn fail2bans_backends_are_known() {
        for (text, expected) in [
            ("auto", Backend::Auto),
            ("pyinotify", Backend::Auto),
            ("polling", Backend::Polling),
            ("systemd", Backend::Systemd),
            ("systemd[rotated=on, journalflags=1]", Backend::Systemd),
        ] {
            assert_eq!(backend(text), Ok((expected, JournalPlace::Host)), "{text}");
        }
    }

    #[test]
    fn another_journal_is_named_as_in_fail2ban() {
        for (text, place) in [
            ("systemd[journalpath=/j]", JournalPlace::Directory("/j".into())),
            ("systemd[journalfiles='/j/*.journal']", JournalPlace::Files("/j/*.journal".into())),
            ("systemd[rotated=on, namespace=\"mail\"]", JournalPlace::Namespace("mail".into())),
        ] {
            assert_eq!(backend(text), Ok((Backend::Systemd, place.clone())), "{text}");
            let shown = show_backend(Backend::Systemd, &place);
            assert_eq!(backend(&shown), Ok((Backend::Systemd, place)), "{shown}");
        }
    }

    #[test]
    fn what_is_no_backend_is_refused() {
        for text in [
            "",
            "journald",
            "systemd[x=1]",
            "systemd[journalpath]",
            "systemd[journalpath=]",
            "systemd[journalpath=/a, namespace=b]",
            "auto[journalpath=/a]",
        ] {
            assert!(backend(text).is_err(), "{text}");
        }
    }
}
