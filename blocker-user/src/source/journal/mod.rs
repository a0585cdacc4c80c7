//! The journal of systemd, by way of journalctl: its format is no stable interface, and the
//! library that reads it cannot be linked into a static binary.
//!
//! What was written before is read by a run of journalctl that ends, what is written from then
//! on by one that does not: thus it is known when the one is over and the other begins. Both
//! begin at the entry that was read last, and say so by giving it again: if it is not there any
//! more, others may be missing as well. (`--after-cursor` would pass over an entry in silence.)
//! The lines are those of `--output=json`, which `dovecot` knows.

mod backoff;
mod child;
mod cursor;
mod matches;
mod selection;

use std::{
    mem,
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use super::{Position, Progress, Waiter};
use backoff::Backoff;
use child::Child;

pub use matches::{MatchError, Matches};
pub(crate) use selection::PROGRAM;
pub use selection::{Place, Selection};

/// A run that lasted so long was none that failed at once.
const LONG: Duration = Duration::from_secs(60);

/// What a run of journalctl is to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Everything up to now.
    Past,
    /// What comes.
    Future,
}

enum State {
    Running(Box<Child>, Part, Instant),
    /// Not before then, if there is a then.
    Waiting(Option<Instant>),
}

pub struct Journal {
    selection: Selection,
    program: String,
    state: State,
    entries: Entries,
    backoff: Backoff,
    is_failing: bool,
    /// What journalctl has complained of since it last worked.
    said: Vec<String>,
}

/// How far it has been read.
#[derive(Default)]
struct Entries {
    /// Of the last entry that was handed over.
    cursor: Option<String>,
    /// Whether the next one must be that one.
    is_awaited: bool,
    /// Whether it is known not to be there any more.
    is_gone: bool,
}

impl Journal {
    pub(super) fn new(selection: Selection) -> Self {
        Self {
            selection,
            program: PROGRAM.to_owned(),
            state: State::Waiting(None),
            entries: Entries::default(),
            backoff: Backoff::default(),
            is_failing: false,
            said: Vec::new(),
        }
    }

    pub(super) fn selection(&self) -> &Selection {
        &self.selection
    }

    pub(super) fn resume(&mut self, position: Position) {
        match position {
            Position::Cursor(cursor) if cursor::is_cursor(&cursor) => {
                self.entries.cursor = Some(cursor);
            }
            _ => tracing::warn!(
                "{}: what is stored of how far it was read is no place in a journal, and not used",
                self.selection
            ),
        }
    }

    pub(super) fn position(&self) -> Option<Position> {
        self.entries.cursor.clone().map(Position::Cursor)
    }

    pub(super) fn read(&mut self, waiter: &mut Waiter, each: &mut dyn FnMut(&[u8])) -> Progress {
        let (child, part) = match &mut self.state {
            State::Running(child, part, _) => (child, *part),
            State::Waiting(Some(until)) if Instant::now() < *until => return Progress::Pending,
            State::Waiting(_) => {
                self.start(Part::Past, waiter);
                return Progress::Pending;
            }
        };
        let entries = &mut self.entries;
        let mut any = false;
        let progress = child.read(waiter, &mut |line| any |= entries.line(line, each));
        if any && part == Part::Future {
            self.backoff.worked();
            self.said.clear();
        }
        match progress {
            Progress::More => Progress::More,
            Progress::Ended => self.ended(part, waiter),
            Progress::Idle | Progress::Pending => {
                let complaints = child.complaints();
                self.tell(complaints);
                if part == Part::Future { Progress::Idle } else { Progress::Pending }
            }
        }
    }

    fn start(&mut self, part: Part, waiter: &mut Waiter) {
        let cursor = self.entries.begin();
        let mut command = Command::new(&self.program);
        command.args(self.selection.arguments(cursor));
        if part == Part::Future {
            command.args(["--follow", "--no-tail"]);
        }
        match Child::start(&mut command, waiter) {
            Ok(child) => self.state = State::Running(Box::new(child), part, Instant::now()),
            Err(error) => self.failed(&format!("{} cannot be started: {error}", self.program)),
        }
    }

    fn ended(&mut self, part: Part, waiter: &mut Waiter) -> Progress {
        let State::Running(child, _, since) = &mut self.state else { return Progress::Pending };
        let Some(status) = child.ended(waiter) else { return Progress::Pending };
        let complaints = child.complaints();
        if since.elapsed() > LONG {
            self.backoff.worked();
        }
        if complaints.iter().any(|complaint| complaint.contains("seek to cursor")) {
            self.entries.gone();
            self.entries.cursor = None;
        }
        self.tell(complaints);
        if part == Part::Past && status.as_ref().is_ok_and(ExitStatus::success) {
            self.entries.past_is_over();
            if mem::take(&mut self.is_failing) {
                tracing::info!("{} is read again", self.selection);
            }
            self.start(Part::Future, waiter);
        } else {
            let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            self.failed(&format!("{} ended ({how})", self.program));
        }
        Progress::Pending
    }

    /// Each thing once, however often a new run says it again.
    fn tell(&mut self, complaints: Vec<String>) {
        for complaint in complaints {
            if !self.said.contains(&complaint) {
                tracing::warn!("{}: {} says: {complaint}", self.selection, self.program);
                self.said.push(complaint);
            }
        }
    }

    fn failed(&mut self, what: &str) {
        let wait = self.backoff.failed();
        self.state = State::Waiting(Some(Instant::now() + wait));
        let selection = &self.selection;
        if mem::replace(&mut self.is_failing, true) {
            tracing::debug!("{selection} cannot be read: {what}; again in {wait:?}");
        } else {
            tracing::warn!(
                "{selection} cannot be read: {what}; again in {wait:?}, then less and less often"
            );
        }
    }
}

impl Entries {
    /// Where the next run is to begin.
    fn begin(&mut self) -> Option<&str> {
        self.is_awaited = self.cursor.is_some() && !self.is_gone;
        self.cursor.as_deref()
    }

    /// Hands on what is new; whether it was.
    fn line(&mut self, line: &[u8], each: &mut dyn FnMut(&[u8])) -> bool {
        // What is no entry is for people: `-- No entries --`.
        let Some(cursor) = cursor::of(line) else { return false };
        if mem::take(&mut self.is_awaited) {
            if self.cursor.as_deref().is_some_and(|known| cursor::is_same(known, cursor)) {
                return false;
            }
            self.gone();
        }
        each(line);
        self.is_gone = false;
        let last = self.cursor.get_or_insert_default();
        last.clear();
        last.push_str(cursor);
        true
    }

    /// Whatever was awaited would have come by now.
    fn past_is_over(&mut self) {
        if mem::take(&mut self.is_awaited) {
            self.gone();
        }
    }

    fn gone(&mut self) {
        self.is_gone = true;
        tracing::warn!(
            "the entry of the journal that was read last is not there any more, because the \
             journal was rotated or another is asked for: going on with the oldest there is \
             behind it, and what is missing in between has not been read"
        );
    }
}

#[cfg(test)]
mod tests;
