//! One XDP entry point: packet in, verdict out. Policy lives in user space; this reads the
//! maps and never decides who is banned.
//!
//! Order of the questions, cheapest and most telling first: is it TCP to a guarded port? is
//! the source banned? has the ban ended? is the source on the allow list? Whatever is not
//! understood, and whatever a failing helper leaves open, passes.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    Global,
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    btf_maps::{Array, HashMap, LpmTrie, PerCpuArray, RingBuf, lpm_trie::Key},
    helpers::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use aya_log_ebpf::debug;
use blocker_common::{
    abi::{
        Allowed, Ban, Counters, DropEvent, EVENT_BYTES, FAMILY_BITS, FAMILY_V4, FAMILY_V6, Guarded,
        MAX_BANS, MAX_NETWORKS, Network, Ports, RECENT, Recent, V4Key, V6Key,
    },
    packet::{Bytes, Segment, Source, classify},
};

/// `BPF_F_NO_PREALLOC`: an entry takes memory when it is added.
const ON_DEMAND: usize = 1;

// Lower case, because the name of the static is the name of the map and of its pin.
#[btf_map(pin_by_name)]
#[expect(non_upper_case_globals, reason = "the name of the map")]
static bans_v4: HashMap<V4Key, Ban, MAX_BANS, ON_DEMAND> = HashMap::new();

#[btf_map(pin_by_name)]
#[expect(non_upper_case_globals, reason = "the name of the map")]
static bans_v6: HashMap<V6Key, Ban, MAX_BANS, ON_DEMAND> = HashMap::new();

#[btf_map(pin_by_name)]
#[expect(non_upper_case_globals, reason = "the name of the map")]
static bans_net: LpmTrie<Network, Ban, MAX_NETWORKS> = LpmTrie::new();

#[btf_map(pin_by_name)]
#[expect(non_upper_case_globals, reason = "the name of the map")]
static allow: LpmTrie<Network, Allowed, MAX_NETWORKS> = LpmTrie::new();

#[btf_map(pin_by_name)]
#[expect(non_upper_case_globals, reason = "the name of the map")]
static ports: Array<Ports, 1> = Array::new();

#[btf_map(pin_by_name)]
#[expect(non_upper_case_globals, reason = "the name of the map")]
static counters: PerCpuArray<Counters, 1> = PerCpuArray::new();

#[btf_map(pin_by_name)]
#[expect(non_upper_case_globals, reason = "the name of the map")]
static guarded: Array<Guarded, 1> = Array::new();

#[btf_map(pin_by_name)]
#[expect(non_upper_case_globals, reason = "the name of the map")]
static recent: PerCpuArray<Recent, RECENT> = PerCpuArray::new();

#[btf_map(pin_by_name)]
#[expect(non_upper_case_globals, reason = "the name of the map")]
static events: RingBuf<DropEvent, EVENT_BYTES> = RingBuf::new();

/// See `blocker_common::abi::global`.
#[unsafe(no_mangle)]
static V6_MASK: Global<[u64; 2]> = Global::new([u64::MAX, 0]);
/// See `blocker_common::abi::global`.
#[unsafe(no_mangle)]
static COARSE_CLOCK: Global<u8> = Global::new(1);
/// See `blocker_common::abi::global`.
#[unsafe(no_mangle)]
static TRACE: Global<u8> = Global::new(0);

/// The packet in the driver's buffer.
struct Frame {
    start: usize,
    end: usize,
}

impl Bytes for Frame {
    #[inline(always)]
    fn get<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = self.start + offset;
        if at + N > self.end {
            return None;
        }
        // SAFETY: `at .. at + N` lies inside the packet, as just checked; the verifier
        // demands the same check. A byte array has no alignment to violate.
        Some(unsafe { *(at as *const [u8; N]) })
    }
}

#[xdp(frags)]
#[expect(clippy::needless_pass_by_value, reason = "the signature that the attribute demands")]
fn doveblock(ctx: XdpContext) -> u32 {
    let frame = Frame { start: ctx.data(), end: ctx.data_end() };
    let Some(count) = counters.get_ptr_mut(0) else { return XDP_PASS };
    // SAFETY: the pointer is to this CPU's own slot, which nothing else writes while the
    // program runs, and it stays valid for as long as the map does.
    let count = unsafe { &mut *count };

    let Some(segment) = classify(&frame) else {
        count.passed_other += 1;
        return XDP_PASS;
    };
    let Some(settings) = ports.get(0) else { return XDP_PASS };
    let Some(ports_guarded) = guarded.get(0) else { return XDP_PASS };
    // Whoever hides the port behind a chain of headers is judged as if it were guarded.
    if segment.port.is_some_and(|port| !ports_guarded.tcp(port)) {
        count.passed_port += 1;
        return XDP_PASS;
    }
    let ban = match find_ban(&segment.source, settings) {
        Found::Nothing => {
            count.passed_clean += 1;
            return XDP_PASS;
        }
        Found::Ended => {
            count.passed_expired += 1;
            trace(&ctx, &segment, "pass: the ban has ended");
            return XDP_PASS;
        }
        Found::InForce(ban) => ban,
    };
    if settings.allowed != 0 && is_allowed(&segment.source) {
        count.passed_allowed += 1;
        trace(&ctx, &segment, "pass: on the allow list");
        return XDP_PASS;
    }

    let bytes = (frame.end - frame.start) as u64;
    count.dropped_packets += 1;
    count.dropped_bytes += bytes;
    // SAFETY: as for the read of `expires_ns`; other CPUs count into the same ban, hence
    // atomically.
    unsafe {
        add(&raw mut (*ban).dropped_packets, 1);
        add(&raw mut (*ban).dropped_bytes, bytes);
    }
    trace(&ctx, &segment, "drop");
    XDP_DROP
}

