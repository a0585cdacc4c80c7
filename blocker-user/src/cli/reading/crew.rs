//! Reads the logs one after the other and judges them: on this thread, or on several, block by
//! block. What is made of the blocks comes in the order of the lines either way, and the memory
//! in use is that of a fixed number of blocks.
//!
//! Several threads make of a log what one would. Only one kind of line depends on those
//! before it, by their times: one of an hour that DST repeats. Where a thread meets such a line
//! it leaves the rest of the block to the one that sees all blocks in their order.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Read},
    panic::resume_unwind,
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use indicatif::ProgressBar;

use super::input::Input;
use crate::source::{Block, Blocks, Fill};

/// Less than this is judged before further threads have started.
const WORTH_THREADS_BYTES: u64 = 1024 * 1024;
/// More threads would wait for their turn to read.
const MAX_THREADS: usize = 8;

/// Judges blocks, one after the other or as one of several.
pub(in crate::cli) trait Clerk: Send {
    /// What is made of a block. Pages are used again, so whoever takes one empties it.
    type Page: Default + Send;

    /// Judges `block`, whose first line has the number `first_line`. One of several leaves the
    /// rest of a block to the one who sees the blocks in order, from the first line on that only
    /// the lines before it can date.
    fn block(
        &mut self,
        block: &[u8],
        first_line: u64,
        page: &mut Self::Page,
    ) -> io::Result<Option<Rest>>;
}

/// What a clerk leaves of a block.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Rest {
    /// Where in the block it starts.
    pub(in crate::cli) start: usize,
    pub(in crate::cli) first_line: u64,
}

/// How a clerk is to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Sees {
    /// All blocks, in their order.
    All,
    /// Some of them, as one of several.
    Some,
}

pub(in crate::cli) struct Judged<C> {
    pub(in crate::cli) clerks: Vec<C>,
    /// What could not be read, each with the name of its log.
    pub(in crate::cli) troubles: Vec<String>,
}

/// One for a pipe, whose lines are to be seen as they come, and for little; else one a core.
pub(in crate::cli) fn threads_for(inputs: &[Input]) -> usize {
    match inputs.iter().map(|input| input.len).sum::<Option<u64>>() {
        Some(total) if total >= WORTH_THREADS_BYTES => {
            thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS))
        }
        _ => 1,
    }
}

/// `take` gets the pages in the order of the lines, and is told whether somebody may be waiting
/// for them. An error is one of `take`; those of the logs are among the [`Judged::troubles`].
pub(in crate::cli) fn judge<C: Clerk>(
    inputs: Vec<Input>,
    progress: &ProgressBar,
    threads: usize,
    hire: impl Fn(Sees) -> C + Sync,
    take: impl FnMut(&mut C::Page, bool) -> io::Result<()>,
) -> io::Result<Judged<C>> {
    let reading = Reading {
        inputs: inputs.into(),
        current: None,
        progress: progress.clone(),
        troubles: Vec::new(),
    };
    if threads == 1 {
        alone(reading, hire(Sees::All), take)
    } else {
        together(reading, threads, hire, take)
    }
}

type Current = (Input, Fill, Blocks<Box<dyn Read + Send>>);

/// The logs, as one row of blocks.
struct Reading {
    inputs: VecDeque<Input>,
    current: Option<Current>,
    progress: ProgressBar,
    troubles: Vec<String>,
}

impl Reading {
    /// Puts the next lines into `block`; nothing at the end of the last log.
    fn next(&mut self, block: &mut Block) -> Option<()> {
        loop {
            let (input, _, blocks) = match &mut self.current {
                Some(current) => current,
                None => {
                    let input = self.inputs.pop_front()?;
                    match input.open(&self.progress) {
                        Ok((text, fill)) => {
                            self.current.insert((input, fill, Blocks::new(text, fill)))
                        }
                        Err(error) => {
                            self.troubles.push(format!("{input} cannot be read: {error}"));
                            continue;
                        }
                    }
                }
            };
            match blocks.next(block) {
                Ok(true) => return Some(()),
                Ok(false) => self.current = None,
                Err(error) => {
                    self.troubles.push(format!(
                        "{input} is damaged or ends early ({error}): what comes before that is \
                         judged, what follows is not"
                    ));
                    self.current = None;
                }
            }
        }
    }

    /// Whether somebody may be waiting for the lines read last.
    fn is_live(&self) -> bool {
        matches!(self.current, Some((_, Fill::Soon, _)))
    }
}

