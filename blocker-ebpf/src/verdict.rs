//! Whether a source is banned: remembered for as long as no deadline can pass and nothing is
//! changed, or asked of the maps.
//!
//! A lookup in a hash map costs as much as all the rest. What makes many packets in one tick
//! of a timer is a flood, or a good client's mailbox going over the wire; neither pays it more
//! than once a tick.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::{
    btf_maps::lpm_trie::Key,
    helpers::{bpf_jiffies64, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns},
};
use blocker_common::{
    abi::{
        Ban, FAMILY_BITS, FAMILY_V4, FAMILY_V6, Guarded, MOMENT_SHIFT, Network, RECENT, Recent,
        V4Key, V6Key, VERDICT_ALLOWED, VERDICT_BANNED, VERDICT_CLEAN, VERDICT_EXPIRED,
    },
    packet::{Family, Source},
};

use crate::maps::{COARSE_CLOCK, V6_MASK, allow, bans_net, bans_v4, bans_v6, recent};

/// What the maps are asked for.
trait Keys {
    fn place(&self) -> u32;
    fn v4_key(&self) -> V4Key;
    fn v6_key(&self) -> V6Key;
    fn bits(&self) -> u32;
    fn trie_key(&self, bits: u32) -> TrieKey;
}

impl Keys for Source {
    /// A place among the remembered: the high bits of a product depend on all bits of a factor.
    #[inline(always)]
    fn place(&self) -> u32 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        const SHIFT: u32 = u64::BITS - RECENT.trailing_zeros();
        ((self.words[0] ^ self.words[1]).wrapping_mul(ODD) >> SHIFT) as u32
    }

    #[inline(always)]
    fn v4_key(&self) -> V4Key {
        let [a, b, c, d, ..] = self.addr();
        V4Key { addr: [a, b, c, d] }
    }

    /// The prefix that is counted and banned.
    #[inline(always)]
    fn v6_key(&self) -> V6Key {
        let [first, second] = V6_MASK.load();
        let words = [self.words[0] & first, self.words[1] & second];
        V6Key { addr: Self { words, ..*self }.addr() }
    }

    #[inline(always)]
    fn bits(&self) -> u32 {
        if self.family == Family::V4 { 32 } else { 128 }
    }

    /// The first `bits` bits of the address as a trie key.
    #[inline(always)]
    fn trie_key(&self, bits: u32) -> TrieKey {
        let family = if self.family == Family::V4 { FAMILY_V4 } else { FAMILY_V6 };
        let network = Network { family, addr: self.addr() };
        TrieKey { padding: 0, key: Key::new(FAMILY_BITS + bits, network) }
    }
}

/// A trie key whose eight-byte fields lie where eight bytes may be written at once: a key by
/// itself has four bytes in front of them, and the verifier minds.
#[repr(C, align(8))]
struct TrieKey {
    padding: u32,
    key: Key<Network>,
}

pub(crate) struct Judged {
    /// One of the `VERDICT_` constants.
    pub(crate) verdict: u8,
    /// Of the first packet that a ban drops: when it came, and the length of the banned prefix.
    pub(crate) first: Option<(u64, u8)>,
}

/// Judges a packet of `bytes` bytes and counts it for its ban. `None` if a map is missing,
/// which cannot be.
#[inline(always)]
pub(crate) fn of(source: Source, settings: &Guarded, bytes: u64) -> Option<Judged> {
    // SAFETY: a helper without arguments.
    let tick = unsafe { bpf_jiffies64() };
    // SAFETY: the pointer is to this CPU's own slot, which nothing else writes while the
    // program runs, and it stays valid for as long as the map does.
    let slot = unsafe { &mut *recent.get_ptr_mut(source.place())? };
    let is_remembered = slot.tick == tick
        && Source::new(source.family, slot.addr) == source
        && slot.family == source.family as u8
        && slot.changes == settings.changes;
    if is_remembered {
        if slot.verdict == VERDICT_BANNED {
            slot.dropped_packets += 1;
            slot.dropped_bytes += bytes;
        }
        return Some(Judged { verdict: slot.verdict, first: None });
    }
    core::hint::cold_path();
    if slot.dropped_packets != 0 {
        settle(slot);
    }
    let found = find_ban(&source, settings);
    let verdict = match found.ban {
        None => VERDICT_CLEAN,
        Some(_) if !found.in_force => VERDICT_EXPIRED,
        Some(_) if settings.allowed != 0 && is_allowed(&source) => VERDICT_ALLOWED,
        Some(_) => VERDICT_BANNED,
    };
    slot.addr = source.addr();
    slot.tick = tick;
    slot.changes = settings.changes;
    slot.dropped_packets = 0;
    slot.dropped_bytes = 0;
    slot.family = source.family as u8;
    slot.verdict = verdict;
    let mut first = None;
    if let Some(ban) = found.ban
        && verdict == VERDICT_BANNED
    {
        // SAFETY: as in `in_force`; other CPUs count into the same ban, hence atomically.
        unsafe {
            slot.prefix_len = (*ban).prefix_len;
            slot.serial = (*ban).serial;
            slot.is_network = u32::from(found.is_network);
            if (*ban).dropped_packets == 0 {
                first = Some((found.now, slot.prefix_len));
            }
            (*ban).last_seen = moment(found.now);
            add(&raw mut (*ban).dropped_packets, 1);
            add(&raw mut (*ban).dropped_bytes, bytes);
        }
    }
    Some(Judged { verdict, first })
}

