//! Growing: a map that is full is replaced by a larger one while its bans are in force. That is a
//! start within the daemon: the larger map is made and filled beside the old one, a program that
//! reads it takes the place of the old one on every link and in every dispatcher, each in one
//! step, and its pin is renamed over the old one. The old program and maps enforce until then.
//!
//! Where it fails, everything stays as it was, and the ban that ends soonest makes room.

use std::time::{Duration, Instant};

use aya::programs;
use blocker_common::abi::{Ban, V4Key, V6Key, map};

use super::{
    Xdp,
    attach::Replaced,
    capacity::{Capacity, room_for},
    load::{Recipe, program, verify},
    maps::Maps,
    pin_program,
};
use crate::firewall::{
    FirewallError,
    dispatcher::{self, Swap},
    slot::{Slot, v4_subject, v6_subject},
    trace::Tracer,
};

/// How long after an attempt that failed the next one comes. Each may cost as long as one that
/// succeeds, and a ban waits for it.
const REST: Duration = Duration::from_secs(600);

/// Whether there is to be another attempt.
#[derive(Default)]
pub(super) struct Growth {
    failed_at: Option<Instant>,
}

impl Growth {
    fn rests(&self) -> bool {
        self.failed_at.is_some_and(|at| at.elapsed() < REST)
    }
}

impl Xdp {
    /// Makes room for one more ban in the map of `slot`, which is full. `false` where it stays
    /// as it is.
    pub(super) fn grow_for(&mut self, slot: &Slot) -> bool {
        let Capacity { v4, v6 } = self.capacity;
        let one_more = |room: u32| usize::try_from(room).map_or(usize::MAX, |room| room + 1);
        match slot {
            Slot::V4(_) => self.grow_to_hold(one_more(v4), 0),
            Slot::V6(_) => self.grow_to_hold(0, one_more(v6)),
            Slot::Net { .. } => false,
        }
    }

    /// Makes room for so many bans, in one step, as far as `max_bans` goes. `false` where all
    /// stays as it is.
    pub(super) fn grow_to_hold(&mut self, v4: usize, v6: usize) -> bool {
        let max_bans = self.options.max_bans;
        let wanted = Capacity {
            v4: room_for(v4, max_bans).max(self.capacity.v4),
            v6: room_for(v6, max_bans).max(self.capacity.v6),
        };
        let names = self.capacity.differences(wanted);
        // Detached, nothing is enforced, and nothing is to be pinned again.
        if names.is_empty() || self.growth.rests() || !self.pins.in_use() {
            return false;
        }
        let Capacity { v4, v6 } = wanted;
        tracing::info!("making room for {v4} bans of IPv4 addresses and {v6} of IPv6 prefixes");
        let begun = Instant::now();
        match self.replace_maps(wanted, &names) {
            Ok(()) => {
                tracing::info!("there is more room after {} ms", begun.elapsed().as_millis());
                true
            }
            Err(error) => {
                self.pins.not_grown();
                self.growth.failed_at = Some(Instant::now());
                tracing::error!(
                    "there is no more room for bans ({error}): those that end soonest make room; \
                     trying again in {} minutes at the earliest",
                    REST.as_secs() / 60
                );
                false
            }
        }
    }

