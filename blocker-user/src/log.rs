//! The daemon's own log: one event a line on standard error.
//!
//! A thread of its own writes it. Whoever reads it may stall (a journal that hangs, a pipe
//! that nobody empties), and that must not hold up a ban: what does not fit the queue is
//! dropped, counted, and told of as soon as somebody reads again.

use std::{
    env,
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::fs::fstat;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Lines that wait to be written.
const QUEUE: usize = 4096;
/// How long the end of the program waits for its last lines to be read.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

enum Entry {
    Line(Vec<u8>),
    Flush(Sender<()>),
    Task(Box<dyn FnOnce() + Send>),
}

/// The way into the log. Clones share it.
#[derive(Clone)]
pub struct Log {
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Log {
    /// Makes standard error the log of this process, for good.
    pub fn start(verbose: bool) -> io::Result<Self> {
        // The trace of the kernel program is written at debug level, and only where asked for.
        const KERNEL_PROGRAM: &str = "doveblock_ebpf";
        let log = Self::to(io::stderr())?;
        let level = if verbose { LevelFilter::DEBUG } else { LevelFilter::INFO };
        let filter =
            Targets::new().with_default(level).with_target(KERNEL_PROGRAM, LevelFilter::DEBUG);
        let writer = log.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_target(false)
            .with_ansi(io::stderr().is_terminal());
        let layer =
            if goes_to_the_journal() { layer.without_time().boxed() } else { layer.boxed() };
        tracing_subscriber::registry().with(filter).with(layer).init();
        Ok(log)
    }

    fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, entries) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        let thread = thread::Builder::new().name("log".to_owned());
        thread.spawn(move || write_all(out, &entries, &counted))?;
        Ok(Self { queue, dropped })
    }

    /// Has the log's thread do something that every thread has to do for itself.
    pub fn on_its_thread(&self, task: impl FnOnce() + Send + 'static) {
        // It fails only where that thread has ended.
        let _ended = self.queue.send(Entry::Task(Box::new(task)));
    }

    /// Waits until everything is written, but not for ever.
    pub fn flush(&self) {
        let end = Instant::now() + FLUSH_LIMIT;
        let (done, written) = channel();
        let mut entry = Entry::Flush(done);
        loop {
            match self.queue.try_send(entry) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) if Instant::now() < end => entry = back,
                Err(_) => return,
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _late = written.recv_timeout(end.saturating_duration_since(Instant::now()));
    }
}

/// The journal notes the time of every line itself. systemd says what it has made of standard
/// error, by device and inode; the variable alone may be somebody else's.
fn goes_to_the_journal() -> bool {
    let stream = env::var("JOURNAL_STREAM").unwrap_or_default();
    fstat(io::stderr()).is_ok_and(|it| stream == format!("{}:{}", it.st_dev, it.st_ino))
}

/// The subscriber hands over whole lines.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Entry::Line(line.to_owned())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(mut out: impl Write, entries: &Receiver<Entry>, dropped: &AtomicU64) {
    for entry in entries {
        match entry {
            Entry::Line(line) => {
                if out.write_all(&line).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let lines = dropped.swap(0, Ordering::Relaxed);
                if lines > 0
                    && writeln!(out, "{lines} lines of this log are lost: nobody read it in time")
                        .is_err()
                {
                    dropped.fetch_add(lines, Ordering::Relaxed);
                }
            }
            Entry::Flush(done) => {
                let _gone = done.send(());
            }
            Entry::Task(task) => task(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, BufRead as _, BufReader, Write as _},
        sync::mpsc::channel,
    };

    use super::{Log, QUEUE};

    #[test]
    fn a_reader_that_stalls_holds_up_nobody_and_hears_what_it_missed() {
        let (reader, writer) = io::pipe().unwrap();
        let mut log = Log::to(writer).unwrap();
        let (done, ended) = channel();
        // More than a pipe and the queue hold.
        let lines = 4 * QUEUE;
        std::thread::spawn(move || {
            for number in 0..lines {
                writeln!(log, "{number:0100}").unwrap();
            }
            done.send(log).unwrap();
        });
        let log = ended.recv_timeout(std::time::Duration::from_secs(20));
        let log = log.expect("the one who logs waits for the one who reads");
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("lines of this log are lost")));
        drop(log);
    }

    #[test]
    fn a_flush_waits_for_the_last_line() {
        let (reader, writer) = io::pipe().unwrap();
        let mut log = Log::to(writer).unwrap();
        log.write_all(b"the last line\n").unwrap();
        log.flush();
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).unwrap();
        assert_eq!(line, "the last line\n");
    }
}