fn alone<C: Clerk>(
    mut reading: Reading,
    mut clerk: C,
    mut take: impl FnMut(&mut C::Page, bool) -> io::Result<()>,
) -> io::Result<Judged<C>> {
    let (mut block, mut page, mut next_line) = (Block::default(), C::Page::default(), 1);
    while let Some(()) = reading.next(&mut block) {
        clerk.block(block.lines(), next_line, &mut page)?;
        next_line += block.count();
        take(&mut page, reading.is_live())?;
    }
    Ok(Judged { clerks: vec![clerk], troubles: reading.troubles })
}

/// A block on its way from the desk to the thread that judges it, to the one that writes, and
/// back.
#[derive(Default)]
struct Sheet<P> {
    /// Which block of the row it is.
    number: u64,
    first_line: u64,
    block: Block,
    /// What was made of it.
    page: P,
    /// What has not been judged of it.
    rest: Option<Rest>,
}

/// Where the threads get their blocks, one thread at a time. Who has read a block judges it, as
/// it is in the cache of that processor.
struct Desk<P> {
    free: mpsc::Receiver<Sheet<P>>,
    reading: Reading,
    next_number: u64,
    next_line: u64,
}

impl<P> Desk<P> {
    /// Waits for a free sheet and puts the next lines on it; nothing at the end.
    fn next(&mut self) -> Option<Sheet<P>> {
        let mut sheet = self.free.recv().ok()?;
        self.reading.next(&mut sheet.block)?;
        (sheet.number, sheet.first_line) = (self.next_number, self.next_line);
        self.next_number += 1;
        self.next_line += sheet.block.count();
        Some(sheet)
    }
}

fn together<C: Clerk>(
    reading: Reading,
    threads: usize,
    hire: impl Fn(Sees) -> C + Sync,
    take: impl FnMut(&mut C::Page, bool) -> io::Result<()>,
) -> io::Result<Judged<C>> {
    let (free, to_read) = mpsc::channel();
    let (judged, to_take) = mpsc::channel();
    for _ in 0..=2 * threads {
        // Fails only without a receiver, which is here.
        let _receiver_lives = free.send(Sheet::default());
    }
    let desk = Mutex::new(Desk { free: to_read, reading, next_number: 0, next_line: 1 });
    let clerks = thread::scope(|scope| -> io::Result<Vec<C>> {
        let working: Vec<_> = (0..threads)
            .map(|_| {
                let (desk, judged, mut clerk) = (&desk, judged.clone(), hire(Sees::Some));
                scope.spawn(move || -> io::Result<C> {
                    // Waiting for a sheet and for one's turn to wait are the same here.
                    let next = || desk.lock().unwrap_or_else(PoisonError::into_inner).next();
                    while let Some(mut sheet) = next() {
                        let Sheet { block, first_line, page, rest, .. } = &mut sheet;
                        *rest = clerk.block(block.lines(), *first_line, page)?;
                        if judged.send(sheet).is_err() {
                            break;
                        }
                    }
                    Ok(clerk)
                })
            })
            .collect();
        drop(judged);
        let taken = take_in_order(to_take, free, hire(Sees::All), take);
        let mut clerks = Vec::new();
        for clerk in working {
            clerks.push(clerk.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        clerks.push(taken?);
        Ok(clerks)
    })?;
    let Desk { reading, .. } = desk.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Judged { clerks, troubles: reading.troubles })
}

/// Hands over what the clerks made, and judges what they left. Both channels close when this
/// returns, which ends the other threads.
fn take_in_order<C: Clerk>(
    to_take: mpsc::Receiver<Sheet<C::Page>>,
    free: mpsc::Sender<Sheet<C::Page>>,
    mut clerk: C,
    mut take: impl FnMut(&mut C::Page, bool) -> io::Result<()>,
) -> io::Result<C> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    for sheet in &to_take {
        early.insert(sheet.number, sheet);
        while let Some(mut sheet) = early.remove(&next) {
            next += 1;
            let Sheet { block, page, rest, .. } = &mut sheet;
            if let Some(Rest { start, first_line }) = rest.take() {
                let left = block.lines().get(start..).unwrap_or_default();
                clerk.block(left, first_line, page)?;
            }
            take(page, false)?;
            // Nobody takes it when everything has been read.
            let _all_read = free.send(sheet);
        }
    }
    drop((to_take, free));
    Ok(clerk)
}
