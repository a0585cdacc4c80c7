//! Bytes in, lines out. A source never blocks: the pipeline waits in [`Waiter::wait`] until
//! one of them may have something to read.

mod archive;
mod blocks;
mod lines;
mod position;
mod rotation;
mod stdin;
mod tail;
mod watch;

use std::path::PathBuf;

use stdin::Stdin;
use tail::Tail;

pub(crate) use archive::{Archive, unpacked};
pub(crate) use blocks::{Block, Blocks, Fill};
pub(crate) use lines::LineBuffer;
pub use position::{FilePosition, Fingerprint, Position};
pub(crate) use rotation::{in_order, rotated};
pub use watch::{Waiter, Waker};

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    File(PathBuf),
    Stdin,
}

impl std::fmt::Display for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdin => f.write_str("standard input"),
        }
    }
}

/// What a source did when it was asked to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Read something; there may be more at once.
    More,
    /// Nothing more for now.
    Idle,
    /// Nothing more ever.
    Ended,
}

/// A log being read.
pub enum Source {
    File(Box<Tail>),
    Stdin(Stdin),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(tail) => tail.path().display().fmt(f),
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
            Spec::Stdin => Self::Stdin(Stdin::default()),
        }
    }

    /// Goes on where an earlier life of this process had read to. A position that is not of this
    /// kind of source is none.
    pub fn resume(&mut self, position: Position) {
        match self {
            Self::File(tail) => tail.resume(position),
            Self::Stdin(_) => {}
        }
    }

    /// Behind the last whole line that was handed over; `None` where nothing can be read twice.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::File(tail) => tail.position(),
            Self::Stdin(_) => None,
        }
    }

    /// How many bytes are there that have not been read, as far as that can be told.
    #[must_use]
    pub fn behind(&self) -> u64 {
        match self {
            Self::File(tail) => tail.behind(),
            Self::Stdin(_) => 0,
        }
    }

    /// Reads one chunk and hands its complete lines, without their ends, to `each`.
    /// What cannot be read is said in the log and tried again, where that can help.
    pub fn read(&mut self, waiter: &mut Waiter, each: &mut dyn FnMut(&[u8])) -> Progress {
        match self {
            Self::File(tail) => tail.read(waiter, each),
            Self::Stdin(stdin) => stdin.read(waiter, each),
        }
    }
}
