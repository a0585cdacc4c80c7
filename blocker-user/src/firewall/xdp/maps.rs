//! The pinned maps, typed.

mod readers;
mod recent;
mod verdict;

use std::{collections::HashMap as StdHashMap, hash::Hash, path::Path};

use aya::{
    Pod,
    maps::{
        Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, PerCpuValues, lpm_trie::Key,
    },
};
use blocker_common::abi::{
    Allowed, Ban, Counters, FAMILY_BITS, Guarded, Network, Ports, Recent, V4Key, V6Key, map,
};
use ipnet::IpNet;

use super::super::{
    Enforced, FirewallError, Order,
    clock::Clock,
    pins::PinDir,
    slot::{Slot, trie_key, trie_subject, v4_subject, v6_subject},
};
use super::batch::Bulk;
use crate::time::LogTime;

pub(super) use readers::{Pinned, Readers};

/// `E2BIG` and `ENOSPC`: how hash maps and tries say that they are full.
const FULL: [i32; 2] = [7, 28];

pub(super) struct Maps {
    v4: Bans<V4Key>,
    v6: Bans<V6Key>,
    net: LpmTrie<MapData, Network, Ban>,
    allow: LpmTrie<MapData, Network, Allowed>,
    ports: Array<MapData, Ports>,
    guarded: Array<MapData, Guarded>,
    /// What is in these two. `None` before this daemon has set it.
    set: Option<Box<(Ports, Guarded)>>,
    recent: PerCpuArray<MapData, Recent>,
    counters: PerCpuArray<MapData, Counters>,
}

/// One of the hash maps, for one entry at a time and for all at once.
struct Bans<K> {
    single: HashMap<MapData, K, Ban>,
    bulk: Bulk<K, Ban>,
}

impl<K: Pod + Eq + Hash> Bans<K> {
    fn open(pin: &Path) -> Result<Self, FirewallError> {
        Ok(Self { single: open(pin)?, bulk: Bulk::open(pin)? })
    }

    fn entries(&self) -> Result<Vec<(K, Ban)>, FirewallError> {
        all_of(&self.bulk, self.single.iter())
    }
}

impl Maps {
    pub(super) fn open(pins: &PinDir) -> Result<Self, FirewallError> {
        Ok(Self {
            v4: Bans::open(&pins.map(map::BANS_V4))?,
            v6: Bans::open(&pins.map(map::BANS_V6))?,
            net: open(&pins.map(map::BANS_NET))?,
            allow: open(&pins.map(map::ALLOW))?,
            ports: open(&pins.map(map::PORTS))?,
            guarded: open(&pins.map(map::GUARDED))?,
            set: None,
            recent: open(&pins.map(map::RECENT))?,
            counters: open(&pins.map(map::COUNTERS))?,
        })
    }

    /// Goes on with the settings that `before` has set.
    pub(super) fn succeed(&mut self, before: &mut Self) {
        self.set = before.set.take();
    }

    pub(super) fn v4(&self) -> Result<Vec<(V4Key, Ban)>, FirewallError> {
        self.v4.entries()
    }

    pub(super) fn v6(&self) -> Result<Vec<(V6Key, Ban)>, FirewallError> {
        self.v6.entries()
    }

    pub(super) fn networks(&self) -> Result<Vec<(IpNet, Ban)>, FirewallError> {
        networks(self.net.iter())
    }

    /// Sets as many as go at once, from the first one on, and says how many that were.
    pub(super) fn put_v4(&self, keys: &[V4Key], bans: &[Ban]) -> usize {
        self.v4.bulk.update(keys, bans)
    }

    pub(super) fn put_v6(&self, keys: &[V6Key], bans: &[Ban]) -> usize {
        self.v6.bulk.update(keys, bans)
    }

    /// Sets all of them, at once as far as that goes.
    pub(super) fn put_all_v4(&mut self, keys: &[V4Key], bans: &[Ban]) -> Result<(), FirewallError> {
        let done = self.put_v4(keys, bans);
        let mut rest = keys.iter().zip(bans).skip(done);
        rest.try_for_each(|(key, ban)| self.put(&Slot::V4(*key), ban, &v4_subject(*key)))
    }

    pub(super) fn put_all_v6(&mut self, keys: &[V6Key], bans: &[Ban]) -> Result<(), FirewallError> {
        let done = self.put_v6(keys, bans);
        let mut rest = keys.iter().zip(bans).skip(done);
        rest.try_for_each(|(key, ban)| {
            self.put(&Slot::V6(*key), ban, &v6_subject(*key, ban.prefix_len))
        })
    }

    pub(super) fn set_counters(&mut self, counters: Vec<Counters>) -> Result<(), FirewallError> {
        PerCpuValues::try_from(counters).map_err(FirewallError::io("set the counters")).and_then(
            |values| {
                self.counters.set(0, values, 0).map_err(FirewallError::bpf("set the counters"))
            },
        )
    }

