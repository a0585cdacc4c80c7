//! Logs by a pattern of their names: those that are there, and those that come.
//!
//! A file is read under one name only, and what `logrotate` has put aside is not read at all:
//! it was read while it had the log's name, and read again it would count twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use glob::{MatchOptions, PatternError, glob_with};

use super::{
    Position, Progress, Source, Waiter,
    rotation::log_of,
    tail::{FileId, Tail},
};

/// More files than that are no logs of one Dovecot.
const MOST_FILES: usize = 256;
/// How often it is looked for names that inotify does not tell of.
const LOOK: Duration = Duration::from_secs(1);
/// How long a file that has lost its name is read on, after its last line.
const LINGER: Duration = Duration::from_secs(60);

pub struct Pattern {
    text: String,
    /// When it was last looked for names, and after how many had come.
    looked: Option<(Instant, u64)>,
    candidates: Vec<(PathBuf, FileId)>,
    /// Files that were read under another name before.
    known: BTreeMap<PathBuf, FileId>,
    /// What was said: each thing once.
    said: BTreeSet<String>,
}

/// Whether `word` is a pattern, and no path.
pub(crate) fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?', '['])
}

/// The logs that `pattern` leads to now.
pub(crate) fn logs(pattern: &str) -> Result<Vec<PathBuf>, PatternError> {
    // As Python's glob has it, and so fail2ban.
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let found = glob_with(pattern, options)?.filter_map(Result::ok);
    // A FIFO or a directory that happens to be called like that is not meant.
    let files = found.filter(|path| fs::metadata(path).is_ok_and(|found| found.is_file()));
    Ok(files.filter(|path| !is_put_aside(path)).take(MOST_FILES).collect())
}

/// Whether its name is that of an older part of a log.
fn is_put_aside(path: &Path) -> bool {
    match log_of(path) {
        None => false,
        // Logs that have the date in their names from the start have no one without it.
        Some(log) => log.packed || log.path.exists(),
    }
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            looked: None,
            candidates: Vec::new(),
            known: BTreeMap::new(),
            said: BTreeSet::new(),
        }
    }

    /// Looks for files from time to time. What it finds is for [`found`].
    pub(super) fn look(&mut self, waiter: &mut Waiter) -> Progress {
        if self.looked.is_some_and(|(at, names)| names == waiter.names() && at.elapsed() < LOOK) {
            return Progress::Idle;
        }
        // Watched before they are read, so that nothing falls between.
        waiter.watch_dir(&self.fixed_part());
        let paths = logs(&self.text).unwrap_or_default();
        for parent in paths.iter().filter_map(|path| path.parent()).collect::<BTreeSet<_>>() {
            waiter.watch_dir(parent);
        }
        self.looked = Some((Instant::now(), waiter.names()));
        if paths.is_empty() {
            self.say(format!("no log is called {}: waiting for one", self.text));
        } else if paths.len() >= MOST_FILES {
            self.say(format!(
                "{} leads to more than {MOST_FILES} logs, the others are not read",
                self.text
            ));
        }
        let with_id = |path: PathBuf| FileId::at(&path).ok().map(|id| (path, id));
        self.candidates = paths
            .into_iter()
            .filter_map(with_id)
            .filter(|(path, id)| self.known.get(path) != Some(id))
            .collect();
        Progress::Idle
    }

    /// The directories before the first that is a pattern itself.
    fn fixed_part(&self) -> PathBuf {
        let parts = Path::new(&self.text).components();
        let fixed = parts.take_while(|part| !is_pattern(&part.as_os_str().to_string_lossy()));
        let fixed: PathBuf = fixed.collect();
        if fixed.as_os_str().is_empty() { ".".into() } else { fixed }
    }

    fn say(&mut self, what: String) {
        if !self.said.contains(&what) {
            tracing::info!("{what}");
            self.said.insert(what);
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// The logs that patterns among `sources` have found and nobody reads yet.
pub(crate) fn found(sources: &mut [&mut Source]) -> Vec<Source> {
    let candidates = |source: &mut &mut Source| match source {
        Source::Pattern(pattern) => std::mem::take(&mut pattern.candidates),
        _ => Vec::new(),
    };
    let candidates: Vec<_> = sources.iter_mut().flat_map(candidates).collect();
    let mut new: Vec<Member> = Vec::new();
    for (path, id) in candidates {
        if sources.iter().any(|source| source.is_at(&path))
            || new.iter().any(|it| it.path() == path)
        {
            continue;
        }
        if sources.iter().any(|source| source.holds(id)) {
            for source in sources.iter_mut() {
                if let Source::Pattern(pattern) = source {
                    pattern.known.insert(path.clone(), id);
                }
            }
            continue;
        }
        tracing::info!("{} is there now: reading it", path.display());
        new.push(Member::new(path));
    }
    new.into_iter().map(Source::Member).collect()
}

/// A log that a pattern has found. It is not waited for when it goes: the pattern will find it.
pub struct Member {
    tail: Box<Tail>,
    heard: Instant,
}

impl Member {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { tail: Box::new(Tail::new(path)), heard: Instant::now() }
    }

    pub(super) fn path(&self) -> &Path {
        self.tail.path()
    }

    /// It is named now, and so waited for.
    pub(super) fn into_tail(self) -> Box<Tail> {
        self.tail
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    pub(super) fn resume(&mut self, position: Position) {
        self.tail.resume(position);
    }

    pub(super) fn read(&mut self, waiter: &mut Waiter, each: &mut dyn FnMut(&[u8])) -> Progress {
        let progress = self.tail.read(waiter, each);
        if progress == Progress::More {
            self.heard = Instant::now();
        } else if self.heard.elapsed() > LINGER && !self.path().exists() {
            tracing::info!("{} is gone for good", self.path().display());
            return Progress::Ended;
        }
        progress
    }
}

#[cfg(test)]
mod tests;
