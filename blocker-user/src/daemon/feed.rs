//! One log of several: where its lines come from, what time it is there, and what is to be said
//! about it.

use std::time::{Duration, Instant};

use super::{pace::Pace, skew::Skew};
use crate::{
    source::{Position, Progress, Source, Spec, Waiter},
    store::Place,
    time::LogTime,
};

/// Whoever reads for longer than this without coming to an end says how far he is.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Lines of this age are not what was written just now.
const BEHIND: Duration = Duration::from_secs(60);

pub(super) struct Feed {
    name: String,
    source: Source,
    skew: Skew,
    pace: Pace,
    /// More is there than was read yet.
    backlog: Option<Backlog>,
    /// How old that is.
    lag: Duration,
    /// When the last line was written that was read, where more can be read at once.
    reached: Option<LogTime>,
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
        Self {
            name,
            source,
            skew: Skew::default(),
            pace,
            backlog: None,
            lag: Duration::ZERO,
            reached: None,
        }
    }

    /// It is read on where it is, and is what `spec` says.
    pub(super) fn named_by(self, spec: &Spec) -> Self {
        Self { source: self.source.named_by(spec), ..self }
    }

    pub(super) fn source(&mut self) -> &mut Source {
        &mut self.source
    }

    /// How old the lines are that are being read; zero where all have been.
    pub(super) fn lag(&self) -> Duration {
        self.lag
    }

    /// Up to when it has been read, while that is long ago and more is there.
    pub(super) fn old(&self) -> Option<LogTime> {
        self.reached.filter(|_| self.lag > BEHIND)
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
        let Self { name, source, skew, pace, backlog, lag, reached } = self;
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
        *reached = latest.or(*reached).filter(|_| progress == Progress::More);
        match progress {
            Progress::More => {
                *lag = latest.map_or(*lag, |latest| now.since(latest));
                let backlog = backlog.get_or_insert_with(Backlog::new);
                backlog.lines += lines;
                if *lag > BEHIND || latest.is_none() {
                    backlog.tell(name, latest);
                }
            }
            Progress::Pending => {}
            Progress::Idle | Progress::Ended => {
                *lag = Duration::ZERO;
                if backlog.take().is_some_and(|backlog| backlog.is_told) {
                    tracing::info!("{name} is read to its end");
                }
            }
        }
        progress
    }
}

impl Backlog {
    fn new() -> Self {
        Self { told_at: Instant::now(), lines: 0, is_told: false }
    }

    fn tell(&mut self, name: &str, latest: Option<LogTime>) {
        if self.told_at.elapsed() < TELL_EVERY {
            return;
        }
        self.told_at = Instant::now();
        self.is_told = true;
        let at = latest.map(|time| format!(", up to {time}")).unwrap_or_default();
        tracing::info!("reading what is in {name} already: {} lines{at}", self.lines);
    }
}
