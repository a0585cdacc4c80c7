//! Waiting for something to happen: inotify for the files, an event descriptor for other
//! threads, and a second at most, because there are file systems without inotify.

use std::{io, os::fd::OwnedFd, path::Path, sync::Arc};

use inotify::{Inotify, WatchDescriptor, WatchMask};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    stdio::stdin,
};

/// How long a change can go unnoticed where inotify does not tell of it, and how often the
/// pipeline looks after what depends on time alone.
const MAX_WAIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Wakes the pipeline from another thread.
#[derive(Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    pub fn wake(&self) {
        // It fails only while the counter is full, and then the pipeline is awake anyway.
        let _full = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

pub struct Waiter {
    inotify: Inotify,
    waker: Waker,
    others: Vec<Arc<OwnedFd>>,
    stdin: bool,
    /// Said once: without inotify every change is seen up to a second late.
    warned: bool,
}

impl Waiter {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: Inotify::init()?,
            waker: Waker(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)),
            others: Vec::new(),
            stdin: false,
            warned: false,
        })
    }

    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Waits for `descriptor` as well. Whoever gave it reads what is there after each wait.
    pub fn also(&mut self, descriptor: Arc<OwnedFd>) {
        self.others.push(descriptor);
    }

    /// Returns when a watched file changed, somebody called [`Waker::wake`], a descriptor
    /// is readable, or after a second.
    pub fn wait(&mut self) -> io::Result<()> {
        let mut fds = vec![
            PollFd::new(&self.inotify, PollFlags::IN),
            PollFd::new(&*self.waker.0, PollFlags::IN),
        ];
        fds.extend(self.others.iter().map(|other| PollFd::new(&**other, PollFlags::IN)));
        if self.stdin {
            fds.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
        }
        match poll(&mut fds, Some(&MAX_WAIT)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        drop(fds);
        // What happened does not matter, every source looks for itself; but the descriptors
        // must be emptied to wait again.
        let mut buffer = [0; 4096];
        while let Ok(mut events) = self.inotify.read_events(&mut buffer) {
            if events.next().is_none() {
                break;
            }
        }
        let _empty = rustix::io::read(&*self.waker.0, &mut [0; 8]);
        Ok(())
    }

    pub(super) fn watch_stdin(&mut self, on: bool) {
        self.stdin = on;
    }

    /// Watches a file for new content.
    pub(super) fn watch_file(&mut self, path: &Path) -> Option<WatchDescriptor> {
        let mask = WatchMask::MODIFY | WatchMask::MOVE_SELF | WatchMask::ATTRIB;
        self.watch(path, mask)
    }

    /// Watches a directory for files that appear in it.
    pub(super) fn watch_dir(&mut self, path: &Path) {
        let _missing = self.watch(path, WatchMask::CREATE | WatchMask::MOVED_TO);
    }

    pub(super) fn unwatch(&mut self, watch: WatchDescriptor) {
        // Fails where the file is gone and the kernel has removed the watch already.
        let _gone = self.inotify.watches().remove(watch);
    }

    fn watch(&mut self, path: &Path, mask: WatchMask) -> Option<WatchDescriptor> {
        match self.inotify.watches().add(path, mask) {
            Ok(watch) => Some(watch),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                if !self.warned {
                    self.warned = true;
                    tracing::warn!(
                        "{} cannot be watched ({error}): looking for changes every second",
                        path.display()
                    );
                }
                None
            }
        }
    }
}
