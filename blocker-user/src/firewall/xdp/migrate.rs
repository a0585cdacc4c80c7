//! Pins of another version, or with too much room or too little: new maps take over what the old
//! ones hold. The old ones stay pinned, and the old program enforces from them, until the
//! program is replaced; then the new pins are renamed over the old ones (`PinDir::keep`). A
//! start that is killed on the way leaves enforcement as it is, and the next start begins anew.

mod layout1;

use std::{hash::Hash, num::NonZeroU32, path::Path};

use aya::{
    Pod,
    maps::{Array, HashMap, LpmTrie, MapData, MapInfo, PerCpuArray, lpm_trie::Key},
};
use blocker_common::abi::{
    Allowed, Ban, Counters, MAX_NETWORKS, Network, Ports, V4Key, V6Key, map,
};
use ipnet::IpNet;

use super::{
    batch::Bulk,
    capacity::{Capacity, room_for, too_few_for},
    maps::{Maps, all_of, networks, open},
};
use crate::firewall::{FirewallError, pins::PinDir, slot::Slot};
use layout1::{BanV1, CountersV1, PortsV1};

/// Bytes of keys and values.
type Sizes = (usize, usize);

/// What a pinned map is like.
struct Shape {
    sizes: Sizes,
    entries: u32,
    flags: u32,
}

/// `BPF_F_NO_PREALLOC`, which the maps of bans had.
const ON_DEMAND: u32 = 1;

/// In the order in which they are replaced, `ports` after the bans: it tells their layout.
const MAPS: [&str; 6] =
    [map::BANS_V4, map::BANS_V6, map::BANS_NET, map::ALLOW, map::PORTS, map::COUNTERS];

/// What a start makes of the pins it finds.
pub(super) struct Plan {
    /// The maps that it cannot go on with as they are.
    pub(super) outdated: Vec<&'static str>,
    /// What the hash maps of bans will have.
    pub(super) capacity: Capacity,
}

impl Plan {
    pub(super) fn new(pins: &Path, max_bans: NonZeroU32) -> Result<Self, FirewallError> {
        let mut outdated = Vec::new();
        for name in MAPS {
            let Some(found) = shape(pins, name)? else { continue };
            let is_outdated = match name {
                map::BANS_V4 | map::BANS_V6 => {
                    found.sizes != sizes(name) || found.flags & ON_DEMAND != 0
                }
                map::BANS_NET | map::ALLOW => {
                    found.sizes != sizes(name) || usize::try_from(found.entries) != Ok(MAX_NETWORKS)
                }
                _ => found.sizes != sizes(name),
            };
            if is_outdated {
                require_known(pins, name, found.sizes)?;
                outdated.push(name);
            }
        }
        let capacity = Capacity {
            v4: capacity::<V4Key>(pins, map::BANS_V4, max_bans, &mut outdated)?,
            v6: capacity::<V6Key>(pins, map::BANS_V6, max_bans, &mut outdated)?,
        };
        if !outdated.is_empty() {
            tracing::info!("made anew, with what is in them: {}", outdated.join(", "));
        }
        Ok(Self { outdated, capacity })
    }

    /// Fills the successors of the outdated maps with what those hold. The old program counts on
    /// in the old ones meanwhile: what it drops between here and its replacement is lost to the
    /// statistics, not to the verdict.
    pub(super) fn fill(&self, maps: &mut Maps, pins: &PinDir) -> Result<(), FirewallError> {
        for &name in &self.outdated {
            let old = pins.path().join(name);
            match name {
                map::BANS_V4 => {
                    let (keys, bans) = last_to_end(bans_in::<V4Key>(&old)?, self.capacity.v4);
                    maps.put_all_v4(&keys, &bans)?;
                }
                map::BANS_V6 => {
                    let (keys, bans) = last_to_end(bans_in::<V6Key>(&old)?, self.capacity.v6);
                    maps.put_all_v6(&keys, &bans)?;
                }
                map::BANS_NET => {
                    let trie: LpmTrie<MapData, Network, BanV1> = open(&old)?;
                    for (subject, value) in networks(trie.iter())? {
                        maps.put(&Slot::network(&subject), &layout1::ban(&value), &subject)?;
                    }
                }
                map::ALLOW => {
                    let trie: LpmTrie<MapData, Network, Allowed> = open(&old)?;
                    let allowed = networks(trie.iter())?.into_iter().map(|(network, _)| network);
                    maps.add_allowed(&allowed.collect::<Vec<IpNet>>())?;
                }
                map::PORTS => {
                    let array: Array<MapData, PortsV1> = open(&old)?;
                    let value =
                        array.get(&0, 0).map_err(FirewallError::bpf("read the guarded ports"))?;
                    maps.set_settings(&layout1::ports(&value))?;
                }
                _ => {
                    let array: PerCpuArray<MapData, CountersV1> = open(&old)?;
                    let values =
                        array.get(&0, 0).map_err(FirewallError::bpf("read the counters"))?;
                    maps.set_counters(values.iter().map(layout1::counters).collect())?;
                }
            }
        }
        Ok(())
    }
}

