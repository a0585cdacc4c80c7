//! Bans that are kept and listed but not enforced: what `--dry-run` and the tests use.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;

use super::{Attachment, Counters, Enforced, Firewall, FirewallError, Order, View};

/// Clones share their bans.
#[derive(Clone, Default)]
pub struct Memory {
    bans: Arc<Mutex<BTreeMap<IpNet, Order>>>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpNet, Order>> {
        // A panic elsewhere cannot leave the map half-changed.
        self.bans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Firewall for Memory {
    fn ban(&mut self, order: &Order) -> Result<(), FirewallError> {
        self.lock().insert(order.subject, *order);
        Ok(())
    }

    fn unban(&mut self, subject: &IpNet) -> Result<bool, FirewallError> {
        Ok(self.lock().remove(subject).is_some())
    }

    fn allow(&mut self, _networks: &[IpNet]) -> Result<(), FirewallError> {
        Ok(())
    }

    fn commit(&mut self) -> Result<(), FirewallError> {
        Ok(())
    }

    fn detach(&mut self) -> Result<(), FirewallError> {
        self.lock().clear();
        Ok(())
    }

    fn tend(&mut self) {}

    fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        None
    }

    fn view(&self) -> Result<Box<dyn View>, FirewallError> {
        Ok(Box::new(self.clone()))
    }
}

impl View for Memory {
    fn bans(&self) -> Result<Vec<Enforced>, FirewallError> {
        let enforced = |&order: &Order| Enforced {
            order,
            dropped_packets: 0,
            dropped_bytes: 0,
            last_seen: None,
        };
        Ok(self.lock().values().map(enforced).collect())
    }

    fn counters(&self) -> Result<Counters, FirewallError> {
        Ok(Counters::default())
    }

    fn attachments(&self) -> Vec<Attachment> {
        Vec::new()
    }
}
