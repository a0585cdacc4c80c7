//! Bytes in, lines out. A source never blocks: the pipeline waits in [`Waiter::wait`] until
//! one of them may have something to read.

mod archive;
mod ask;
mod blocks;
mod choice;
mod fifo;
mod filesystem;
mod journal;
mod lines;
mod pattern;
mod pipe;
mod position;
mod rotation;
mod stdin;
mod tail;
mod watch;

use std::path::{Path, PathBuf};

use fifo::Fifo;
use journal::Journal;
use pattern::{Member, Pattern};
use stdin::Stdin;
use tail::{FileId, Tail};

pub(crate) use archive::{Archive, unpacked};
pub(crate) use ask::ask;
pub(crate) use blocks::{Block, Blocks, Fill};
pub(crate) use choice::{Choice, Host, Log as ChosenLog};
pub(crate) use journal::PROGRAM as JOURNALCTL;
pub use journal::{MatchError, Matches, Place as JournalPlace, Selection};
pub(crate) use lines::LineBuffer;
pub(crate) use pattern::{found, is_pattern, logs as logs_of_pattern};
pub use position::{FilePosition, Fingerprint, Position};
pub(crate) use rotation::{by_log, in_order, rotated};
pub use watch::{Waiter, Waker};

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    File(PathBuf),
    /// A file that a pattern leads to.
    Member(PathBuf),
    /// Files that are not there yet, or not under that name: `*`, `?` and `[…]`.
    Pattern(String),
    Fifo(PathBuf),
    Journal(Selection),
    Stdin,
}

impl std::fmt::Display for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) | Self::Member(path) | Self::Fifo(path) => path.display().fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
            Self::Journal(selection) => selection.fmt(f),
            Self::Stdin => f.write_str("standard input"),
        }
    }
}

/// What a source did when it was asked to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Read something; there may be more at once.
    More,
    /// Nothing more for now: everything there was has been read.
    Idle,
    /// Nothing for now, but what was there before has not all been read.
    Pending,
    /// Nothing more ever.
    Ended,
}

/// A log being read.
pub enum Source {
    File(Box<Tail>),
    Member(Member),
    Pattern(Pattern),
    Fifo(Fifo),
    Journal(Box<Journal>),
    Stdin(Stdin),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(tail) => tail.path().display().fmt(f),
            Self::Member(member) => member.path().display().fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
            Self::Fifo(fifo) => fifo.path().display().fmt(f),
            Self::Journal(journal) => journal.selection().fmt(f),
            Self::Stdin(_) => Spec::Stdin.fmt(f),
        }
    }
}

impl Source {
    /// Starts at the beginning of what is there: lines older than findtime cost next to
    /// nothing, and earlier logins are worth knowing.
    #[must_use]
    pub fn new(spec: &Spec) -> Self {
        match spec {
            Spec::File(path) => Self::File(Box::new(Tail::new(path.clone()))),
            Spec::Member(path) => Self::Member(Member::new(path.clone())),
            Spec::Pattern(pattern) => Self::Pattern(Pattern::new(pattern)),
            Spec::Fifo(path) => Self::Fifo(Fifo::new(path.clone())),
            Spec::Journal(selection) => Self::Journal(Box::new(Journal::new(selection.clone()))),
            Spec::Stdin => Self::Stdin(Stdin::default()),
        }
    }

    /// The same as `spec` has it by now. A log that has been found by a pattern ends when it goes,
    /// and one that is named does not.
    #[must_use]
    pub(crate) fn named_by(self, spec: &Spec) -> Self {
        match (self, spec) {
            (Self::Member(member), Spec::File(_)) => Self::File(member.into_tail()),
            (source, _) => source,
        }
    }

    /// Goes on where an earlier life of this process had read to. A position that is not of this
    /// kind of source is none.
    pub fn resume(&mut self, position: Position) {
        match self {
            Self::File(tail) => tail.resume(position),
            Self::Member(member) => member.resume(position),
            Self::Journal(journal) => journal.resume(position),
            Self::Pattern(_) | Self::Fifo(_) | Self::Stdin(_) => {}
        }
    }

    /// Behind the last whole line that was handed over; `None` where nothing can be read twice.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::File(tail) => tail.position(),
            Self::Member(member) => member.tail().position(),
            Self::Journal(journal) => journal.position(),
            Self::Pattern(_) | Self::Fifo(_) | Self::Stdin(_) => None,
        }
    }

    /// Whether it reads what is called `path`.
    fn is_at(&self, path: &Path) -> bool {
        self.tail().is_some_and(|tail| tail.path() == path)
    }

    /// Whether it reads this file, whatever that is called.
    fn holds(&self, id: FileId) -> bool {
        self.tail().is_some_and(|tail| tail.holds(id))
    }

    fn tail(&self) -> Option<&Tail> {
        match self {
            Self::File(tail) => Some(tail),
            Self::Member(member) => Some(member.tail()),
            Self::Pattern(_) | Self::Fifo(_) | Self::Journal(_) | Self::Stdin(_) => None,
        }
    }

    /// How many bytes are there that have not been read, as far as that can be told.
    #[must_use]
    pub fn behind(&self) -> u64 {
        match self {
            Self::File(tail) => tail.behind(),
            Self::Member(member) => member.tail().behind(),
            Self::Pattern(_) | Self::Fifo(_) | Self::Journal(_) | Self::Stdin(_) => 0,
        }
    }

    /// Reads one chunk and hands its complete lines, without their ends, to `each`.
    /// What cannot be read is said in the log and tried again, where that can help.
    pub fn read(&mut self, waiter: &mut Waiter, each: &mut dyn FnMut(&[u8])) -> Progress {
        match self {
            Self::File(tail) => tail.read(waiter, each),
            Self::Member(member) => member.read(waiter, each),
            Self::Pattern(pattern) => pattern.look(waiter),
            Self::Fifo(fifo) => fifo.read(waiter, each),
            Self::Journal(journal) => journal.read(waiter, each),
            Self::Stdin(stdin) => stdin.read(waiter, each),
        }
    }
}
