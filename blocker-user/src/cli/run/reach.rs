//! What a running daemon has to be able to open: from the configuration to [`Reach`].

use std::path::{Component, Path, PathBuf};

use super::args::{Before, Config};
use crate::{
    cli::logs::journalctl,
    config::Ignored,
    firewall::shared_pins,
    sandbox::Reach,
    source::{JournalPlace, Spec, is_pattern},
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

/// How much a log takes: what is in it has to be found under another name after each rotation.
#[derive(Debug, PartialEq, Eq)]
enum Share {
    /// The directory it is in.
    Directory(PathBuf),
    /// What is there of the way to that directory, which is to come.
    Way(PathBuf),
    /// The file alone, as it is in the root directory.
    File(PathBuf),
    /// Nothing, since it would have to be this directory.
    Nothing(PathBuf),
}

impl Share {
    fn path(self) -> Option<PathBuf> {
        match self {
            Self::Directory(path) | Self::Way(path) | Self::File(path) => Some(path),
            Self::Nothing(_) => None,
        }
    }
}

/// Says what more is within reach than the directories of logs, and what is not though it may
/// be waited for.
pub(super) fn say(config: &Config) {
    for log in &config.logs {
        // Of the two places of the host's journal one is enough.
        if matches!(log, Spec::Journal(it) if it.place == JournalPlace::Host) {
            continue;
        }
        for share in shares_of(log) {
            match share {
                Share::Directory(_) => {}
                Share::Way(above) => tracing::info!(
                    "the directory of {log} is not there: until a restart that finds it, all of \
                     {} is within this daemon's reach",
                    above.display()
                ),
                Share::File(_) => tracing::warn!(
                    "{log} is in the root directory, which Landlock does not leave within reach: \
                     it cannot be read any more once it is rotated; log to a directory like \
                     /var/log, or start with --no-landlock"
                ),
                Share::Nothing(above) => tracing::warn!(
                    "the directory of {log} is not there, and Landlock does not leave all of {} \
                     within reach for it: make that directory and restart, or start with \
                     --no-landlock",
                    above.display()
                ),
            }
        }
    }
}

/// What a daemon that has confined itself to `started` would lack by now.
pub(super) fn lacking(started: &Reach, before: &Before, now: &Config) -> Vec<String> {
    let mut lacking = Vec::new();
    // Those that stay are read as well as they were.
    let is_read = |log: &Spec| before.logs.iter().any(|it| takes_the_same(it, log));
    for log in now.logs.iter().filter(|log| !is_read(log)) {
        let out_of_reach = |share: Share| match share {
            Share::Nothing(path) => Some(path),
            share => share.path().filter(|path| !started.covers(path)),
        };
        let missing = shares_of(log).into_iter().filter_map(out_of_reach);
        let named: Vec<String> = missing.map(|path| path.display().to_string()).collect();
        if !named.is_empty() {
            lacking.push(format!("{log} (in {})", named.join(", ")));
        }
    }
    let wanted = of(now);
    let programs = wanted.run.iter().filter(|program| !started.run.contains(program));
    lacking.extend(programs.map(|program| format!("the program {}", program.display())));
    if wanted.names && !started.names {
        lacking.push("name servers, for the host names in ignoreip".to_owned());
    }
    lacking
}

/// Of a journal, other entries are in the same files.
fn takes_the_same(one: &Spec, other: &Spec) -> bool {
    match (one, other) {
        (Spec::Journal(one), Spec::Journal(other)) => one.place == other.place,
        (one, other) => one == other,
    }
}

fn shares_of(log: &Spec) -> Vec<Share> {
    match log {
        Spec::File(path) | Spec::Member(path) | Spec::Fifo(path) => shares(path),
        Spec::Pattern(pattern) => shares(Path::new(pattern)),
        Spec::Journal(selection) => match &selection.place {
            JournalPlace::Directory(directory) => in_it(directory),
            JournalPlace::Files(pattern) => shares(pattern),
            JournalPlace::Host | JournalPlace::Namespace(_) => {
                JOURNALS.iter().flat_map(|it| in_it(Path::new(it))).collect()
            }
        },
        Spec::Stdin => Vec::new(),
    }
}

fn read_by(log: &Spec) -> Vec<PathBuf> {
    let host = matches!(log, Spec::Journal(_)).then(|| PathBuf::from(HOST));
    host.into_iter().chain(shares_of(log).into_iter().filter_map(Share::path)).collect()
}

/// A directory, or what is there of the way to one that may come.
fn in_it(directory: &Path) -> Vec<Share> {
    shares(&directory.join("any"))
}

/// What a log takes by its name, and by where that leads.
fn shares(log: &Path) -> Vec<Share> {
    let named = std::path::absolute(log).unwrap_or_else(|_| log.to_owned());
    let led = named.canonicalize().ok();
    let mut shares: Vec<Share> =
        [Some(named), led].into_iter().flatten().filter_map(|path| share(&path)).collect();
    shares.dedup();
    shares
}

fn share(log: &Path) -> Option<Share> {
    /// `/var/log` is on the way to logs; `/var` would be most of what is there to be read.
    const LEAST_DEPTH: usize = 2;
    let directory = fixed_part(log)?;
    let there = directory.ancestors().find(|it| it.is_dir())?.to_owned();
    let depth = there.components().filter(|it| matches!(it, Component::Normal(_))).count();
    Some(match (depth, there == directory) {
        (0, true) if log.is_file() => Share::File(log.to_owned()),
        (1.., true) => Share::Directory(there),
        (LEAST_DEPTH.., false) => Share::Way(there),
        _ => Share::Nothing(there),
    })
}

/// The directory that a log is in; where that is a pattern, the last one before.
fn fixed_part(log: &Path) -> Option<&Path> {
    let is_fixed = |path: &&Path| path.is_dir() || !is_pattern(&path.to_string_lossy());
    log.ancestors().skip(1).find(is_fixed)
}

#[cfg(test)]
mod tests;
