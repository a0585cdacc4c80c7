//! The debug trace of the XDP program: records written by aya-log in the kernel, printed by
//! a thread of their own so that they never hold up a ban.

use std::{
    cell::RefCell,
    io::{PipeWriter, pipe},
    thread,
};

use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use rustix::event::{PollFd, PollFlags, poll};

use super::FirewallError;

/// The ring buffer that aya-log declares in the kernel program.
const BUFFER: &str = "AYA_LOGS";
/// The smallest a ring buffer can be: one page of the smallest page size.
const SMALLEST_BUFFER: u32 = 4096;

/// Without a trace nobody fills the buffer; it is created as small as the kernel allows.
pub(super) fn shrink_buffer(loader: &mut EbpfLoader<'_>) {
    loader.map_max_entries(BUFFER, SMALLEST_BUFFER);
}

/// Prints the traces of the objects it was given, for as long as it lives.
#[derive(Default)]
pub(super) struct Tracer {
    /// One for each thread, which ends when it is closed.
    threads: RefCell<Vec<PipeWriter>>,
}

impl Tracer {
    pub(super) fn follow(&self, object: &mut Ebpf) -> Result<(), FirewallError> {
        let mut logger =
            EbpfLogger::init(object).map_err(FirewallError::bpf("follow the trace"))?;
        let (end, thread) = pipe().map_err(FirewallError::io("follow the trace"))?;
        thread::Builder::new()
            .name("trace".to_owned())
            .spawn(move || {
                loop {
                    let mut ready =
                        [PollFd::new(&logger, PollFlags::IN), PollFd::new(&end, PollFlags::IN)];
                    let polled = poll(&mut ready, None);
                    let [_, end] = ready.map(|one| one.revents());
                    match polled {
                        Ok(_) => logger.flush(),
                        Err(rustix::io::Errno::INTR) => {}
                        Err(error) => {
                            tracing::error!("the trace of the kernel program ends: {error}");
                            return;
                        }
                    }
                    if !end.is_empty() {
                        return;
                    }
                }
            })
            .map_err(FirewallError::io("start the trace thread"))?;
        self.threads.borrow_mut().push(thread);
        Ok(())
    }
}
