//! The pinned maps for other threads, which find the larger ones there when maps have grown.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use super::Maps;
use crate::firewall::{
    Attachment, Counters, Enforced, FirewallError, View, clock::Clock, dispatcher,
    interface::Interface, xdp::link,
};

/// Clones read the same.
#[derive(Clone)]
pub(in crate::firewall::xdp) struct Readers(Arc<RwLock<Arc<Maps>>>);

impl Readers {
    pub(in crate::firewall::xdp) fn new(maps: Maps) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(maps))))
    }

    /// Who reads already reads on in the old ones.
    pub(in crate::firewall::xdp) fn replace(&self, maps: Maps) {
        // A panic elsewhere cannot leave a pointer half-changed.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(maps);
    }

    pub(in crate::firewall::xdp) fn maps(&self) -> Arc<Maps> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is pinned, read only.
pub(in crate::firewall::xdp) struct Pinned {
    pub(in crate::firewall::xdp) readers: Readers,
    pub(in crate::firewall::xdp) pin_dir: PathBuf,
}

impl View for Pinned {
    fn bans(&self) -> Result<Vec<Enforced>, FirewallError> {
        self.readers.maps().bans(Clock::now())
    }

    fn counters(&self) -> Result<Counters, FirewallError> {
        self.readers.maps().counters()
    }

    fn attachments(&self) -> Vec<Attachment> {
        let links = link::all(&self.pin_dir).unwrap_or_default();
        let linked = links.into_iter().filter_map(|link| link.interface);
        let served = dispatcher::served(&self.pin_dir).into_iter().flatten();
        let attachment = |interface: Interface| Attachment {
            is_generic: interface.xdp.is_some_and(|attached| attached.generic),
            interface: interface.name,
        };
        let mut all: Vec<Attachment> = linked.chain(served).map(attachment).collect();
        all.sort_by(|one, other| one.interface.cmp(&other.interface));
        all
    }
}
