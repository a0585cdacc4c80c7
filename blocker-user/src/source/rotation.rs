//! The order in time of the files of one log, by the names that `logrotate` gives them.
//!
//! ```text
//! mail.log-20261101.gz  mail.log-20261108  mail.log.12.gz  mail.log.2.gz  mail.log.1  mail.log
//! ```
//!
//! Names decide and nothing else: they cost no look into the files, and a reader can tell the
//! order from them.

use std::{
    cmp::Reverse,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::Archive;

/// Where a file stands among those of its log, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// Year, month and day, with what the admin's `dateformat` has behind them, in digits.
    Dated(u64),
    Numbered(Reverse<u32>),
    Current,
}

/// Puts the files of each log into their order in time. Different logs, and files whose names
/// say nothing, stay in the order they were given in.
pub(crate) fn in_order(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let logs = grouped(paths).into_iter().flatten();
    logs.map(|(_, path)| path).collect()
}

/// The same, each log by itself. Of a file and the same one packed, which are both there for a
/// moment, it is the former: its lines are not to count twice.
pub(crate) fn by_log(paths: Vec<PathBuf>) -> Vec<Vec<PathBuf>> {
    let packed =
        |path: &Path| path.file_name().and_then(OsStr::to_str).and_then(Archive::by_name).is_some();
    let logs = grouped(paths).into_iter().map(|mut files| {
        files.sort_by_key(|(age, path)| (*age, packed(path)));
        files.dedup_by(|next, one| next.0 == one.0 && packed(&next.1) && !packed(&one.1));
        files.into_iter().map(|(_, path)| path).collect()
    });
    logs.collect()
}

fn grouped(paths: Vec<PathBuf>) -> Vec<Vec<(Age, PathBuf)>> {
    let mut logs: Vec<(PathBuf, Vec<(Age, PathBuf)>)> = Vec::new();
    for path in paths {
        let (base, age) = split(path.file_name().and_then(OsStr::to_str).unwrap_or_default());
        let log = path.with_file_name(base);
        match logs.iter_mut().find(|(known, _)| *known == log) {
            Some((_, files)) => files.push((age, path)),
            None => logs.push((log, vec![(age, path)])),
        }
    }
    logs.into_iter()
        .map(|(_, mut files)| {
            // A stable sort: what is alike stays as it was given.
            files.sort_by_key(|(age, _)| *age);
            files
        })
        .collect()
}

/// What a file is an older part of.
pub(super) struct LogOf {
    /// The log's own path.
    pub(super) path: PathBuf,
    /// Whether the part is packed, so that nobody writes to it.
    pub(super) packed: bool,
}

/// The log of which the name of `path` says that it is an older part, if it does.
pub(super) fn log_of(path: &Path) -> Option<LogOf> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    let (base, age) = split(name);
    let packed = Archive::by_name(name).is_some();
    (packed || age != Age::Current).then(|| LogOf { path: path.with_file_name(base), packed })
}

/// Those of `files` that the log at `path` was rotated to, oldest first. Of a file and the same
/// one packed, which are both there for a moment, it is the former.
pub(crate) fn rotated(path: &Path, files: Vec<PathBuf>) -> Vec<PathBuf> {
    let name = |path: &Path| path.file_name().and_then(OsStr::to_str).map(ToOwned::to_owned);
    let Some(own) = name(path) else { return Vec::new() };
    // One that is written to under a dated name, and found by a link.
    let (log, newest) = split(&own);
    let mut rotated: Vec<(Age, bool, PathBuf)> = files
        .into_iter()
        .filter_map(|file| {
            let found = name(&file)?;
            let (base, age) = split(&found);
            (base == log && age < newest).then(|| (age, Archive::by_name(&found).is_some(), file))
        })
        .collect();
    rotated.sort();
    rotated.dedup_by_key(|(age, ..)| *age);
    rotated.into_iter().map(|(.., file)| file).collect()
}

/// The name of the log that a file is of, and the file's age.
fn split(name: &str) -> (&str, Age) {
    let unpacked = Archive::by_name(name)
        .and_then(|archive| name.strip_suffix(archive.ending()))
        .unwrap_or(name);
    if let Some((base, number)) = unpacked.rsplit_once('.')
        && !base.is_empty()
        && let Some(number) = digits(number).filter(|_| number.len() <= 4)
    {
        return (base, Age::Numbered(Reverse(u32::try_from(number).unwrap_or(u32::MAX))));
    }
    match dated(unpacked) {
        Some((base, date)) => (base, Age::Dated(date)),
        None => (unpacked, Age::Current),
    }
}

