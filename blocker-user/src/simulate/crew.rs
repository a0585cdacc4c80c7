//! The trials at work: each thread has some of them, and all get every step in order.

use std::{
    panic::resume_unwind,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use super::trial::{Step, Trial, Verdict};

/// So many steps travel together.
const BATCH: usize = 2048;
/// So many batches may wait for one thread.
const WAITING: usize = 2;

struct Worker {
    steps: mpsc::SyncSender<Arc<[Step]>>,
    thread: JoinHandle<Vec<(usize, Verdict)>>,
}

pub(super) struct Crew {
    workers: Vec<Worker>,
    batch: Vec<Step>,
}

impl Crew {
    pub(super) fn new(trials: Vec<Trial>, threads: usize) -> Self {
        let threads = threads.clamp(1, trials.len().max(1));
        let mut shares: Vec<Vec<(usize, Trial)>> = (0..threads).map(|_| Vec::new()).collect();
        for (number, trial) in trials.into_iter().enumerate() {
            if let Some(share) = shares.get_mut(number % threads) {
                share.push((number, trial));
            }
        }
        let workers = shares.into_iter().map(|share| {
            let (steps, to_judge) = mpsc::sync_channel(WAITING);
            Worker { steps, thread: thread::spawn(move || work(share, &to_judge)) }
        });
        Self { workers: workers.collect(), batch: Vec::with_capacity(BATCH) }
    }

    pub(super) fn step(&mut self, step: Step) {
        self.batch.push(step);
        if self.batch.len() == BATCH {
            self.send();
        }
    }

    fn send(&mut self) {
        let batch: Arc<[Step]> = self.batch.drain(..).collect();
        for worker in &self.workers {
            // A thread that is gone has panicked, which the end finds.
            let _gone = worker.steps.send(Arc::clone(&batch));
        }
    }

    /// What came of the trials, in their order.
    pub(super) fn finish(mut self) -> Vec<Verdict> {
        self.send();
        let mut verdicts = Vec::new();
        for Worker { steps, thread } in self.workers {
            drop(steps);
            verdicts.extend(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        verdicts.sort_by_key(|(number, _)| *number);
        verdicts.into_iter().map(|(_, verdict)| verdict).collect()
    }
}

fn work(
    mut trials: Vec<(usize, Trial)>,
    batches: &mpsc::Receiver<Arc<[Step]>>,
) -> Vec<(usize, Verdict)> {
    for batch in batches {
        // One trial after the other, so that its tables stay in the processor's cache.
        for (_, trial) in &mut trials {
            batch.iter().for_each(|step| trial.step(step));
        }
    }
    trials.into_iter().map(|(number, trial)| (number, trial.verdict())).collect()
}
