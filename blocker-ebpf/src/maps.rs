//! The maps, and the read-only globals that the loader sets. Names and layouts are
//! `blocker_common::abi`'s.
#![expect(non_upper_case_globals, reason = "a static's name is the map's name and its pin's")]

use aya_ebpf::{
    Global,
    btf_maps::{Array, HashMap, LpmTrie, PerCpuArray, RingBuf},
    macros::btf_map,
};
use blocker_common::abi::{
    Allowed, Ban, Counters, DropEvent, EVENT_BYTES, FIRST_BANS, Guarded, MAX_NETWORKS, Network,
    Ports, RECENT, Recent, V4Key, V6Key,
};

#[btf_map(pin_by_name)]
pub(crate) static bans_v4: HashMap<V4Key, Ban, FIRST_BANS> = HashMap::new();

#[btf_map(pin_by_name)]
pub(crate) static bans_v6: HashMap<V6Key, Ban, FIRST_BANS> = HashMap::new();

#[btf_map(pin_by_name)]
pub(crate) static bans_net: LpmTrie<Network, Ban, MAX_NETWORKS> = LpmTrie::new();

#[btf_map(pin_by_name)]
pub(crate) static allow: LpmTrie<Network, Allowed, MAX_NETWORKS> = LpmTrie::new();

#[btf_map(pin_by_name)]
/// Not read here: it is there for people, and for the next daemon.
pub(crate) static ports: Array<Ports, 1> = Array::new();

#[btf_map(pin_by_name)]
pub(crate) static guarded: Array<Guarded, 1> = Array::new();

#[btf_map(pin_by_name)]
pub(crate) static counters: PerCpuArray<Counters, 1> = PerCpuArray::new();

#[btf_map(pin_by_name)]
pub(crate) static recent: PerCpuArray<Recent, RECENT> = PerCpuArray::new();

#[btf_map(pin_by_name)]
pub(crate) static events: RingBuf<DropEvent, EVENT_BYTES> = RingBuf::new();

/// What a CPU has written of its events lately.
#[repr(C)]
pub(crate) struct Budget {
    /// Counts about a second each.
    pub(crate) period: u64,
    pub(crate) written: u64,
}

/// Of this program alone, and forgotten with it.
#[btf_map]
pub(crate) static event_budget: PerCpuArray<Budget, 1> = PerCpuArray::new();

/// See `blocker_common::abi::global`.
#[unsafe(no_mangle)]
pub(crate) static V6_MASK: Global<[u64; 2]> = Global::new([u64::MAX, 0]);
/// See `blocker_common::abi::global`.
#[unsafe(no_mangle)]
pub(crate) static COARSE_CLOCK: Global<u8> = Global::new(1);
/// See `blocker_common::abi::global`.
#[unsafe(no_mangle)]
pub(crate) static FRAGS: Global<u8> = Global::new(0);
/// See `blocker_common::abi::global`.
#[unsafe(no_mangle)]
pub(crate) static TRACE: Global<u8> = Global::new(0);
