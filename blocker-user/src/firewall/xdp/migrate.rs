//! Pins of another version, or of another `max_bans`: new maps take over what the old ones
//! hold. The old ones stay pinned, and the old program enforces from them, until the program
//! is replaced; then the new pins are renamed over the old ones (`PinDir::keep`). A start that
//! is killed on the way leaves enforcement as it is, and the next start begins anew.

use std::{num::NonZeroU32, path::Path};

use aya::{
    Pod,
    maps::{Array, HashMap, LpmTrie, MapData, MapInfo, PerCpuArray, lpm_trie::Key},
};
use blocker_common::abi::{
    Allowed, Ban, Counters, MAX_NETWORKS, Network, PortRange, Ports, V4Key, V6Key, map,
};
use ipnet::IpNet;

use super::{
    batch::Bulk,
    maps::{Maps, all_of, networks, open},
};
use crate::firewall::{
    FirewallError,
    pins::PinDir,
    slot::{Slot, v4_subject, v6_subject},
};

/// A ban of either layout: both have this size.
type AnyBan = [u8; 40];
/// Values as the first version pinned them, byte by byte.
type PortsV1 = [u8; 136];
type CountersV1 = [u8; 56];

/// Bytes of keys and values, and the number of entries.
#[derive(PartialEq, Eq, Debug)]
struct Shape(usize, usize, usize);

/// What this version, with so many bans, wants a map to be.
fn wanted(name: &str, max_bans: NonZeroU32) -> Shape {
    let max_bans = usize::try_from(max_bans.get()).unwrap_or(usize::MAX);
    match name {
        map::BANS_V4 => Shape(size_of::<V4Key>(), size_of::<Ban>(), max_bans),
        map::BANS_V6 => Shape(size_of::<V6Key>(), size_of::<Ban>(), max_bans),
        map::BANS_NET => Shape(size_of::<Key<Network>>(), size_of::<Ban>(), MAX_NETWORKS),
        map::ALLOW => Shape(size_of::<Key<Network>>(), size_of::<Allowed>(), MAX_NETWORKS),
        map::PORTS => Shape(size_of::<u32>(), size_of::<Ports>(), 1),
        _ => Shape(size_of::<u32>(), size_of::<Counters>(), 1),
    }
}

/// In the order in which they are replaced, `ports` after the bans: it tells their layout.
const MAPS: [&str; 6] =
    [map::BANS_V4, map::BANS_V6, map::BANS_NET, map::ALLOW, map::PORTS, map::COUNTERS];
const BANS: [&str; 3] = [map::BANS_V4, map::BANS_V6, map::BANS_NET];

/// The pinned maps that this version cannot go on with as they are.
pub(super) fn outdated(
    pins: &Path,
    max_bans: NonZeroU32,
) -> Result<Vec<&'static str>, FirewallError> {
    let mut outdated = Vec::new();
    let ports = shape(pins, map::PORTS)?;
    let is_first_layout = ports.is_some_and(|Shape(_, value, _)| value == size_of::<PortsV1>());
    for name in MAPS {
        let Some(found) = shape(pins, name)? else { continue };
        if found != wanted(name, max_bans) || (is_first_layout && BANS.contains(&name)) {
            require_known(pins, name, &found)?;
            outdated.push(name);
        }
    }
    if !outdated.is_empty() {
        tracing::info!("made anew, with what is in them: {}", outdated.join(", "));
    }
    Ok(outdated)
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
    Ok(Some(Shape(size(info.key_size()), size(info.value_size()), size(info.max_entries()))))
}

/// Only shapes that some version had can be read.
fn require_known(pins: &Path, name: &str, found: &Shape) -> Result<(), FirewallError> {
    let Shape(key, value, _) = *found;
    let known = match name {
        map::BANS_V4 => (size_of::<V4Key>(), size_of::<AnyBan>()),
        map::BANS_V6 => (size_of::<V6Key>(), size_of::<AnyBan>()),
        map::BANS_NET => (size_of::<Key<Network>>(), size_of::<AnyBan>()),
        map::ALLOW => (size_of::<Key<Network>>(), size_of::<Allowed>()),
        map::PORTS => (size_of::<u32>(), size_of::<PortsV1>()),
        _ => (size_of::<u32>(), size_of::<CountersV1>()),
    };
    if (key, value) == known {
        return Ok(());
    }
    Err(FirewallError::IncompatiblePins {
        dir: pins.to_owned(),
        reason: format!("{name} has keys of {key} bytes and values of {value}"),
    })
}