    pub(super) fn get(&self, slot: &Slot) -> Result<Option<Ban>, FirewallError> {
        let found = match slot {
            Slot::V4(key) => self.v4.single.get(key, 0),
            Slot::V6(key) => self.v6.single.get(key, 0),
            // A trie answers with the longest match, which may be a wider network.
            Slot::Net { bits, network } => {
                let key = Key::new(*bits, *network);
                match self.net.get(&key, 0) {
                    Ok(ban) if FAMILY_BITS + u32::from(ban.prefix_len) != *bits => return Ok(None),
                    found => found,
                }
            }
        };
        absent_is_none(found, "look a ban up")
    }

    pub(super) fn put(
        &mut self,
        slot: &Slot,
        ban: &Ban,
        subject: &IpNet,
    ) -> Result<(), FirewallError> {
        let result = match slot {
            Slot::V4(key) => self.v4.single.insert(key, ban, 0),
            Slot::V6(key) => self.v6.single.insert(key, ban, 0),
            Slot::Net { bits, network } => self.net.insert(&Key::new(*bits, *network), ban, 0),
        };
        result.map_err(|error| match errno(&error) {
            Some(code) if FULL.contains(&code) => FirewallError::Full(*subject),
            _ => FirewallError::bpf(format!("ban {subject}"))(error),
        })
    }

    /// `false` where there was no such ban.
    pub(super) fn remove(&mut self, slot: &Slot) -> Result<bool, FirewallError> {
        let removed = match slot {
            Slot::V4(key) => self.v4.single.remove(key),
            Slot::V6(key) => self.v6.single.remove(key),
            Slot::Net { bits, network } => self.net.remove(&Key::new(*bits, *network)),
        };
        Ok(absent_is_none(removed, "remove a ban")?.is_some())
    }

    /// Copies bans of IPv6 prefixes that the program will no longer mask by into the trie,
    /// where networks of any length are found. In the hash map they stay until
    /// [`Maps::remove`], for the program that still masks by them.
    pub(super) fn copy_foreign_prefixes(
        &mut self,
        ipv6_prefix: u8,
    ) -> Result<Vec<(V6Key, IpNet)>, FirewallError> {
        let mut copied = Vec::new();
        let mut left = 0_usize;
        for (key, ban) in self.v6()? {
            if ban.prefix_len == ipv6_prefix {
                continue;
            }
            let subject = v6_subject(key, ban.prefix_len);
            match self.put(&Slot::network(&subject), &ban, &subject) {
                Ok(()) => copied.push((key, subject)),
                Err(FirewallError::Full(_)) => left += 1,
                Err(error) => return Err(error),
            }
        }
        if left > 0 {
            tracing::warn!(
                "{left} bans of IPv6 prefixes that are not /{ipv6_prefix} are not in force: there \
                 is no more room for networks; an earlier --ipv6-prefix brings them back"
            );
        }
        Ok(copied)
    }

    pub(super) fn bans(&self, clock: Clock) -> Result<Vec<Enforced>, FirewallError> {
        let v4 = self.v4()?.into_iter().map(|(key, ban)| (v4_subject(key), ban));
        let v6 = self.v6()?.into_iter().map(|(key, ban)| (v6_subject(key, ban.prefix_len), ban));
        let net: StdHashMap<IpNet, Ban> = self.networks()?.into_iter().collect();
        let mut bans: Vec<(IpNet, Ban)> = v4.chain(v6).chain(net).collect();
        self.add_recent(&mut bans)?;
        Ok(bans.into_iter().map(|(subject, ban)| enforced(subject, &ban, clock)).collect())
    }

    pub(super) fn counters(&self) -> Result<Counters, FirewallError> {
        let per_cpu = self.counters.get(&0, 0).map_err(FirewallError::bpf("read the counters"))?;
        Ok(per_cpu.iter().fold(Counters::default(), |sum, one| Counters {
            dropped_packets: sum.dropped_packets + one.dropped_packets,
            dropped_bytes: sum.dropped_bytes + one.dropped_bytes,
            dropped_tcp: sum.dropped_tcp + one.dropped_tcp,
            dropped_udp: sum.dropped_udp + one.dropped_udp,
            dropped_fragment: sum.dropped_fragment + one.dropped_fragment,
            dropped_hidden: sum.dropped_hidden + one.dropped_hidden,
            answered_reset: sum.answered_reset + one.answered_reset,
            passed_other: sum.passed_other + one.passed_other,
            passed_port: sum.passed_port + one.passed_port,
            passed_clean: sum.passed_clean + one.passed_clean,
            passed_expired: sum.passed_expired + one.passed_expired,
            passed_allowed: sum.passed_allowed + one.passed_allowed,
            events_lost: sum.events_lost + one.events_lost,
            events_held_back: sum.events_held_back + one.events_held_back,
        }))
    }

    pub(super) fn settings(&self) -> Result<Ports, FirewallError> {
        self.ports.get(&0, 0).map_err(FirewallError::bpf("read the guarded ports"))
    }

    /// How often anything was changed that a verdict depends on.
    pub(super) fn changes(&self) -> Result<u64, FirewallError> {
        match &self.set {
            Some(set) => Ok(set.1.changes),
            None => {
                let guarded = self.guarded.get(&0, 0);
                Ok(guarded.map_err(FirewallError::bpf("read the guarded ports"))?.changes)
            }
        }
    }

