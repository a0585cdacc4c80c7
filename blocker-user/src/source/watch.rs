//! Waiting for something to happen: inotify for the files, an event descriptor for other
//! threads, and a look without any reason now and then, because inotify does not tell all.

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    io, mem,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    fs::OFlags,
    stdio::stdin,
};

use super::filesystem;

/// How long a change can go unnoticed that inotify misses now and then, and how often the
/// pipeline looks after what depends on time alone.
const MAX_WAIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// How long one can where inotify tells of none.
const POLLING: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
/// More events mean nothing more.
const READS: usize = 64;

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
    /// `None` where there is none to be had, or none is wanted.
    inotify: Option<Inotify>,
    waker: Waker,
    /// Not kept open by this: the end of a pipe that nobody reads any more would be ready for
    /// ever.
    others: Vec<Weak<OwnedFd>>,
    stdin: bool,
    /// Whether something is read that inotify does not tell of.
    polls: bool,
    /// Those of these that another host may write to. Whether it has, the host asks only when
    /// one of them is opened.
    remote: BTreeSet<PathBuf>,
    /// How often names came into a watched directory.
    names: u64,
    /// What was said of why there is no inotify: each thing once.
    said: BTreeSet<String>,
}

impl Waiter {
    /// With inotify if there is any: without it, every change is seen a little late.
    pub fn new() -> io::Result<Self> {
        let mut waiter = Self::polling()?;
        match Inotify::init() {
            Ok(inotify) => {
                waiter.inotify = Some(inotify);
                waiter.polls = false;
            }
            Err(error) => {
                let instances = error.kind() != io::ErrorKind::Unsupported;
                let remedy = if instances {
                    "; sysctl fs.inotify.max_user_instances sets how many may use it"
                } else {
                    ""
                };
                waiter.say(format!(
                    "there is no inotify to be had ({error}): looking for changes four times a \
                     second{remedy}"
                ));
            }
        }
        Ok(waiter)
    }

    /// Without inotify.
    pub fn polling() -> io::Result<Self> {
        Ok(Self {
            inotify: None,
            waker: Waker(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)),
            others: Vec::new(),
            stdin: false,
            polls: true,
            remote: BTreeSet::new(),
            names: 0,
            said: BTreeSet::new(),
        })
    }

    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Waits for `descriptor` as well, for as long as whoever gave it keeps it open. He reads
    /// what is there after each wait.
    pub fn also(&mut self, descriptor: &Arc<OwnedFd>) {
        self.others.push(Arc::downgrade(descriptor));
    }

    /// Waits for `descriptor` no longer.
    pub(super) fn forget(&mut self, descriptor: &Arc<OwnedFd>) {
        self.others.retain(|other| other.as_ptr() != Arc::as_ptr(descriptor));
    }

    /// Returns when a watched file changed, somebody called [`Waker::wake`], a descriptor
    /// is readable, or after a second at most.
    pub fn wait(&mut self) -> io::Result<()> {
        self.others.retain(|other| other.strong_count() > 0);
        let others: Vec<Arc<OwnedFd>> = self.others.iter().filter_map(Weak::upgrade).collect();
        let mut fds = vec![PollFd::new(&*self.waker.0, PollFlags::IN)];
        fds.extend(self.inotify.as_ref().map(|inotify| PollFd::new(inotify, PollFlags::IN)));
        fds.extend(others.iter().map(|other| PollFd::new(&**other, PollFlags::IN)));
        // Whoever reads it says so before each wait; a reload may have ended that.
        if mem::take(&mut self.stdin) {
            fds.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
        }
        match poll(&mut fds, Some(if self.polls { &POLLING } else { &MAX_WAIT })) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        drop(fds);
        self.take_events();
        let _empty = rustix::io::read(&*self.waker.0, &mut [0; 8]);
        self.remote.iter().for_each(|path| ask_again(path));
        Ok(())
    }

    /// What happened does not matter, every source looks for itself; but the descriptor must be
    /// emptied to wait again, and who looks for names wants to know when to.
    fn take_events(&mut self) {
        let Some(inotify) = &mut self.inotify else { return };
        const NAMES: EventMask =
            EventMask::CREATE.union(EventMask::MOVED_TO).union(EventMask::Q_OVERFLOW);
        let mut buffer = [0; 4096];
        for _ in 0..READS {
            let Ok(mut events) = inotify.read_events(&mut buffer) else { return };
            if events.any(|event| event.mask.intersects(NAMES)) {
                self.names += 1;
            }
        }
    }

    /// Changes whenever a name has come into a directory that is watched.
    pub(super) fn names(&self) -> u64 {
        self.names
    }

    pub(super) fn watch_stdin(&mut self, on: bool) {
        self.stdin = on;
    }

    /// Watches a file for new content.
    pub(super) fn watch_file(&mut self, path: &Path) -> Option<WatchDescriptor> {
        if let Some(name) = filesystem::silent(path) {
            self.polls = true;
            self.remote.insert(path.to_owned());
            self.say(format!(
                "{} is on {name}, which does not tell of what others write: looking for changes \
                 four times a second",
                path.display()
            ));
        } else {
            self.remote.remove(path);
        }
        let mask = WatchMask::MODIFY | WatchMask::MOVE_SELF | WatchMask::ATTRIB;
        self.watch(path, mask)
    }

    /// Watches a directory for files that appear in it.
    pub(super) fn watch_dir(&mut self, path: &Path) {
        self.polls |= filesystem::silent(path).is_some();
        let _missing = self.watch(path, WatchMask::CREATE | WatchMask::MOVED_TO);
    }

    pub(super) fn unwatch(&mut self, watch: WatchDescriptor) {
        if let Some(inotify) = &mut self.inotify {
            // Fails where the file is gone and the kernel has removed the watch already.
            let _gone = inotify.watches().remove(watch);
        }
    }

    fn watch(&mut self, path: &Path, mask: WatchMask) -> Option<WatchDescriptor> {
        match self.inotify.as_ref()?.watches().add(path, mask) {
            Ok(watch) => Some(watch),
            // Who reads it says that it cannot.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) =>
            {
                None
            }
            Err(error) => {
                self.polls = true;
                let remedy = match error.kind() {
                    io::ErrorKind::StorageFull => {
                        "; sysctl fs.inotify.max_user_watches sets how many files may be watched"
                    }
                    _ => "",
                };
                self.say(format!(
                    "not every log can be watched ({error}): looking for changes four times a \
                     second{remedy}"
                ));
                None
            }
        }
    }

    fn say(&mut self, what: String) {
        if !self.said.contains(&what) {
            tracing::warn!("{what}");
            self.said.insert(what);
        }
    }
}

/// Has a file system's client ask its server how long the file is by now, which it does at every
/// `open` and otherwise once in a while.
fn ask_again(path: &Path) {
    let Ok(flags) = i32::try_from(OFlags::NONBLOCK.bits()) else { return };
    // Who reads it says that it cannot be opened.
    let _opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use super::{MAX_WAIT, Waiter};

    #[test]
    fn a_pipe_that_nobody_reads_any_more_wakes_nobody() {
        let mut waiter = Waiter::polling().unwrap();
        waiter.polls = false;
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let reader = Arc::new(reader);
        waiter.also(&reader);
        // Its end is there to be read, and stays.
        drop(writer);
        let full = std::time::Duration::try_from(MAX_WAIT).unwrap();
        let mut waits_in_full = || {
            let start = Instant::now();
            waiter.wait().unwrap();
            start.elapsed() >= full
        };
        assert!(!waits_in_full());
        drop(reader);
        assert!(waits_in_full());
        assert!(waiter.others.is_empty());
    }
}
