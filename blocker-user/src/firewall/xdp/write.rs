//! Writing bans: one, many at once, and one more than there is room for.

use std::{collections::HashMap, hash::Hash, mem};

use blocker_common::abi::Ban;
use ipnet::IpNet;

use super::{Xdp, maps::Maps, room::Soonest};
use crate::firewall::{
    Firewall as _, FirewallError, Order,
    clock::Clock,
    slot::{Slot, v4_subject, v6_subject},
};

/// As many are worth reading the map before they are written.
const MANY: usize = 64;

/// What there is to know where a map is full.
#[derive(Default)]
pub(super) struct Room {
    v4: Soonest,
    v6: Soonest,
    networks: Soonest,
    evicted: Vec<IpNet>,
}

impl Room {
    pub(super) fn take_evicted(&mut self) -> Vec<IpNet> {
        mem::take(&mut self.evicted)
    }

    /// What is remembered of a full map does not know of bans that were set past it, and is not
    /// needed in a larger one.
    pub(super) fn forget(&mut self) {
        (self.v4, self.v6) = (Soonest::default(), Soonest::default());
    }

    fn of(&mut self, slot: &Slot) -> &mut Soonest {
        match slot {
            Slot::V4(_) => &mut self.v4,
            Slot::V6(_) => &mut self.v6,
            Slot::Net { .. } => &mut self.networks,
        }
    }
}

/// `order` as the kernel has it, with what was counted for an `earlier` ban of its subject, or
/// with a new `serial`.
fn ban(order: &Order, clock: Clock, earlier: Option<&Ban>, serial: u8) -> Ban {
    // The packets the kernel counts between the read of `earlier` and the write are lost to
    // the statistics, not to the verdict.
    let counted = earlier.copied().unwrap_or(Ban { serial, ..Ban::default() });
    Ban {
        expires: clock.deadline(order.expires),
        dropped_packets: counted.dropped_packets,
        dropped_bytes: counted.dropped_bytes,
        last_seen: counted.last_seen,
        banned_at: u32::try_from(order.banned_at.as_secs().max(0)).unwrap_or(u32::MAX),
        attempts: u16::try_from(order.attempts).unwrap_or(u16::MAX),
        prefix_len: order.subject.prefix_len(),
        serial: counted.serial,
    }
}

impl Xdp {
    pub(super) fn put_one(&mut self, order: &Order) -> Result<(), FirewallError> {
        let slot = Slot::of(&order.subject, self.options.ipv6_prefix);
        let earlier = self.maps.get(&slot)?;
        let ban = ban(order, Clock::now(), earlier.as_ref(), self.next_serial()?);
        match self.maps.put(&slot, &ban, &order.subject) {
            Err(FirewallError::Full(_)) => {
                if !self.grow_for(&slot) {
                    self.make_room(&slot)?;
                }
                self.maps.put(&slot, &ban, &order.subject)?;
            }
            result => result?,
        }
        self.room.of(&slot).set(ban.expires, order.subject);
        if earlier.is_none() && matches!(slot, Slot::Net { .. }) {
            self.settings.networks += 1;
        }
        self.forget_verdicts()
    }

    /// Networks are few, and go one by one; addresses and prefixes go as fast as they can.
    pub(super) fn put_many(&mut self, orders: &[Order]) -> Result<(), FirewallError> {
        let (mut v4, mut v6, mut single) = (Vec::new(), Vec::new(), Vec::new());
        for order in orders {
            match Slot::of(&order.subject, self.options.ipv6_prefix) {
                Slot::V4(key) if orders.len() >= MANY => v4.push((key, order)),
                Slot::V6(key) if orders.len() >= MANY => v6.push((key, order)),
                _ => single.push(order),
            }
        }
        let serial = self.next_serial()?;
        let v4 = Batch::new(&v4, serial, || self.maps.v4())?;
        let v6 = Batch::new(&v6, serial, || self.maps.v6())?;
        self.grow_to_hold(v4.total, v6.total);
        let done = self.maps.put_v4(&v4.keys, &v4.bans);
        single.extend(v4.orders.iter().skip(done));
        let done = self.maps.put_v6(&v6.keys, &v6.bans);
        single.extend(v6.orders.iter().skip(done));
        self.forget_verdicts()?;
        self.room.forget();
        single.into_iter().try_for_each(|order| self.put_one(order))
    }

