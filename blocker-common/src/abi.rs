//! The layout of everything that crosses the kernel boundary.
//!
//! Two compilations of this file must agree to the byte: all types are `repr(C)`, hold
//! integers and arrays of integers only, and have no padding (asserted below). A padded
//! hash key would be a lookup that never matches.
//!
//! The names are an interface: admins read them with `bpftool map dump pinned …`.

/// Names of the maps, which are also their names under the pin directory.
pub mod map {
    /// Banned IPv4 addresses: [`super::V4Key`] → [`super::Ban`].
    pub const BANS_V4: &str = "bans_v4";
    /// Banned IPv6 prefixes of the configured length: [`super::V6Key`] → [`super::Ban`].
    pub const BANS_V6: &str = "bans_v6";
    /// Banned networks of any other length: [`super::Network`] trie → [`super::Ban`].
    pub const BANS_NET: &str = "bans_net";
    /// Networks that are never dropped: [`super::Network`] trie → [`super::Allowed`].
    pub const ALLOW: &str = "allow";
    /// The guarded ports and the other settings, one [`super::Ports`].
    pub const PORTS: &str = "ports";
    /// The same in the form that the program reads, one [`super::Guarded`].
    pub const GUARDED: &str = "guarded";
    /// What was passed and dropped, one [`super::Counters`] per CPU.
    pub const COUNTERS: &str = "counters";
    /// The sources judged last, [`super::RECENT`] of [`super::Recent`] per CPU.
    pub const RECENT: &str = "recent";
    /// A ring buffer of [`super::DropEvent`].
    pub const EVENTS: &str = "events";
}

/// Name of the XDP program and of its pin.
pub const PROGRAM: &str = "doveblock";

/// What the maps are laid out like. To be raised with every change of a type below or of what
/// its fields mean, so that a newer version knows what it finds pinned. Before 2 it was
/// nowhere to be read: `ports` had 136 bytes.
pub const LAYOUT: u32 = 2;

/// Read-only globals that the loader sets before the program is verified.
pub mod global {
    /// `[u64; 2]`, the mask of the IPv6 prefix that is counted and banned, as the two
    /// halves of an address in memory order.
    pub const V6_MASK: &str = "V6_MASK";
    /// `u8`, zero where the kernel has no coarse clock (before 5.11) and the exact one, which
    /// costs more to read, has to do. The verifier removes the branch that is not taken: on
    /// such a kernel it would refuse a program that calls the coarse clock.
    pub const COARSE_CLOCK: &str = "COARSE_CLOCK";
    /// `u8`, zero where packets are always in one buffer (before 5.18). As above: there is no
    /// helper then that tells the length of all of them.
    pub const FRAGS: &str = "FRAGS";
    /// `u8`, non-zero where the debug trace is wanted. At zero the verifier removes every
    /// instruction that belongs to it.
    pub const TRACE: &str = "TRACE";
}

/// Entries that `bans_v4`, and as many that `bans_v6`, is declared with. The loader decides:
/// the maps take the memory of all their entries when they are made, begin with few and are
/// replaced by larger ones.
pub const FIRST_BANS: usize = 1 << 12;
/// Most entries of `bans_net` and of `allow`.
pub const MAX_NETWORKS: usize = 1 << 16;
/// Most port ranges that can be guarded at once.
pub const MAX_PORT_RANGES: usize = 32;
/// Sources that each CPU remembers its verdict on: a power of two.
pub const RECENT: usize = 256;
/// Bytes of the ring buffer: a multiple of every page size there is. About 1,600 events.
pub const EVENT_BYTES: usize = 1 << 16;
/// Events of a CPU within about a second; more are only counted. Enough to tell of an attack,
/// too little to be one on the log.
pub const EVENT_BUDGET: u32 = 64;
/// A moment of `CLOCK_MONOTONIC` in a [`Ban`] is its nanoseconds shifted by so much: about a
/// quarter of a second. 32 bits hold 36 years of it, and a ban ends up to that much late.
pub const MOMENT_SHIFT: u32 = 28;
/// [`Ban::expires`] of a ban that never ends.
pub const NEVER: u32 = u32::MAX;

/// A banned IPv4 address, in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct V4Key {
    pub addr: [u8; 4],
}

