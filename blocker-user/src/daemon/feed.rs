//! One log of several: where its lines come from, what time it is there, and what is to be said
//! about it.

use std::time::{Duration, Instant};

use super::{pace::Pace, skew::Skew};
use crate::{
    source::{Position, Progress, Source, Waiter},
    store::Place,
    time::LogTime,
};

/// Whoever reads for longer than this without coming to an end says how far he is.
const TELL_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Feed {
    name: String,
    source: Source,
    skew: Skew,
    pace: Pace,
    /// What was there at the start is being read.
    backlog: Option<Backlog>,
}

struct Backlog {
    told_at: Instant,
    lines: u64,
    is_told: bool,
}

impl Feed {
    /// `place` is where an earlier daemon had got to.
    pub(super) fn new(
        name: String,
        mut source: Source,
        place: Option<Place>,
        wall: LogTime,
    ) -> Self {
        let pace = match place {
            None => Pace::Live,
            Some(Place { position, read_until }) => {
                source.resume(position);
                Pace::from(read_until, wall)
            }
        };
        let backlog = Some(Backlog { told_at: Instant::now(), lines: 0, is_told: false });
        Self { name, source, skew: Skew::default(), pace, backlog }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether what is read is what is being written.
    pub(super) fn is_live(&self) -> bool {
        self.pace.is_live()
    }

    /// How late it is in this log.
    pub(super) fn now(&self, wall: LogTime) -> LogTime {
        self.pace.now(wall)
    }

    /// What is there to be read, in bytes, as far as that can be told.
    pub(super) fn behind(&self) -> u64 {
        self.source.behind()
    }

    pub(super) fn position(&self) -> Option<Position> {
        self.source.position()
    }

    /// Reads one chunk; `each` returns the time of a line.
    pub(super) fn read(
        &mut self,
        waiter: &mut Waiter,
        now: LogTime,
        each: &mut dyn FnMut(&[u8], &mut Pace) -> Option<LogTime>,
    ) -> Progress {
        let Self { name, source, skew, pace, backlog } = self;
        let (mut shift, mut lines, mut latest) = (None, 0, None);
        let progress = source.read(waiter, &mut |line| {
            let time = each(line, pace);
            lines += 1;
            latest = time.or(latest);
            shift = shift.or_else(|| skew.line(time?, now));
        });
        skew.progress(progress);
        if let Some(shift) = shift {
            tracing::warn!(
                "new lines of {source} are dated {shift} this host's clock, and count at that \
                 time or not at all. If they are written in another time zone, start doveblock \
                 in that one (in its unit, Environment=TZ=UTC), or let the log carry offsets"
            );
        }
        pace.progress(progress);
        match backlog {
            Some(backlog) if progress == Progress::More => backlog.tell(name, lines, latest),
            Some(Backlog { is_told: true, .. }) => tracing::info!("{name} is read to its end"),
            Some(_) | None => {}
        }
        if progress != Progress::More {
            self.backlog = None;
        }
        progress
    }
}

impl Backlog {
    fn tell(&mut self, name: &str, lines: u64, latest: Option<LogTime>) {
        self.lines += lines;
        if self.told_at.elapsed() < TELL_EVERY {
            return;
        }
        self.told_at = Instant::now();
        self.is_told = true;
        let at = latest.map(|time| format!(", up to {time}")).unwrap_or_default();
        tracing::info!("reading what is in {name} already: {} lines{at}", self.lines);
    }
}
