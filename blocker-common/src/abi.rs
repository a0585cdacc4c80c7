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
    /// The guarded ports, one [`super::Ports`].
    pub const PORTS: &str = "ports";
    /// What was passed and dropped, one [`super::Counters`] per CPU.
    pub const COUNTERS: &str = "counters";
}

/// Name of the XDP program and of its pin.
pub const PROGRAM: &str = "doveblock";

/// Read-only globals that the loader sets before the program is verified.
pub mod global {
    /// `[u64; 2]`, the mask of the IPv6 prefix that is counted and banned, as the two
    /// halves of an address in memory order.
    pub const V6_MASK: &str = "V6_MASK";
    /// `u8`, zero where the kernel has no coarse clock (before 5.11) and the exact one, which
    /// costs more to read, has to do. The verifier removes the branch that is not taken: on
    /// such a kernel it would refuse a program that calls the coarse clock.
    pub const COARSE_CLOCK: &str = "COARSE_CLOCK";
    /// `u8`, non-zero where the debug trace is wanted. At zero the verifier removes every
    /// instruction that belongs to it.
    pub const TRACE: &str = "TRACE";
}

/// Most entries `bans_v4`, and as many again `bans_v6`, can hold. Memory is taken as bans
/// are added, not in advance.
pub const MAX_BANS: usize = 1 << 20;
/// Most entries of `bans_net` and of `allow`.
pub const MAX_NETWORKS: usize = 1 << 16;
/// Most port ranges that can be guarded at once.
pub const MAX_PORT_RANGES: usize = 32;
/// [`Ban::expires_ns`] of a ban that never ends.
pub const NEVER: u64 = u64::MAX;

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

/// One ban. The kernel counts into it; everything else is written by user space once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ban {
    /// End of the ban in nanoseconds of `CLOCK_MONOTONIC`; [`NEVER`] for a permanent one.
    pub expires_ns: u64,
    /// Packets dropped since the ban began.
    pub dropped_packets: u64,
    /// Bytes of those packets, link layer header included.
    pub dropped_bytes: u64,
    /// Begin of the ban in seconds since 1970, for people; the kernel does not read it.
    pub banned_at: u64,
    /// Failures that led to the ban; 0 where an admin set it by hand.
    pub attempts: u32,
    /// Length of the banned prefix in bits, 32 for one IPv4 address.
    pub prefix_len: u32,
}

/// The value of an `allow` entry. It has a field because a map value cannot be empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Allowed {
    /// Always 1.
    pub present: u32,
}

/// An inclusive range of TCP ports in host byte order. `first == 0` ends a list of them:
/// no packet can have port 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

/// What the program needs to know besides the bans. One map value, so that user space
/// replaces it as a whole and the kernel finds it with one array lookup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ports {
    /// Guarded TCP ports, ended by a range that begins with 0 unless all are used.
    pub tcp: [PortRange; MAX_PORT_RANGES],
    /// Entries of `bans_net`. The trie is not searched while this is 0.
    pub networks: u32,
    /// Entries of `allow`, likewise.
    pub allowed: u32,
}

impl Ports {
    /// Whether packets to TCP port `port` are judged at all.
    #[inline(always)]
    #[must_use]
    pub fn guard(&self, port: u16) -> bool {
        for range in &self.tcp {
            if range.first == 0 {
                return false;
            }
            if range.first <= port && port <= range.last {
                return true;
            }
        }
        false
    }
}

/// Why packets were passed or dropped. Per CPU, so that counting needs no lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Dropped: the source is banned and the port guarded.
    pub dropped_packets: u64,
    /// Bytes of those packets, link layer header included.
    pub dropped_bytes: u64,
    /// Passed: not TCP, a later fragment, or nothing the classifier understands.
    pub passed_other: u64,
    /// Passed: TCP, but to a port that is not guarded.
    pub passed_port: u64,
    /// Passed: a guarded port, and the source is not banned.
    pub passed_clean: u64,
    /// Passed: the ban of the source has ended.
    pub passed_expired: u64,
    /// Passed: the source is banned, and on the allow list.
    pub passed_allowed: u64,
}

const _: () = {
    assert!(size_of::<V4Key>() == 4);
    assert!(size_of::<V6Key>() == 16);
    assert!(size_of::<Network>() == 8 + 16);
    assert!(size_of::<Ban>() == 4 * 8 + 2 * 4);
    assert!(size_of::<Allowed>() == 4);
    assert!(size_of::<Ports>() == MAX_PORT_RANGES * 4 + 2 * 4);
    assert!(size_of::<Counters>() == 7 * 8);
};

#[cfg(feature = "user")]
mod user {
    use super::{Allowed, Ban, Counters, Network, Ports, V4Key, V6Key};

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
}

#[cfg(test)]
mod tests {
    use super::{PortRange, Ports};

    #[test]
    fn guards_its_ranges_and_nothing_after_the_end_mark() {
        let mut ports = Ports::default();
        ports.tcp[0] = PortRange { first: 25, last: 25 };
        ports.tcp[1] = PortRange { first: 993, last: 995 };
        ports.tcp[3] = PortRange { first: 80, last: 80 };
        let guarded: [u16; 4] = [25, 993, 994, 995];
        let open: [u16; 6] = [0, 24, 26, 80, 992, 996];
        assert!(guarded.iter().all(|&port| ports.guard(port)));
        assert!(open.iter().all(|&port| !ports.guard(port)));
    }

    #[test]
    fn a_full_list_needs_no_end_mark() {
        let ports = Ports { tcp: [PortRange { first: 7, last: 9 }; 32], ..Ports::default() };
        assert!(ports.guard(8));
        assert!(!ports.guard(10));
    }
}