/// A banned IPv6 prefix: the address in network byte order, host bits zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct V6Key {
    pub addr: [u8; 16],
}

/// The data of a trie key. One trie serves both families; that the family comes first keeps
/// them apart, however short the prefix: `::/0` is no IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Network {
    /// [`FAMILY_V4`] or [`FAMILY_V6`]. Eight bytes, because a trie's value lies right behind
    /// the key's data and is counted into with 8-byte atomics.
    pub family: u64,
    /// The address in network byte order; an IPv4 address is the first four bytes.
    pub addr: [u8; 16],
}

/// [`Network::family`] of IPv4.
pub const FAMILY_V4: u64 = 4;
/// [`Network::family`] of IPv6.
pub const FAMILY_V6: u64 = 6;
/// Bits of a trie key before the address: what a key's prefix length is longer than the
/// network's.
pub const FAMILY_BITS: u32 = 64;

/// One ban. The kernel counts into it; everything else is written by user space once. Its size
/// is memory a million times, hence the narrow fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ban {
    /// Packets dropped since the ban began, but for those that [`Recent`] still holds.
    pub dropped_packets: u64,
    /// Bytes of those packets, link layer header included.
    pub dropped_bytes: u64,
    /// The first moment (see [`MOMENT_SHIFT`]) after the ban; [`NEVER`] for a permanent one.
    pub expires: u32,
    /// The moment the last of those packets came; 0 where none has.
    pub last_seen: u32,
    /// Begin of the ban in seconds since 1970 (until 2106), for people; the kernel does not
    /// read it.
    pub banned_at: u32,
    /// Failures that led to the ban, at most 65,535; 0 where an admin set it by hand.
    pub attempts: u16,
    /// Length of the banned prefix in bits, 32 for one IPv4 address.
    pub prefix_len: u8,
    /// Differs from that of an earlier ban of the same subject, so that what was counted for
    /// the one is not added to the other. A ban that is prolonged keeps it. Never 0.
    pub serial: u8,
}

/// The value of an `allow` entry. It has a field because a map value cannot be empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Allowed {
    /// Always 1.
    pub present: u32,
}

/// An inclusive range of ports in host byte order. `first == 0` ends a list of them: no
/// packet can have port 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

/// What the program needs to know besides the bans, for people and for the next daemon. The
/// program itself reads [`Guarded`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ports {
    /// [`LAYOUT`]. The first field, for every version to find.
    pub layout: u32,
    /// One of the `ACTION_` constants.
    pub action: u32,
    /// Whether the fragments of a banned source that carry no port are dropped.
    pub drop_fragments: u32,
    /// Entries of `bans_net`.
    pub networks: u32,
    /// Entries of `allow`.
    pub allowed: u32,
    /// Guarded TCP ports, ended by a range that begins with 0 unless all are used.
    pub tcp: [PortRange; MAX_PORT_RANGES],
    /// Guarded UDP ports, likewise.
    pub udp: [PortRange; MAX_PORT_RANGES],
}

/// [`Ports::action`]: packets of the banned vanish.
pub const ACTION_DROP: u32 = 0;
/// [`Ports::action`]: TCP segments of the banned are answered with a reset where that is
/// possible, and vanish.
pub const ACTION_RESET: u32 = 1;

/// What [`Ports`] says, with a bit for each port, so that it costs the same however many are
/// guarded. One map value: the kernel finds all of it with one lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Guarded {
    /// [`Ports::action`].
    pub action: u32,
    /// [`Ports::drop_fragments`].
    pub drop_fragments: u32,
    /// [`Ports::networks`]. The trie is not searched while this is 0.
    pub networks: u32,
    /// [`Ports::allowed`], likewise.
    pub allowed: u32,
    /// Whether any UDP port is guarded.
    pub guards_udp: u32,
    /// Always 0.
    pub reserved: u32,
    /// Grows with every change of a ban or of the allow list: verdicts that are remembered
    /// from before it do not hold any more. It stands behind what it announces, since a map
    /// value is replaced from its beginning to its end while the program reads it.
    pub changes: u64,
    /// Set where a TCP port is guarded.
    pub tcp: [u64; PORT_WORDS],
    /// Likewise for UDP.
    pub udp: [u64; PORT_WORDS],
}