/// Gives what was counted in `slot` to its ban, if that is still there.
#[inline(always)]
fn settle(slot: &Recent) {
    let family = if slot.family == Family::V4 as u8 { Family::V4 } else { Family::V6 };
    let source = Source::new(family, slot.addr);
    let ban = if slot.is_network == 0 {
        exact(&source)
    } else {
        let key = source.trie_key(u32::from(slot.prefix_len));
        bans_net.get(&key.key).map(|ban| core::ptr::from_ref(ban).cast_mut())
    };
    let Some(ban) = ban else { return };
    // SAFETY: as in `in_force`; other CPUs count into the same ban, hence atomically.
    unsafe {
        if (*ban).serial == slot.serial && (*ban).prefix_len == slot.prefix_len {
            add(&raw mut (*ban).dropped_packets, slot.dropped_packets);
            add(&raw mut (*ban).dropped_bytes, slot.dropped_bytes);
        }
    }
}

struct Found {
    ban: Option<*mut Ban>,
    in_force: bool,
    is_network: bool,
    now: u64,
}

/// Ended networks that are looked past, from the longest to wider ones. The daemon removes a
/// ban within seconds of its end, so they only add up while none runs; and this many, one
/// inside the other and all ended, nobody bans in that time.
const MAX_ENDED_NETWORKS: u32 = 8;

/// An ended ban says nothing about a wider one, so the search goes on behind it.
#[inline(always)]
fn find_ban(source: &Source, settings: &Guarded) -> Found {
    let mut found = Found { ban: exact(source), in_force: false, is_network: false, now: 0 };
    if let Some(ban) = found.ban {
        found.now = now_ns();
        found.in_force = in_force(ban, found.now);
    }
    if found.in_force || settings.networks == 0 {
        return found;
    }
    let mut bits = source.bits();
    found.now = now_ns();
    for _ in 0..MAX_ENDED_NETWORKS {
        let Some(ban) = bans_net.get(&source.trie_key(bits).key) else { return found };
        let wider = ban.prefix_len.checked_sub(1);
        let ban = core::ptr::from_ref(ban).cast_mut();
        found.ban = Some(ban);
        if in_force(ban, found.now) {
            found.in_force = true;
            found.is_network = true;
            return found;
        }
        let Some(wider) = wider else { return found };
        bits = u32::from(wider);
    }
    found
}

#[inline(always)]
fn exact(source: &Source) -> Option<*mut Ban> {
    if source.family == Family::V4 {
        bans_v4.get_ptr_mut(&source.v4_key())
    } else {
        bans_v6.get_ptr_mut(&source.v6_key())
    }
}

#[inline(always)]
fn in_force(ban: *mut Ban, now: u64) -> bool {
    // SAFETY: map values are 8-byte aligned and `expires` is read whole. The memory of an entry
    // lives as long as its map, which this program holds. One that user space deletes meanwhile
    // may be another ban's already, which at worst judges this one packet by that ban's end.
    unsafe { (*ban).expires > moment(now) }
}

/// As a [`Ban`] has it.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "36 years after boot")]
fn moment(now: u64) -> u32 {
    (now >> MOMENT_SHIFT) as u32
}

#[inline(always)]
fn is_allowed(source: &Source) -> bool {
    allow.get(&source.trie_key(source.bits()).key).is_some()
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
