//! Standard input as a log, for `journalctl --follow … | doveblock run --log -`.

use std::io;

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    stdio::stdin,
};

use super::{LineBuffer, Progress, watch::Waiter};

const CHUNK: usize = 64 * 1024;
const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

#[derive(Default)]
pub struct Stdin {
    lines: LineBuffer,
    ended: bool,
}

impl Stdin {
    pub(super) fn read(&mut self, waiter: &mut Waiter, each: &mut dyn FnMut(&[u8])) -> Progress {
        if self.ended {
            return Progress::Ended;
        }
        waiter.watch_stdin(true);
        match self.read_chunk(each) {
            Ok(Progress::Ended) => {}
            Ok(progress) => return progress,
            Err(error) => tracing::error!("standard input cannot be read any more: {error}"),
        }
        // A line that was not finished goes: half a line can name half an address.
        self.ended = true;
        waiter.watch_stdin(false);
        Progress::Ended
    }

    fn read_chunk(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<Progress> {
        let mut ready = [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
        if poll(&mut ready, Some(&NO_WAIT))? == 0 {
            return Ok(Progress::Idle);
        }
        let mut chunk = [0; CHUNK];
        match rustix::io::read(stdin(), &mut chunk) {
            Ok(0) => Ok(Progress::Ended),
            Ok(len) => {
                self.lines.feed(chunk.get(..len).unwrap_or(&chunk), each);
                Ok(Progress::More)
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(Progress::Idle),
            Err(error) => Err(error.into()),
        }
    }
}
