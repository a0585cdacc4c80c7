//! The daemon: wires sources, judge, jail and firewall together and runs them.
//!
//! One thread carries a line from `read` to the map update. A second one serves the control
//! socket; it reads what is enforced by itself, and what it wants changed it puts into a
//! channel that the first empties between chunks of lines.

mod by_hand;
mod change;
mod clocks;
mod evictions;
mod feed;
pub(crate) mod manager;
mod names;
mod own;
mod pace;
mod pipeline;
mod places;
mod records;
mod service;
mod skew;
mod stats;
mod steady;
mod takeover;
mod told;
mod trail;
mod unwritten;

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use ipnet::IpNet;

use crate::{
    firewall::{Firewall, FirewallError},
    jail::{Bantime, Knowledge, SparedBy},
    source::{Waiter, Waker},
    store::{Ending, Step},
    time::LogTime,
};

pub use change::Change;
pub use clocks::Clocks;
pub(crate) use names::{Known as KnownNames, follow as follow_names};
pub(crate) use pipeline::show;
pub use pipeline::{Pipeline, Setup};
pub use records::Keeping;
pub use service::SERVICES;
pub use stats::Stats;

/// What another thread asks of the pipeline.
pub enum Command {
    /// `subject` is what is banned where `asked` is to be: for an IPv6 address its prefix.
    Ban {
        asked: IpNet,
        subject: IpNet,
        bantime: Option<Bantime>,
        by: By,
        reply: Reply<BannedByHand>,
    },
    /// All of them at once, each as in [`Command::Ban`].
    BanMany {
        subjects: Vec<(IpNet, IpNet)>,
        bantime: Option<Bantime>,
        by: By,
        reply: Reply<BannedMany>,
    },
    Unban {
        subject: IpNet,
        by: By,
        reply: Reply<UnbannedByHand>,
    },
    UnbanMany {
        subjects: Vec<IpNet>,
        by: By,
        reply: Reply<usize>,
    },
    UnbanAll {
        by: By,
        reply: Reply<usize>,
    },
    Explain {
        asked: IpNet,
        subject: IpNet,
        reply: Reply<Explanation>,
    },
    /// Go on by another configuration.
    Reload {
        change: Box<Change>,
        reply: Reply<()>,
    },
    /// The names of ignoreip have these addresses now, if it is still the list with `names`.
    IgnoreNamed {
        addresses: Vec<IpAddr>,
        names: Weak<()>,
    },
}

/// Who does something by hand, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    pub who: String,
    pub reason: Option<String>,
}

/// What came of many bans by hand.
pub struct BannedMany {
    pub banned: usize,
    pub expires: Option<LogTime>,
    /// Those that are not, since nothing of them would ever be dropped.
    pub spared: Vec<(IpNet, SparedBy)>,
}

/// What the pipeline knows of a client.
#[derive(Debug)]
pub struct Explanation {
    pub knowledge: Knowledge,
    /// Where `bantime.increment` has them counted.
    pub earlier_bans: u32,
    /// What led here, as far as it is in memory. The oldest first.
    pub steps: Vec<Step>,
    pub login: Option<Step>,
    pub ending: Option<Ending>,
}

/// What came of a ban by hand.
pub enum BannedByHand {
    /// Not banned, since nothing of it would ever be dropped.
    Spared(SparedBy),
    Until {
        expires: Option<LogTime>,
        /// Networks inside it that are never dropped all the same.
        spared: Vec<IpNet>,
        /// A wider network that is banned too.
        covered_by: Option<IpNet>,
    },
}

/// What came of the end of a ban by hand.
pub struct UnbannedByHand {
    /// `false` where there was no such ban.
    pub lifted: bool,
    /// A wider network that is still banned.
    pub covered_by: Option<IpNet>,
}

/// Where the answer goes. The one who asked may have gone by then.
pub type Reply<T> = tokio::sync::oneshot::Sender<Result<T, FirewallError>>;

/// The other threads' way to the pipeline.
#[derive(Clone)]
pub struct Remote {
    commands: mpsc::Sender<Command>,
    stop: Arc<AtomicBool>,
    waker: Waker,
}

impl Remote {
    /// `false` if the pipeline has ended.
    pub fn send(&self, command: Command) -> bool {
        let sent = self.commands.send(command).is_ok();
        self.waker.wake();
        sent
    }

    /// Ends the pipeline after the line it is at.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.waker.wake();
    }
}

/// The pipeline's end of [`Remote`].
pub struct Inbox {
    commands: mpsc::Receiver<Command>,
    stop: Arc<AtomicBool>,
}

impl Inbox {
    fn next(&self) -> Result<Command, mpsc::TryRecvError> {
        self.commands.try_recv()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Both ends of the way from other threads to a pipeline that waits in `waiter`.
#[must_use]
pub fn remote(waiter: &Waiter) -> (Remote, Inbox) {
    let (sender, receiver) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let remote = Remote { commands: sender, stop: Arc::clone(&stop), waker: waiter.waker() };
    (remote, Inbox { commands: receiver, stop })
}

/// A firewall of whatever kind.
pub type AnyFirewall = Box<dyn Firewall>;

/// The wall clock. Whoever can be told the time is told it, see [`Clocks`].
#[must_use]
pub fn wall_clock() -> LogTime {
    LogTime::from(jiff::Timestamp::now())
}

/// A number that nobody outside can foresee: the standard library seeds its hashers so.
#[must_use]
pub fn random() -> u64 {
    RandomState::new().hash_one(())
}
