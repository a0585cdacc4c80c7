//! From logs to a replay: several threads judge one log, and several logs are merged by time.

use std::{io, panic::resume_unwind, sync::mpsc, thread, time::Duration};

use indicatif::ProgressBar;

use crate::{
    cli::reading::{self, Clerk, Input, Rest, Sees},
    dovecot::{self, Event, Judge, Mode},
    simulate::{Entry, Reading, Replay},
    time::LogTime,
};

/// Names longer than that are no user's.
const LONGEST_NAME: usize = 128;
/// A host whose clock is ahead by less is an ordinary host.
const SKEW: Duration = Duration::from_secs(3600);
/// So many pages of a log wait for those of others that are older.
const WAITING: usize = 4;

/// Who judges the lines.
pub(super) struct Judges {
    /// By the rules of both modes: each trial leaves out what is not its own.
    pub(super) judge: Judge,
    /// Where there are patterns of the admin's: they count lines that the rules of normal mode
    /// leave to them, and those of aggressive mode do not.
    pub(super) normal: Option<Judge>,
}

impl Judges {
    fn out_of_order(self) -> Self {
        let Self { judge, normal } = self;
        Self { judge: judge.out_of_order(), normal: normal.map(Judge::out_of_order) }
    }
}

/// One log: its files in the order of time.
pub(super) type Family = Vec<Input>;

/// Hands every event of the logs to `replay`. Returns what was read, and what could not be.
pub(super) fn read(
    mut logs: Vec<Family>,
    threads: usize,
    progress: &ProgressBar,
    wall: LogTime,
    judge: impl Fn() -> Judges + Sync,
    replay: &mut Replay,
) -> (Reading, Vec<String>) {
    let names = logs.iter().flatten().map(ToString::to_string).collect();
    let (counts, troubles) = match logs.pop() {
        Some(only) if logs.is_empty() => {
            let mut clock = Clock::new(wall);
            of_one(only, threads, progress, wall, &judge, |page| {
                clock.over(page).for_each(|entry| replay.entry(&entry));
                true
            })
        }
        last => {
            logs.extend(last);
            of_several(logs, progress, wall, &judge, replay)
        }
    };
    let Counts { lines, undated, future, period } = counts;
    (Reading { logs: names, lines, undated, future, period }, troubles)
}

/// `take` says whether there is anybody who wants more.
fn of_one(
    log: Family,
    threads: usize,
    progress: &ProgressBar,
    wall: LogTime,
    judge: &(impl Fn() -> Judges + Sync),
    mut take: impl FnMut(&mut Page) -> bool,
) -> (Counts, Vec<String>) {
    let hire = |sees| {
        let judges = if sees == Sees::Some { judge().out_of_order() } else { judge() };
        Reader { judges, wall, counts: Counts::default() }
    };
    let judged = reading::judge(log, progress, threads, hire, |page, _| {
        if take(page) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    });
    match judged {
        Ok(judged) => {
            let mut counts = Counts::default();
            judged.clerks.into_iter().for_each(|clerk| counts.merge(&clerk.counts));
            (counts, judged.troubles)
        }
        // Of `take` alone, whose reader is gone.
        Err(error) => (Counts::default(), vec![error.to_string()]),
    }
}

fn of_several(
    logs: Vec<Family>,
    progress: &ProgressBar,
    wall: LogTime,
    judge: &(impl Fn() -> Judges + Sync),
    replay: &mut Replay,
) -> (Counts, Vec<String>) {
    thread::scope(|scope| {
        let mut streams = Vec::new();
        let mut threads = Vec::new();
        for log in logs {
            let (sender, pages) = mpsc::sync_channel::<Page>(WAITING);
            threads.push(scope.spawn(move || {
                of_one(log, 1, progress, wall, judge, |page| {
                    page.found.is_empty() || sender.send(std::mem::take(page)).is_ok()
                })
            }));
            streams.push(Stream::new(pages, wall));
        }
        merge(streams, replay);
        let (mut counts, mut troubles) = (Counts::default(), Vec::new());
        for thread in threads {
            let (more, faults) = thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            counts.merge(&more);
            troubles.extend(faults);
        }
        (counts, troubles)
    })
}

/// The entries of one log, as they come.
struct Stream {
    pages: mpsc::Receiver<Page>,
    clock: Clock,
    waiting: std::collections::VecDeque<Entry>,
}

impl Stream {
    fn new(pages: mpsc::Receiver<Page>, wall: LogTime) -> Self {
        Self { pages, clock: Clock::new(wall), waiting: std::collections::VecDeque::new() }
    }

