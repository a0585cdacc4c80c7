//! One run of journalctl. It ends with us: when we stop, it is killed; when we are killed, the
//! pipe that it writes to has no reader any more, which it watches (`SIGPIPE`, and a poll for
//! that very thing while it waits for entries).

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::{self, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::super::{Progress, Waiter, pipe::Pipe};

/// Of what it says on standard error, not more is told at a time.
const MOST_COMPLAINTS: usize = 16;
const LONGEST_COMPLAINT: usize = 300;
/// Who has closed his output has nothing left to do but to end.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct Child {
    process: process::Child,
    errors: Pipe,
    out: Output,
}

enum Output {
    Open(Pipe),
    /// Since when, and what tells of the end of the process, where there is such a thing.
    Closed(Instant, Option<Arc<OwnedFd>>),
}

impl Child {
    pub(super) fn start(command: &mut Command, waiter: &mut Waiter) -> io::Result<Self> {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C at the terminal is for us, and we end it.
            .process_group(0)
            .spawn()?;
        let opened = match (process.stdout.take(), process.stderr.take()) {
            (Some(out), Some(errors)) => Pipe::new(OwnedFd::from(out))
                .and_then(|out| Ok((out, Pipe::new(OwnedFd::from(errors))?))),
            _ => Err(io::Error::other("its output is not connected")),
        };
        match opened {
            Ok((out, errors)) => {
                waiter.also(&out.descriptor());
                Ok(Self { process, errors, out: Output::Open(out) })
            }
            Err(error) => {
                end(&mut process);
                Err(error)
            }
        }
    }

    /// Reads a chunk of its output. Behind the end of that, [`Child::ended`] has the rest.
    pub(super) fn read(&mut self, waiter: &mut Waiter, each: &mut dyn FnMut(&[u8])) -> Progress {
        let Output::Open(out) = &mut self.out else { return Progress::Ended };
        match out.read(each) {
            Ok(Progress::Ended) => {}
            Ok(progress) => return progress,
            Err(error) => tracing::warn!("the output of journalctl cannot be read: {error}"),
        }
        waiter.forget(&out.descriptor());
        let process = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let end = process.and_then(|process| pidfd_open(process, PidfdFlags::empty()).ok());
        let end = end.map(Arc::new);
        if let Some(end) = &end {
            waiter.also(end);
        }
        self.out = Output::Closed(Instant::now(), end);
        Progress::Ended
    }

    /// How it ended, once it has.
    pub(super) fn ended(&mut self, waiter: &mut Waiter) -> Option<io::Result<ExitStatus>> {
        let ended = self.process.try_wait().transpose();
        if let Output::Closed(since, end) = &self.out {
            if ended.is_none() && since.elapsed() > PATIENCE {
                // It fails where the process has ended after all.
                let _ended = self.process.kill();
            }
            if let (Some(_), Some(end)) = (&ended, end) {
                waiter.forget(end);
            }
        }
        ended
    }

    /// What it has said on standard error since the last call.
    pub(super) fn complaints(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut each = |line: &[u8]| {
            let text = String::from_utf8_lossy(line).replace(char::is_control, " ");
            let text: String = text.trim().chars().take(LONGEST_COMPLAINT).collect();
            if complaints.len() < MOST_COMPLAINTS && !text.is_empty() {
                complaints.push(text);
            }
        };
        for _ in 0..MOST_COMPLAINTS {
            if !matches!(self.errors.read(&mut each), Ok(Progress::More)) {
                break;
            }
        }
        complaints
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// Nothing is left of it afterwards, not even a zombie.
fn end(process: &mut process::Child) {
    let _ended = process.kill();
    let _status = process.wait();
}