    /// Whether there was a ban of `subject`. What is remembered of it is the caller's to end.
    pub(super) fn remove(&mut self, subject: &IpNet) -> Result<bool, FirewallError> {
        let slot = Slot::of(subject, self.options.ipv6_prefix);
        let in_trie = Slot::network(subject);
        let found = self.maps.remove(&slot)?;
        // An IPv6 prefix may have been banned under another `ipv6_prefix`, as a network.
        let found_in_trie = if in_trie == slot { found } else { self.maps.remove(&in_trie)? };
        if found_in_trie {
            self.settings.networks = self.settings.networks.saturating_sub(1);
        }
        Ok(found || found_in_trie)
    }

    /// Verdicts are forgotten once, for each costs as much as a removal.
    pub(super) fn remove_many(&mut self, subjects: &[IpNet]) -> Result<Vec<IpNet>, FirewallError> {
        let mut ended = Vec::with_capacity(subjects.len());
        let removed = subjects.iter().try_for_each(|subject| {
            if self.remove(subject)? {
                ended.push(*subject);
            }
            Ok(())
        });
        self.forget_verdicts()?;
        removed.map(|()| ended)
    }

    /// Ends the ban that ends soonest in the map of `slot`.
    fn make_room(&mut self, slot: &Slot) -> Result<(), FirewallError> {
        for looked in [false, true, true] {
            if looked {
                let ends = ends(&self.maps, slot)?;
                self.room.of(slot).look(ends.into_iter());
            }
            while let Some((deadline, subject)) = self.room.of(slot).take() {
                let soonest = Slot::of(&subject, self.options.ipv6_prefix);
                // It may have been prolonged or lifted since.
                if self.maps.get(&soonest)?.is_some_and(|ban| ban.expires == deadline) {
                    self.unban(&subject)?;
                    self.room.evicted.push(subject);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Bans for one map, to be set at once.
struct Batch<'a, K> {
    orders: Vec<&'a Order>,
    keys: Vec<K>,
    bans: Vec<Ban>,
    /// Entries of the map when they are set.
    total: usize,
}

impl<'a, K: Copy + Eq + Hash> Batch<'a, K> {
    fn new(
        orders: &[(K, &'a Order)],
        serial: u8,
        read: impl Fn() -> Result<Vec<(K, Ban)>, FirewallError>,
    ) -> Result<Self, FirewallError> {
        let mut batch = Self { orders: Vec::new(), keys: Vec::new(), bans: Vec::new(), total: 0 };
        if orders.is_empty() {
            return Ok(batch);
        }
        let earlier: HashMap<K, Ban> = read()?.into_iter().collect();
        batch.total = earlier.len();
        let clock = Clock::now();
        for (key, order) in orders {
            let earlier = earlier.get(key);
            batch.total += usize::from(earlier.is_none());
            batch.orders.push(order);
            batch.keys.push(*key);
            batch.bans.push(ban(order, clock, earlier, serial));
        }
        Ok(batch)
    }
}

fn ends(maps: &Maps, slot: &Slot) -> Result<Vec<(u32, IpNet)>, FirewallError> {
    Ok(match slot {
        Slot::V4(_) => {
            maps.v4()?.into_iter().map(|(key, ban)| (ban.expires, v4_subject(key))).collect()
        }
        Slot::V6(_) => {
            let bans = maps.v6()?.into_iter();
            bans.map(|(key, ban)| (ban.expires, v6_subject(key, ban.prefix_len))).collect()
        }
        Slot::Net { .. } => {
            maps.networks()?.into_iter().map(|(subject, ban)| (ban.expires, subject)).collect()
        }
    })
}