/// What this version wants.
fn sizes(name: &str) -> Sizes {
    match name {
        map::BANS_V4 => (size_of::<V4Key>(), size_of::<Ban>()),
        map::BANS_V6 => (size_of::<V6Key>(), size_of::<Ban>()),
        map::BANS_NET => (size_of::<Key<Network>>(), size_of::<Ban>()),
        map::ALLOW => (size_of::<Key<Network>>(), size_of::<Allowed>()),
        map::PORTS => (size_of::<u32>(), size_of::<Ports>()),
        _ => (size_of::<u32>(), size_of::<Counters>()),
    }
}

/// Only sizes that some version had can be read.
fn require_known(pins: &Path, name: &str, found: Sizes) -> Result<(), FirewallError> {
    let (key, now) = sizes(name);
    let before = match name {
        map::BANS_V4 | map::BANS_V6 | map::BANS_NET => size_of::<BanV1>(),
        map::PORTS => size_of::<PortsV1>(),
        map::COUNTERS => size_of::<CountersV1>(),
        _ => now,
    };
    // Of this version's only those may be of another kind or number.
    let is_hash = matches!(name, map::BANS_V4 | map::BANS_V6);
    if found == (key, before) || (is_hash && found == (key, now)) {
        return Ok(());
    }
    let (key, value) = found;
    Err(FirewallError::IncompatiblePins {
        dir: pins.to_owned(),
        reason: format!("{name} has keys of {key} bytes and values of {value}"),
    })
}

/// `None` where there is no such pin.
fn shape(pins: &Path, name: &str) -> Result<Option<Shape>, FirewallError> {
    let pin = pins.join(name);
    if !pin.exists() {
        return Ok(None);
    }
    let info = MapInfo::from_pin(&pin)
        .map_err(FirewallError::bpf(format!("look at the pinned map {name}")))?;
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(Some(Shape {
        sizes: (size(info.key_size()), size(info.value_size())),
        entries: info.max_entries(),
        flags: info.map_flags(),
    }))
}

/// What the hash map `name` will have. That of the pinned one, if it is no more than `max_bans`
/// and no waste; otherwise the pinned one is outdated.
fn capacity<K: Pod + Eq + Hash>(
    pins: &Path,
    name: &'static str,
    max_bans: NonZeroU32,
    outdated: &mut Vec<&'static str>,
) -> Result<u32, FirewallError> {
    let Some(found) = shape(pins, name)? else { return Ok(room_for(0, max_bans)) };
    let pin = pins.join(name);
    let is_outdated = outdated.contains(&name) || found.entries > max_bans.get();
    if !is_outdated {
        let few = too_few_for(found.entries);
        if few == 0 || Bulk::<K, Ban>::open(&pin)?.has_more_than(few) {
            return Ok(found.entries);
        }
    }
    let bans = bans_in::<K>(&pin)?.len();
    let capacity = room_for(bans, max_bans);
    if !outdated.contains(&name) {
        outdated.push(name);
    }
    Ok(capacity)
}

/// What is in a hash map of bans, of whichever version.
fn bans_in<K: Pod + Eq + Hash>(pin: &Path) -> Result<Vec<(K, Ban)>, FirewallError> {
    let info = MapInfo::from_pin(pin)
        .map_err(FirewallError::bpf(format!("look at the pinned map {}", pin.display())))?;
    if usize::try_from(info.value_size()) == Ok(size_of::<BanV1>()) {
        let map: HashMap<MapData, K, BanV1> = open(pin)?;
        let bans = all_of(&Bulk::open(pin)?, map.iter())?;
        return Ok(bans.into_iter().map(|(key, value)| (key, layout1::ban(&value))).collect());
    }
    let map: HashMap<MapData, K, Ban> = open(pin)?;
    all_of(&Bulk::open(pin)?, map.iter())
}

/// As many bans as there is room for, the ones that end last.
fn last_to_end<K>(mut bans: Vec<(K, Ban)>, room: u32) -> (Vec<K>, Vec<Ban>) {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if bans.len() > room {
        bans.sort_unstable_by_key(|(_, ban)| std::cmp::Reverse(ban.expires));
        tracing::warn!(
            "max_bans is less than there are bans in force: the {} that end soonest are lifted",
            bans.len() - room
        );
        bans.truncate(room);
    }
    bans.into_iter().unzip()
}