    fn replace_maps(
        &mut self,
        wanted: Capacity,
        names: &[&'static str],
    ) -> Result<(), FirewallError> {
        let served = dispatcher::served(self.pins.path())?;
        let before = program(&mut self.object)?;
        let running = id(before)?;
        self.pins.grow(names.to_vec());
        let tracer = Tracer::default();
        let recipe = Recipe {
            options: &self.options,
            features: self.features,
            capacity: wanted,
            pins: &self.pins,
            tracer: &tracer,
        };
        let mut object = recipe.program()?;
        let after = program(&mut object)?;
        verify(after)?;
        let mut maps = Maps::open(&self.pins)?;
        let readers = Maps::open(&self.pins)?;
        let copied = Copied::new(&self.maps, &mut maps, names)?;
        let mut replaced = Replaced::default();
        let done =
            replaced.replace(after, running, &served, &recipe).and_then(|()| match &self.start {
                // That is still to come.
                Some(_) => Ok(()),
                None => pin_program(after, &self.pins),
            });
        if let Err(error) = done {
            replaced.take_back(before);
            return Err(error);
        }
        // It is too late to fail: the larger maps are in force.
        if let Err(error) = recipe.follow(&mut object) {
            tracing::warn!("the trace ends here: {error}");
        }
        copied.add_missed(&self.maps, &mut maps).unwrap_or_else(|error| {
            tracing::warn!("some packets that were dropped meanwhile are not counted: {error}");
        });
        self.pins.grown();
        match &mut self.start {
            Some(start) => start.joined.extend(replaced.joined),
            None => replaced.joined.into_iter().for_each(Swap::keep),
        }
        maps.succeed(&mut self.maps);
        (self.maps, self.object, self.tracer) = (maps, object, tracer);
        self.readers.replace(readers);
        self.capacity = wanted;
        self.room.forget();
        Ok(())
    }
}

fn id(program: &programs::Xdp) -> Result<u32, FirewallError> {
    Ok(program.info().map_err(FirewallError::bpf("look at the kernel program"))?.id())
}

/// The bans as they were copied.
struct Copied {
    v4: Vec<(V4Key, Ban)>,
    v6: Vec<(V6Key, Ban)>,
}

impl Copied {
    fn new(from: &Maps, to: &mut Maps, names: &[&str]) -> Result<Self, FirewallError> {
        let mut copied = Self { v4: Vec::new(), v6: Vec::new() };
        if names.contains(&map::BANS_V4) {
            copied.v4 = from.v4()?;
            let (keys, bans): (Vec<V4Key>, Vec<Ban>) = copied.v4.iter().copied().unzip();
            to.put_all_v4(&keys, &bans)?;
        }
        if names.contains(&map::BANS_V6) {
            copied.v6 = from.v6()?;
            let (keys, bans): (Vec<V6Key>, Vec<Ban>) = copied.v6.iter().copied().unzip();
            to.put_all_v6(&keys, &bans)?;
        }
        Ok(copied)
    }

    /// What the old program has counted since then. Of what the new one counts here and now a
    /// packet may be lost to the statistics.
    fn add_missed(self, from: &Maps, to: &mut Maps) -> Result<(), FirewallError> {
        if !self.v4.is_empty() {
            for (key, missed) in missed(self.v4, from.v4()?) {
                add(to, &Slot::V4(key), &missed, &v4_subject(key))?;
            }
        }
        if !self.v6.is_empty() {
            for (key, missed) in missed(self.v6, from.v6()?) {
                let subject = v6_subject(key, missed.prefix_len);
                add(to, &Slot::V6(key), &missed, &subject)?;
            }
        }
        Ok(())
    }
}

/// By how much the counts of the same bans differ. Nobody adds to the map or removes from it in
/// between, so that the kernel gives its entries in the same order.
fn missed<K: PartialEq>(
    copied: Vec<(K, Ban)>,
    now: Vec<(K, Ban)>,
) -> impl Iterator<Item = (K, Ban)> {
    let pairs = copied.into_iter().zip(now).filter(|(copied, now)| copied.0 == now.0);
    pairs.filter(|((_, copied), (_, now))| copied != now).map(|((_, copied), (key, now))| {
        let missed = Ban {
            dropped_packets: now.dropped_packets.saturating_sub(copied.dropped_packets),
            dropped_bytes: now.dropped_bytes.saturating_sub(copied.dropped_bytes),
            ..now
        };
        (key, missed)
    })
}

fn add(
    maps: &mut Maps,
    slot: &Slot,
    missed: &Ban,
    subject: &ipnet::IpNet,
) -> Result<(), FirewallError> {
    let Some(mut ban) = maps.get(slot)? else { return Ok(()) };
    ban.dropped_packets += missed.dropped_packets;
    ban.dropped_bytes += missed.dropped_bytes;
    ban.last_seen = ban.last_seen.max(missed.last_seen);
    maps.put(slot, &ban, subject)
}

#[cfg(test)]
mod tests {
    use super::{Ban, missed};

    #[test]
    fn what_was_counted_meanwhile_is_the_difference() {
        let ban = |dropped_packets, last_seen| Ban {
            dropped_packets,
            dropped_bytes: dropped_packets * 60,
            last_seen,
            ..Ban::default()
        };
        let copied = vec![(1, ban(5, 7)), (2, ban(3, 3)), (3, ban(0, 0))];
        let now = vec![(1, ban(5, 7)), (2, ban(10, 9)), (3, ban(1, 9))];
        let found: Vec<_> = missed(copied.clone(), now.clone()).collect();
        assert_eq!(found, [(2, ban(7, 9)), (3, ban(1, 9))]);
        // In another order nothing is given to the wrong ban.
        let mut other = now;
        other.swap(1, 2);
        assert_eq!(missed(copied, other).count(), 0);
    }
}