    /// Puts `settings` into force, and with them whatever has changed in the other maps: from
    /// here on the kernel judges every source anew.
    pub(super) fn set_settings(&mut self, settings: &Ports) -> Result<(), FirewallError> {
        let failed = FirewallError::bpf("set the guarded ports");
        let changes = self.changes()? + 1;
        let set = match self.set.take() {
            // The bits of all ports take longer to find than to write.
            Some(mut set) if set.0 == *settings => {
                set.1.changes = changes;
                set
            }
            _ => Box::new((*settings, Guarded::new(settings, changes))),
        };
        self.ports
            .set(0, &set.0, 0)
            .and_then(|()| self.guarded.set(0, &set.1, 0))
            .map_err(failed)?;
        self.set = Some(set);
        Ok(())
    }

    pub(super) fn count_networks(&self) -> Result<u32, FirewallError> {
        Ok(count(self.networks()?.len()))
    }

    pub(super) fn allowed(&self) -> Result<Vec<IpNet>, FirewallError> {
        Ok(networks(self.allow.iter())?.into_iter().map(|(net, _)| net).collect())
    }

    pub(super) fn add_allowed(&mut self, wanted: &[IpNet]) -> Result<(), FirewallError> {
        for net in wanted {
            let (bits, network) = trie_key(&net.trunc());
            self.allow
                .insert(&Key::new(bits, network), &Allowed { present: 1 }, 0)
                .map_err(FirewallError::bpf(format!("put {net} on the allow list")))?;
        }
        Ok(())
    }

    /// Removes every allowed network that is not `wanted`.
    pub(super) fn keep_allowed(&mut self, wanted: &[IpNet]) -> Result<(), FirewallError> {
        for (net, _) in networks(self.allow.iter())? {
            if !wanted.iter().any(|wanted| wanted.trunc() == net) {
                let (bits, network) = trie_key(&net);
                let removed = self.allow.remove(&Key::new(bits, network));
                absent_is_none(removed, "take a network off the allow list")?;
            }
        }
        Ok(())
    }
}

pub(super) fn open<M>(pin: &Path) -> Result<M, FirewallError>
where
    M: TryFrom<Map, Error = MapError>,
{
    MapData::from_pin(pin)
        .and_then(Map::from_map_data)
        .and_then(M::try_from)
        .map_err(FirewallError::bpf(format!("open the pinned map {}", pin.display())))
}

/// Everything in a hash map, at once where the kernel can do that, and each key once.
pub(super) fn all_of<K: Pod + Eq + Hash, V: Pod>(
    bulk: &Bulk<K, V>,
    walk: impl Iterator<Item = Result<(K, V), MapError>>,
) -> Result<Vec<(K, V)>, FirewallError> {
    match bulk.entries() {
        Some(entries) => Ok(entries),
        // A walk over a map that changes meanwhile may come by an entry twice.
        None => {
            let once: StdHashMap<K, V> = entries(walk)?.into_iter().collect();
            Ok(once.into_iter().collect())
        }
    }
}

/// Everything in a map that the kernel may change while it is read.
fn entries<K: Pod, V: Pod>(
    walk: impl Iterator<Item = Result<(K, V), MapError>>,
) -> Result<Vec<(K, V)>, FirewallError> {
    // Deleting the entry a walk stands on makes it start over; this many steps are enough
    // for any map here, and an end is certain.
    const STEPS: usize = 1 << 25;
    walk.take(STEPS).collect::<Result<_, _>>().map_err(FirewallError::bpf("read a pinned map"))
}

pub(super) fn networks<V: Pod>(
    walk: impl Iterator<Item = Result<(Key<Network>, V), MapError>>,
) -> Result<Vec<(IpNet, V)>, FirewallError> {
    let subject =
        |(key, value): (Key<Network>, V)| (trie_subject(key.prefix_len(), key.data()), value);
    Ok(entries(walk)?.into_iter().map(subject).collect())
}

fn enforced(subject: IpNet, ban: &Ban, clock: Clock) -> Enforced {
    Enforced {
        order: Order {
            subject,
            banned_at: LogTime::from_secs(i64::from(ban.banned_at)),
            expires: clock.wall(ban.expires),
            attempts: u32::from(ban.attempts),
        },
        dropped_packets: ban.dropped_packets,
        dropped_bytes: ban.dropped_bytes,
        // It was in the moment before the next one.
        last_seen: (ban.last_seen != 0)
            .then(|| clock.wall(ban.last_seen.saturating_add(1)))
            .flatten(),
    }
}

/// As the kernel is told: it wants to know whether there are any.
pub(super) fn count(entries: usize) -> u32 {
    u32::try_from(entries).unwrap_or(u32::MAX)
}

fn absent_is_none<T>(
    result: Result<T, MapError>,
    action: &str,
) -> Result<Option<T>, FirewallError> {
    const ENOENT: i32 = 2;
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) if errno(&error) == Some(ENOENT) => Ok(None),
        Err(error) => Err(FirewallError::bpf(action)(error)),
    }
}

fn errno(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}