/// Words of 64 bits for all ports.
pub const PORT_WORDS: usize = 1 << 10;

impl Guarded {
    #[must_use]
    pub fn new(ports: &Ports, changes: u64) -> Self {
        Self {
            action: ports.action,
            drop_fragments: ports.drop_fragments,
            networks: ports.networks,
            allowed: ports.allowed,
            guards_udp: u32::from(ports.udp[0].first != 0),
            reserved: 0,
            changes,
            tcp: bits(&ports.tcp),
            udp: bits(&ports.udp),
        }
    }

    #[inline(always)]
    #[must_use]
    pub fn tcp(&self, port: u16) -> bool {
        is_set(&self.tcp, port)
    }

    #[inline(always)]
    #[must_use]
    pub fn udp(&self, port: u16) -> bool {
        is_set(&self.udp, port)
    }
}

fn bits(ranges: &[PortRange]) -> [u64; PORT_WORDS] {
    let mut words = [0; PORT_WORDS];
    for range in ranges.iter().take_while(|range| range.first != 0) {
        for port in range.first..=range.last {
            words[usize::from(port >> 6)] |= 1 << (port & 63);
        }
    }
    words
}

#[inline(always)]
fn is_set(words: &[u64; PORT_WORDS], port: u16) -> bool {
    words[usize::from(port >> 6)] >> (port & 63) & 1 != 0
}

/// A source that a CPU has judged, and the verdict. It holds within one timer tick, in which
/// no deadline can pass, and until [`Guarded::changes`] changes: a flood costs one lookup per
/// tick and not one per packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Recent {
    /// The source address in network byte order; an IPv4 address is the first four bytes.
    pub addr: [u8; 16],
    /// The tick (`jiffies`) of the verdict.
    pub tick: u64,
    /// [`Guarded::changes`] at the verdict.
    pub changes: u64,
    /// Packets dropped that are not in the [`Ban`] yet. They get there with the first packet
    /// that is judged anew in this place; whoever reads a ban adds them.
    pub dropped_packets: u64,
    /// Bytes of those packets.
    pub dropped_bytes: u64,
    /// [`FAMILY_V4`] or [`FAMILY_V6`]; 0 where nothing is remembered.
    pub family: u8,
    /// One of the `VERDICT_` constants.
    pub verdict: u8,
    /// Of the ban: its [`Ban::prefix_len`], …
    pub prefix_len: u8,
    /// … its [`Ban::serial`], …
    pub serial: u8,
    /// … and whether it is one of `bans_net`.
    pub is_network: u32,
}

/// [`Recent::verdict`]: not banned.
pub const VERDICT_CLEAN: u8 = 0;
/// [`Recent::verdict`]: the ban has ended.
pub const VERDICT_EXPIRED: u8 = 1;
/// [`Recent::verdict`]: banned, and on the allow list.
pub const VERDICT_ALLOWED: u8 = 2;
/// [`Recent::verdict`]: banned.
pub const VERDICT_BANNED: u8 = 3;

/// The first packet that a ban dropped. Two CPUs may both believe theirs was the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DropEvent {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Where from: the source address as in [`Recent::addr`], not the banned prefix.
    pub addr: [u8; 16],
    /// [`FAMILY_V4`] or [`FAMILY_V6`].
    pub family: u16,
    /// [`Ban::prefix_len`].
    pub prefix_len: u16,
    /// Destination port, 0 where it could not be told.
    pub port: u16,
    /// Number of the IP protocol, 0 where it could not be told.
    pub protocol: u8,
    /// One of the `REASON_` constants.
    pub reason: u8,
}

/// [`DropEvent::reason`]: to a guarded TCP port.
pub const REASON_TCP: u8 = 0;
/// [`DropEvent::reason`]: to a guarded UDP port.
pub const REASON_UDP: u8 = 1;
/// [`DropEvent::reason`]: a fragment without a port.
pub const REASON_FRAGMENT: u8 = 2;
/// [`DropEvent::reason`]: the port hides behind more headers than honest traffic has.
pub const REASON_HIDDEN: u8 = 3;

