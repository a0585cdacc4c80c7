//! What an earlier daemon kept, and where this one keeps the same.

use std::fs;

use super::Config;
use crate::{
    daemon::{self, Keeping},
    dovecot::{Name, random_seed},
    source::Waiter,
    store::{Saved, Seeds, Store},
};

/// A number of the kernel's, another one after each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

pub(super) struct State {
    pub(super) keeping: Option<Keeping>,
    pub(super) saved: Saved,
    /// Of the jail.
    pub(super) seed: u64,
}

impl State {
    /// Whatever is wrong with the state directory is said, and keeps nobody from being banned.
    pub(super) fn open(config: &Config, waiter: &Waiter) -> Self {
        if config.dry_run {
            return Self::none();
        }
        let (store, saved) = match Store::open(&config.state_dir, waiter.waker()) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(
                    "{error}. doveblock runs without its state: the logs are read from their \
                     beginning, and what it comes to know is not kept"
                );
                return Self::none();
            }
        };
        let new = || Seeds { names: random_seed(), jail: daemon::random() };
        let seeds = saved.seeds.unwrap_or_else(new);
        // Before the first line is read: from then on names have their seed.
        Name::keep_seed(seeds.names);
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
        let enforced_in = format!("{} {}", boot.trim(), config.pin_dir.display());
        Self { keeping: Some(Keeping { store, seeds, enforced_in }), saved, seed: seeds.jail }
    }

    fn none() -> Self {
        Self { keeping: None, saved: Saved::default(), seed: daemon::random() }
    }
}