/// `CLOCK_MONOTONIC`. The coarse one is a timer tick (1 to 10 ms) behind, and cheaper.
#[inline(always)]
fn now_ns() -> u64 {
    if COARSE_CLOCK.load() != 0 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_coarse_ns() }
    } else {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_ns() }
    }
}

/// What the maps say about a source.
enum Found {
    Nothing,
    /// Bans, but none whose deadline lies ahead.
    Ended,
    InForce(*mut Ban),
}

/// Ended networks that are looked past, from the longest to wider ones. The daemon removes a
/// ban within seconds of its end, so they only add up while none runs; and this many, one
/// inside the other and all ended, nobody bans in that time.
const MAX_ENDED_NETWORKS: u32 = 8;

/// An ended ban says nothing about a wider one, so the search goes on behind it.
#[inline(always)]
fn find_ban(source: &Source, settings: &Ports) -> Found {
    let exact = match *source {
        Source::V4(addr) => bans_v4.get_ptr_mut(&V4Key { addr }),
        Source::V6(addr) => bans_v6.get_ptr_mut(&V6Key { addr: masked(addr) }),
    };
    let mut found = Found::Nothing;
    if let Some(ban) = exact {
        if in_force(ban) {
            return Found::InForce(ban);
        }
        found = Found::Ended;
    }
    if settings.networks == 0 {
        return found;
    }
    let (mut bits, network) = trie_key(source);
    for _ in 0..MAX_ENDED_NETWORKS {
        let Some(ban) = bans_net.get(&Key::new(bits, network)) else { return found };
        let wider = ban.prefix_len.checked_sub(1);
        let ban = core::ptr::from_ref(ban).cast_mut();
        if in_force(ban) {
            return Found::InForce(ban);
        }
        found = Found::Ended;
        let Some(wider) = wider else { return found };
        bits = FAMILY_BITS + u32::from(wider);
    }
    found
}

#[inline(always)]
fn in_force(ban: *mut Ban) -> bool {
    // SAFETY: map values are 8-byte aligned and `expires_ns` is read whole. An entry that
    // user space deletes meanwhile keeps its memory until this program has returned or is
    // reused for another ban, which at worst judges this one packet by that ban's end.
    let expires_ns = unsafe { (*ban).expires_ns };
    expires_ns > now_ns()
}

#[inline(always)]
fn is_allowed(source: &Source) -> bool {
    let (bits, network) = trie_key(source);
    allow.get(&Key::new(bits, network)).is_some()
}

/// The prefix of an IPv6 address that is counted and banned.
#[inline(always)]
fn masked(addr: [u8; 16]) -> [u8; 16] {
    let [first, second] = V6_MASK.load();
    // The target is little endian: the first half in memory is the low one.
    let mask = u128::from(first) | u128::from(second) << 64;
    (u128::from_ne_bytes(addr) & mask).to_ne_bytes()
}

/// The whole address as a trie key: its length and its data.
#[inline(always)]
fn trie_key(source: &Source) -> (u32, Network) {
    match *source {
        Source::V4([a, b, c, d]) => {
            let addr = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            (FAMILY_BITS + 32, Network { family: FAMILY_V4, addr })
        }
        Source::V6(addr) => (FAMILY_BITS + 128, Network { family: FAMILY_V6, addr }),
    }
}

/// # Safety
///
/// `value` must point into a live map value and be aligned.
#[inline(always)]
unsafe fn add(value: *mut u64, amount: u64) {
    // `AtomicU64::fetch_add` does not exist for this target, because the oldest BPF machines
    // cannot return the old value. Nobody wants it here, and adding without it they can do.
    // SAFETY: the caller's promise.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(value, amount) };
}

/// One line to the daemon's log through aya-log. While `TRACE` is 0 the verifier sees a
/// constant condition and removes the call.
#[inline(always)]
fn trace(ctx: &XdpContext, segment: &Segment, verdict: &str) {
    if TRACE.load() == 0 {
        return;
    }
    let port = segment.port.unwrap_or(0);
    match segment.source {
        Source::V4(addr) => {
            debug!(ctx, "{:i} to port {}: {}", u32::from_be_bytes(addr), port, verdict);
        }
        Source::V6(addr) => {
            debug!(ctx, "{:i} to port {}: {}", addr, port, verdict);
        }
    }
}

/// Makes the GPL-only helpers available, and says how the program may be used.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The verifier proves that a BPF program does not panic; the compiler wants one anyway.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: the verifier rejects a program in which this could be reached.
    unsafe { core::hint::unreachable_unchecked() }
}
