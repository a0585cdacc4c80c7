//! Reads the logs one after the other and judges them: on this thread, or on several, block by
//! block. What is printed comes in the order of the lines either way, and the memory in use is
//! that of a fixed number of blocks.
//!
//! Several threads print and count what one would. Only one kind of line depends on those
//! before it, by their times: one of an hour that DST repeats. Where a thread meets such a line
//! it leaves the rest of the block to the one that sees all blocks in their order.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Read, Write},
    panic::resume_unwind,
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use indicatif::ProgressBar;

use super::{
    input::Input,
    lines::{Clerk, Rest, Task},
    tally::Tally,
};
use crate::source::{Block, Blocks, Fill};

/// Less than this is judged before further threads have started.
const WORTH_THREADS_BYTES: u64 = 1024 * 1024;
/// More threads would wait for their turn to read.
const MAX_THREADS: usize = 8;

pub(super) struct Judged {
    pub(super) tally: Tally,
    /// What could not be read, each with the name of its log.
    pub(super) troubles: Vec<String>,
}

/// One for a pipe, whose lines are to be seen as they come, and for little; else one a core.
pub(super) fn threads_for(inputs: &[Input]) -> usize {
    match inputs.iter().map(|input| input.len).sum::<Option<u64>>() {
        Some(total) if total >= WORTH_THREADS_BYTES => {
            thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS))
        }
        _ => 1,
    }
}

/// An error is one of `out`; those of the logs are among the [`Judged::troubles`].
pub(super) fn judge(
    inputs: Vec<Input>,
    progress: &ProgressBar,
    task: &Task,
    threads: usize,
    out: &mut impl Write,
) -> io::Result<Judged> {
    let reading = Reading {
        inputs: inputs.into(),
        current: None,
        progress: progress.clone(),
        troubles: Vec::new(),
    };
    if threads == 1 { alone(reading, task, out) } else { together(reading, task, threads, out) }
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

fn alone(mut reading: Reading, task: &Task, out: &mut impl Write) -> io::Result<Judged> {
    let mut clerk = Clerk::new(task);
    let (mut block, mut text) = (Block::default(), Vec::new());
    while let Some(()) = reading.next(&mut block) {
        let first_line = clerk.tally.lines + 1;
        clerk.block(block.lines(), first_line, &mut text)?;
        out.write_all(&text)?;
        text.clear();
        if reading.is_live() {
            out.flush()?;
        }
    }
    Ok(Judged { tally: clerk.tally, troubles: reading.troubles })
}

/// A block on its way from the desk to the thread that judges it, to the one that writes, and
/// back.
#[derive(Default)]
struct Sheet {
    /// Which block of the row it is.
    number: u64,
    first_line: u64,
    block: Block,
    /// What is to be printed of it.
    text: Vec<u8>,
    /// What has not been judged of it.
    rest: Option<Rest>,
}

/// Where the threads get their blocks, one thread at a time. Who has read a block judges it, as
/// it is in the cache of that processor.
struct Desk {
    free: mpsc::Receiver<Sheet>,
    reading: Reading,
    next_number: u64,
    next_line: u64,
}

impl Desk {
    /// Waits for a free sheet and puts the next lines on it; nothing at the end.
    fn next(&mut self) -> Option<Sheet> {
        let mut sheet = self.free.recv().ok()?;
        self.reading.next(&mut sheet.block)?;
        (sheet.number, sheet.first_line) = (self.next_number, self.next_line);
        self.next_number += 1;
        self.next_line += sheet.block.count();
        Some(sheet)
    }
}

fn together(
    reading: Reading,
    task: &Task,
    threads: usize,
    out: &mut impl Write,
) -> io::Result<Judged> {
    let (free, to_read) = mpsc::channel();
    let (judged, to_write) = mpsc::channel();
    for _ in 0..=2 * threads {
        // Fails only without a receiver, which is here.
        let _receiver_lives = free.send(Sheet::default());
    }
    let desk = Mutex::new(Desk { free: to_read, reading, next_number: 0, next_line: 1 });
    let tally = thread::scope(|scope| -> io::Result<Tally> {
        let clerks: Vec<_> = (0..threads)
            .map(|_| {
                let (desk, judged) = (&desk, judged.clone());
                scope.spawn(move || -> io::Result<Tally> {
                    let mut clerk = Clerk::new(task).out_of_order();
                    // Waiting for a sheet and for one's turn to wait are the same here.
                    let next = || desk.lock().unwrap_or_else(PoisonError::into_inner).next();
                    while let Some(mut sheet) = next() {
                        let Sheet { block, first_line, text, rest, .. } = &mut sheet;
                        *rest = clerk.block(block.lines(), *first_line, text)?;
                        if judged.send(sheet).is_err() {
                            break;
                        }
                    }
                    Ok(clerk.tally)
                })
            })
            .collect();
        drop(judged);
        let written = write_in_order(to_write, free, task, out);
        let mut tally = Tally::default();
        for clerk in clerks {
            tally.merge(clerk.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        tally.merge(written?);
        Ok(tally)
    })?;
    let Desk { reading, .. } = desk.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Judged { tally, troubles: reading.troubles })
}

/// Writes what the clerks printed, and judges what they left. Both channels close when this
/// returns, which ends the other threads.
fn write_in_order(
    to_write: mpsc::Receiver<Sheet>,
    free: mpsc::Sender<Sheet>,
    task: &Task,
    out: &mut impl Write,
) -> io::Result<Tally> {
    let mut clerk = Clerk::new(task);
    let mut early = BTreeMap::new();
    let mut next = 0;
    for sheet in &to_write {
        early.insert(sheet.number, sheet);
        while let Some(mut sheet) = early.remove(&next) {
            next += 1;
            let Sheet { block, text, rest, .. } = &mut sheet;
            if let Some(Rest { start, first_line }) = rest.take() {
                let left = block.lines().get(start..).unwrap_or_default();
                clerk.block(left, first_line, text)?;
            }
            out.write_all(text)?;
            text.clear();
            // Nobody takes it when everything has been read.
            let _all_read = free.send(sheet);
        }
    }
    drop((to_write, free));
    Ok(clerk.tally)
}

#[cfg(test)]
mod tests;
