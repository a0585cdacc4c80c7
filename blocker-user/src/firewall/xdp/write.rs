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
        expires_ns: clock.deadline(order.expires),
        dropped_packets: counted.dropped_packets,
        dropped_bytes: counted.dropped_bytes,
        last_seen_ns: counted.last_seen_ns,
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
                self.make_room(&slot)?;
                self.maps.put(&slot, &ban, &order.subject)?;
            }
            result => result?,
        }
        self.room.of(&slot).set(ban.expires_ns, order.subject);
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
        let (maps, serial) = (&self.maps, self.next_serial()?);
        let done = put_all(&v4, serial, || maps.v4(), |keys, bans| maps.put_v4(keys, bans))?;
        single.extend(v4.iter().skip(done).map(|(_, order)| *order));
        let done = put_all(&v6, serial, || maps.v6(), |keys, bans| maps.put_v6(keys, bans))?;
        single.extend(v6.iter().skip(done).map(|(_, order)| *order));
        self.forget_verdicts()?;
        // What is remembered of a full map does not know of these.
        (self.room.v4, self.room.v6) = (Soonest::default(), Soonest::default());
        single.into_iter().try_for_each(|order| self.put_one(order))
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
                if self.maps.get(&soonest)?.is_some_and(|ban| ban.expires_ns == deadline) {
                    self.unban(&subject)?;
                    self.room.evicted.push(subject);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// How many of `orders` are set, from the first one on.
fn put_all<K: Copy + Eq + Hash>(
    orders: &[(K, &Order)],
    serial: u8,
    read: impl Fn() -> Result<Vec<(K, Ban)>, FirewallError>,
    put: impl Fn(&[K], &[Ban]) -> usize,
) -> Result<usize, FirewallError> {
    if orders.is_empty() {
        return Ok(0);
    }
    let earlier: HashMap<K, Ban> = read()?.into_iter().collect();
    let clock = Clock::now();
    let (keys, bans): (Vec<K>, Vec<Ban>) = orders
        .iter()
        .map(|(key, order)| (*key, ban(order, clock, earlier.get(key), serial)))
        .unzip();
    Ok(put(&keys, &bans))
}

fn ends(maps: &Maps, slot: &Slot) -> Result<Vec<(u64, IpNet)>, FirewallError> {
    Ok(match slot {
        Slot::V4(_) => {
            maps.v4()?.into_iter().map(|(key, ban)| (ban.expires_ns, v4_subject(key))).collect()
        }
        Slot::V6(_) => {
            let bans = maps.v6()?.into_iter();
            bans.map(|(key, ban)| (ban.expires_ns, v6_subject(key, ban.prefix_len))).collect()
        }
        Slot::Net { .. } => {
            maps.networks()?.into_iter().map(|(subject, ban)| (ban.expires_ns, subject)).collect()
        }
    })
}