/// `mail.log-20261101`, `mail.log-2026-11-01`, `mail.log.20261101-13`: a date that is all the
/// rest of the name.
fn dated(name: &str) -> Option<(&str, u64)> {
    const DATE: usize = "20261101".len();
    const LONGEST: usize = "20261101235959".len();
    let is_part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let date = name.bytes().rev().take_while(|byte| is_part(*byte)).count();
    let (base, date) = name.split_at_checked(name.len() - date)?;
    let (base, date) = match base.strip_suffix('.') {
        Some(base) => (base, date),
        None => (base, date.strip_prefix(['-', '_'])?),
    };
    let found: String = date.chars().filter(char::is_ascii_digit).collect();
    if base.is_empty() || !(DATE..=LONGEST).contains(&found.len()) {
        return None;
    }
    // Filled up, so that a day and an hour of it compare as the points in time they are.
    digits(&format!("{found:0<LONGEST$}")).map(|date| (base, date))
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{in_order, rotated};
    use proptest::prelude::*;
    use std::path::{Path, PathBuf};

    fn ordered(names: &[&str]) -> Vec<String> {
        let paths = names.iter().map(PathBuf::from).collect();
        in_order(paths).into_iter().map(|path| path.display().to_string()).collect()
    }

    const SETS: [&[&str]; 6] = [
        &["mail.log.10.gz", "mail.log.3.gz", "mail.log.2.gz", "mail.log.1", "mail.log"],
        &["mail.log-20251231.gz", "mail.log-20261101.gz", "mail.log-20261108", "mail.log"],
        &["/var/log/dovecot.log-2026-11-01.xz", "/var/log/dovecot.log-2026-11-08.zst"],
        &["mail.log-20261101-01.gz", "mail.log-20261101-13.gz", "mail.log-20261102-00"],
        &["maillog-20261101", "maillog.2", "maillog.1", "maillog"],
        &["mail.log-1762300800.gz", "mail.log-1762387200.gz", "mail.log"],
    ];

    #[test]
    fn files_of_different_logs_and_directories_stay_apart_in_the_order_given() {
        assert_eq!(
            ordered(&["b.log", "a.log", "b.log.1", "a.log.1", "x/b.log"]),
            ["b.log.1", "b.log", "a.log.1", "a.log", "x/b.log"]
        );
        assert_eq!(ordered(&["z", "y", "x.txt", "-"]), ["z", "y", "x.txt", "-"]);
    }

    #[test]
    fn what_a_log_was_rotated_to_is_found_beside_it() {
        let names = [
            "mail.log.2.gz",
            "mail.log",
            "mail.log.1",
            "mail.log.1.gz",
            "mail.log.3.gz",
            "mail.err.1",
            "mail.log.old",
            "syslog",
        ];
        let files = names.iter().map(PathBuf::from).collect();
        let found = rotated(Path::new("mail.log"), files);
        assert_eq!(found, ["mail.log.3.gz", "mail.log.2.gz", "mail.log.1"].map(PathBuf::from));
        let dated = ["log-20261123", "log-20261124", "log-20261125", "log"].map(PathBuf::from);
        let found = rotated(Path::new("log-20261124"), dated.to_vec());
        assert_eq!(found, [PathBuf::from("log-20261123")]);
    }

    #[test]
    fn a_name_that_only_looks_like_a_date_is_a_name() {
        for names in [["mail-1", "mail-0"], ["10.0.0.1.log", "10.0.0.0.log"], [".1", ".2"]] {
            assert_eq!(ordered(&names), names);
        }
    }

    proptest! {
        #[test]
        fn a_rotated_set_is_read_oldest_first_however_it_was_given(
            set in 0..SETS.len(),
            order in any::<u64>(),
        ) {
            let set = SETS[set];
            let mut names = set.to_vec();
            names.sort_by_key(|name| order.wrapping_mul(1 + name.len() as u64 + u64::from(name.as_bytes()[name.len() / 2])) >> 7);
            prop_assert_eq!(ordered(&names), set);
        }
    }
}