    /// When its next entry was read; nothing at its end.
    fn next_time(&mut self) -> Option<LogTime> {
        while self.waiting.is_empty() {
            let mut page = self.pages.recv().ok()?;
            self.waiting.extend(self.clock.over(&mut page));
        }
        self.waiting.front().map(|entry| entry.now)
    }
}

fn merge(mut streams: Vec<Stream>, replay: &mut Replay) {
    loop {
        let times = streams.iter_mut().enumerate();
        let times = times.filter_map(|(number, stream)| Some((stream.next_time()?, number)));
        let Some((_, first)) = times.min() else { return };
        let entry = streams.get_mut(first).and_then(|stream| stream.waiting.pop_front());
        if let Some(entry) = entry {
            replay.entry(&entry);
        }
    }
}

/// Tells when lines were read: time never goes back.
struct Clock {
    now: LogTime,
    wall: LogTime,
}

impl Clock {
    fn new(wall: LogTime) -> Self {
        Self { now: LogTime::EPOCH, wall }
    }

    /// Empties `page`.
    fn over<'p>(&mut self, page: &'p mut Page) -> impl Iterator<Item = Entry> + use<'p> {
        let (start, wall) = (self.now, self.wall);
        let at = move |latest: Option<LogTime>| latest.map_or(start, |at| at.min(wall).max(start));
        self.now = at(page.latest.take());
        page.found.drain(..).map(move |found| Entry {
            now: at(found.latest),
            at: found.at,
            event: found.event,
            user: found.user,
            is_normal_only: found.is_normal_only,
        })
    }
}

/// What the lines of a block say.
#[derive(Default)]
struct Page {
    found: Vec<Found>,
    /// The latest time in it.
    latest: Option<LogTime>,
}

struct Found {
    /// The latest time in the block up to here.
    latest: Option<LogTime>,
    at: Option<LogTime>,
    event: Event,
    user: Option<Box<str>>,
    is_normal_only: bool,
}

struct Reader {
    judges: Judges,
    wall: LogTime,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    lines: u64,
    undated: u64,
    future: u64,
    period: Option<(LogTime, LogTime)>,
}

impl Counts {
    fn extend(&mut self, first: LogTime, last: LogTime) {
        let (before, after) = self.period.unwrap_or((first, last));
        self.period = Some((before.min(first), after.max(last)));
    }

    fn merge(&mut self, other: &Self) {
        self.lines += other.lines;
        self.undated += other.undated;
        self.future += other.future;
        if let Some((first, last)) = other.period {
            self.extend(first, last);
        }
    }
}

impl Clerk for Reader {
    type Page = Page;

    fn block(
        &mut self,
        block: &[u8],
        first_line: u64,
        page: &mut Page,
    ) -> io::Result<Option<Rest>> {
        let Self { judges: Judges { judge, normal }, wall, counts } = self;
        let mut lines = 0;
        let start = judge.each_line(block, *wall, |line, judgement| {
            lines += 1;
            match judgement.time {
                // Whoever wrote it has a wrong clock, and is not to make all others late.
                Some(at) if at > wall.after(SKEW) => counts.future += 1,
                Some(at) => {
                    counts.extend(at, at);
                    page.latest = page.latest.max(Some(at));
                }
                None => counts.undated += 1,
            }
            if let Some(event) = judgement.event {
                let user = matches!(event, Event::Login(_)).then(|| user(line)).flatten();
                let found = |event, user, is_normal_only| {
                    let (latest, at) = (page.latest, judgement.time);
                    Found { latest, at, event, user, is_normal_only }
                };
                let is_probe = matches!(event, Event::Failure(it) if it.rule.mode > Mode::Normal);
                let of_normal = normal.as_mut().filter(|_| is_probe);
                let of_normal = of_normal.and_then(|judge| judge.judge(line, *wall).event);
                let events = [found(event, user, false)].into_iter();
                page.found.extend(events.chain(of_normal.map(|event| found(event, None, true))));
            }
            Ok::<_, io::Error>(())
        })?;
        counts.lines += lines;
        Ok((start < block.len()).then_some(Rest { start, first_line: first_line + lines }))
    }
}

/// As Dovecot's lines name one: without regard to case.
fn user(line: &[u8]) -> Option<Box<str>> {
    let name = dovecot::login_user(line)?;
    let name = String::from_utf8_lossy(name.get(..LONGEST_NAME).unwrap_or(name)).to_lowercase();
    Some(name.into_boxed_str())
}
