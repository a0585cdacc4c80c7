//! What the answers are made of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Semaphore;

use crate::{
    daemon::{Change, Remote, Stats},
    firewall::View,
    jail::Policy,
    store::Reader,
    time::LogTime,
};

/// Each holds every ban in memory until its client has read them.
const MAX_LISTS: usize = 4;

pub struct Context {
    pub jail: &'static str,
    pub dry_run: bool,
    pub started_at: LogTime,
    /// Interfaces to guard.
    pub wanted: Vec<String>,
    pub remote: Remote,
    pub stats: Arc<Stats>,
    pub view: Mutex<Box<dyn View>>,
    pub lists: Lists,
    /// What led to earlier bans; `None` where no state is kept.
    pub past: Option<Reader>,
    pub shown: RwLock<Shown>,
    pub reload: Reload,
    /// One after the other.
    pub turn: tokio::sync::Mutex<()>,
}

/// What of the configuration is shown, and changes with it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub mode: String,
    pub policy: Policy,
    pub logs: Vec<String>,
    pub max_bans: u32,
    /// The files of the configuration, and when reading them began.
    pub files: Vec<String>,
    pub read_at: LogTime,
    pub pin_dir: String,
    pub ports: String,
    pub protocol: String,
}

#[cfg(test)]
impl Shown {
    /// Of a jail with that policy and the defaults otherwise.
    pub(super) fn of(policy: Policy) -> Self {
        Self {
            mode: "aggressive".to_owned(),
            policy,
            logs: Vec::new(),
            max_bans: 1000,
            files: Vec::new(),
            read_at: LogTime::EPOCH,
            pin_dir: "/sys/fs/bpf/doveblock".to_owned(),
            ports: "143".to_owned(),
            protocol: "tcp".to_owned(),
        }
    }
}

/// Reads the configuration again. An error is what `check` says of it.
pub type Reload = Box<dyn Fn() -> Result<Fresh, String> + Send + Sync>;

/// A configuration that was read again, and found to be right.
pub struct Fresh {
    pub change: Change,
    pub shown: Shown,
    /// Options that are different now and take effect at the next start only.
    pub at_restart: Vec<String>,
}

/// Lists that are being sent.
pub struct Lists(pub(super) Arc<Semaphore>);

impl Default for Lists {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LISTS)))
    }
}

impl Context {
    pub(super) fn view(&self) -> MutexGuard<'_, Box<dyn View>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shown(&self) -> Shown {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn show(&self, shown: Shown) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
    }
}