/// Fills the successors of `outdated` with what those hold. The old program counts on in the
/// old ones meanwhile: what it drops between here and its replacement is lost to the
/// statistics, not to the verdict.
pub(super) fn fill(
    maps: &mut Maps,
    pins: &PinDir,
    outdated: &[&str],
    max_bans: NonZeroU32,
) -> Result<(), FirewallError> {
    let room = usize::try_from(max_bans.get()).unwrap_or(usize::MAX);
    for &name in outdated {
        let old = pins.path().join(name);
        match name {
            map::BANS_V4 => {
                let (keys, bans) = bans::<V4Key>(&old, room)?;
                let done = maps.put_v4(&keys, &bans);
                for (key, ban) in keys.iter().zip(&bans).skip(done) {
                    maps.put(&Slot::V4(*key), ban, &v4_subject(*key))?;
                }
            }
            map::BANS_V6 => {
                let (keys, bans) = bans::<V6Key>(&old, room)?;
                let done = maps.put_v6(&keys, &bans);
                for (key, ban) in keys.iter().zip(&bans).skip(done) {
                    maps.put(&Slot::V6(*key), ban, &v6_subject(*key, ban.prefix_len))?;
                }
            }
            map::BANS_NET => {
                let trie: LpmTrie<MapData, Network, AnyBan> = open(&old)?;
                for (subject, value) in networks(trie.iter())? {
                    maps.put(&Slot::network(&subject), &ban(&value), &subject)?;
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
                maps.set_settings(&ports(&value))?;
            }
            _ => {
                let array: PerCpuArray<MapData, CountersV1> = open(&old)?;
                let values = array.get(&0, 0).map_err(FirewallError::bpf("read the counters"))?;
                maps.set_counters(values.iter().map(counters).collect())?;
            }
        }
    }
    Ok(())
}

/// As many bans of a hash map as there is room for, the ones that end last.
fn bans<K: Pod + Eq + std::hash::Hash>(
    old: &Path,
    room: usize,
) -> Result<(Vec<K>, Vec<Ban>), FirewallError> {
    let map: HashMap<MapData, K, AnyBan> = open(old)?;
    let bulk = Bulk::<K, AnyBan>::open(old)?;
    let mut bans: Vec<(K, Ban)> =
        all_of(&bulk, map.iter())?.into_iter().map(|(key, value)| (key, ban(&value))).collect();
    if bans.len() > room {
        bans.sort_unstable_by_key(|(_, ban)| std::cmp::Reverse(ban.expires_ns));
        tracing::warn!(
            "max_bans is less than there are bans in force: the {} that end soonest are lifted",
            bans.len() - room
        );
        bans.truncate(room);
    }
    Ok(bans.into_iter().unzip())
}

/// The bytes at `at`; zeros behind the end, which the sizes above rule out.
fn bytes<const N: usize>(value: &[u8], at: usize) -> [u8; N] {
    value.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

fn u64_at(value: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes(value, at))
}

fn u32_at(value: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes(value, at))
}

/// The layouts part behind the third number. A crash may have left some maps of each, so that
/// every ban tells for itself: its last byte is the serial, or it was 0.
fn ban(value: &AnyBan) -> Ban {
    let counted = Ban {
        expires_ns: u64_at(value, 0),
        dropped_packets: u64_at(value, 8),
        dropped_bytes: u64_at(value, 16),
        ..Ban::default()
    };
    match bytes(value, 36) {
        [low, high, prefix_len, serial] if serial != 0 => Ban {
            last_seen_ns: u64_at(value, 24),
            banned_at: u32_at(value, 32),
            attempts: u16::from_ne_bytes([low, high]),
            prefix_len,
            serial,
            ..counted
        },
        first_layout => Ban {
            banned_at: u32::try_from(u64_at(value, 24)).unwrap_or(u32::MAX),
            attempts: u16::try_from(u32_at(value, 32)).unwrap_or(u16::MAX),
            prefix_len: u8::try_from(u32::from_ne_bytes(first_layout)).unwrap_or(128),
            serial: 1,
            ..counted
        },
    }
}

fn ports(value: &PortsV1) -> Ports {
    let mut ports =
        Ports { networks: u32_at(value, 128), allowed: u32_at(value, 132), ..Ports::default() };
    let number = |at| u16::from_ne_bytes(bytes(value, at));
    for (range, at) in ports.tcp.iter_mut().zip((0..).step_by(4)) {
        *range = PortRange { first: number(at), last: number(at + 2) };
    }
    ports
}

fn counters(value: &CountersV1) -> Counters {
    Counters {
        dropped_packets: u64_at(value, 0),
        dropped_bytes: u64_at(value, 8),
        passed_other: u64_at(value, 16),
        passed_port: u64_at(value, 24),
        passed_clean: u64_at(value, 32),
        passed_expired: u64_at(value, 40),
        passed_allowed: u64_at(value, 48),
        // There was no other reason but for chains of headers, which are rare.
        dropped_tcp: u64_at(value, 0),
        ..Counters::default()
    }
}