/// Why packets were passed or dropped. Per CPU, so that counting needs no lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Dropped, for all of the four reasons below.
    pub dropped_packets: u64,
    /// Bytes of those packets, link layer header included.
    pub dropped_bytes: u64,
    /// Dropped: from a banned source to a guarded TCP port.
    pub dropped_tcp: u64,
    /// Dropped: likewise to a UDP port.
    pub dropped_udp: u64,
    /// Dropped: a fragment without a port, from a banned source.
    pub dropped_fragment: u64,
    /// Dropped: from a banned source, and the port hides behind a chain of headers.
    pub dropped_hidden: u64,
    /// Those of `dropped_tcp` that were answered with a reset.
    pub answered_reset: u64,
    /// Passed: neither TCP nor UDP, or nothing the classifier understands.
    pub passed_other: u64,
    /// Passed: to a port that is not guarded.
    pub passed_port: u64,
    /// Passed: to be judged, and the source is not banned.
    pub passed_clean: u64,
    /// Passed: the ban of the source has ended.
    pub passed_expired: u64,
    /// Passed: the source is banned, and on the allow list.
    pub passed_allowed: u64,
    /// Events that found no room in the ring buffer.
    pub events_lost: u64,
    /// Events beyond [`EVENT_BUDGET`].
    pub events_held_back: u64,
}

const _: () = {
    assert!(size_of::<V4Key>() == 4);
    assert!(size_of::<V6Key>() == 16);
    assert!(size_of::<Network>() == 8 + 16);
    assert!(size_of::<Ban>() == 2 * 8 + 3 * 4 + 2 + 1 + 1);
    assert!(size_of::<Allowed>() == 4);
    assert!(size_of::<Ports>() == 5 * 4 + 2 * MAX_PORT_RANGES * 4);
    assert!(size_of::<Guarded>() == 6 * 4 + 8 + 2 * 8192);
    assert!(size_of::<Recent>() == 16 + 4 * 8 + 4 + 4);
    assert!(size_of::<DropEvent>() == 8 + 16 + 3 * 2 + 2);
    assert!(size_of::<Counters>() == 14 * 8);
    assert!(RECENT.is_power_of_two() && EVENT_BYTES.is_power_of_two());
};

#[cfg(feature = "user")]
mod user {
    use super::{Allowed, Ban, Counters, DropEvent, Guarded, Network, Ports, Recent, V4Key, V6Key};

    // SAFETY: all of these are `repr(C)`, consist of integers, and have no padding (see the
    // assertions above), so any bytes are a value and a value's bytes are all initialised.
    unsafe impl aya::Pod for V4Key {}
    // SAFETY: as above.
    unsafe impl aya::Pod for V6Key {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Network {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Ban {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Allowed {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Ports {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Counters {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Guarded {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Recent {}
    // SAFETY: as above.
    unsafe impl aya::Pod for DropEvent {}
}

#[cfg(test)]
mod tests {
    use super::{Guarded, PortRange, Ports};

    fn range(first: u16, last: u16) -> PortRange {
        PortRange { first, last }
    }

    #[test]
    fn guards_its_ranges_and_nothing_after_the_end_mark() {
        let mut ports = Ports::default();
        ports.tcp[0] = range(25, 25);
        ports.tcp[1] = range(993, 995);
        ports.tcp[3] = range(80, 80);
        ports.udp[0] = range(65_535, 65_535);
        let guarded = Guarded::new(&ports, 0);
        let expected: &[u16] = &[25, 993, 994, 995];
        assert!((0..=u16::MAX).all(|port| guarded.tcp(port) == expected.contains(&port)));
        assert!((0..=u16::MAX).all(|port| guarded.udp(port) == (port == u16::MAX)));
    }

    #[test]
    fn a_full_list_needs_no_end_mark() {
        let guarded = Guarded::new(&Ports { tcp: [range(7, 9); 32], ..Ports::default() }, 0);
        assert!(guarded.tcp(8) && !guarded.tcp(10));
        let all = Ports { tcp: [range(1, u16::MAX); 32], ..Ports::default() };
        let guarded = Guarded::new(&all, 0);
        assert!((1..=u16::MAX).all(|port| guarded.tcp(port)));
    }
}
