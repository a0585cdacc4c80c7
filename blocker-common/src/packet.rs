//! What a packet is: bytes in, source address and what it is headed for out.
//!
//! The XDP program, the unit tests, the property tests and the fuzzer run this same code over
//! different readers. Every read is checked, every loop is bounded, and anything that is
//! not understood is `None`, which the caller must pass: a firewall that drops what it
//! cannot read is an outage.

pub mod reset;

use core::hint::cold_path;

use crate::abi::{REASON_FRAGMENT, REASON_HIDDEN, REASON_TCP, REASON_UDP};

/// Bytes of a packet, from the first byte of its Ethernet header.
pub trait Bytes {
    /// The `N` bytes at `offset`, or `None` where the packet ends before them.
    fn get<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

impl Bytes for [u8] {
    fn get<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }
}

/// A source address, in the words in which it is compared and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub family: Family,
    /// In memory order; an IPv4 address is the first four bytes, and the others are 0.
    pub words: [u64; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    V4 = 4,
    V6 = 6,
}

impl Source {
    #[inline(always)]
    #[must_use]
    pub fn v4(addr: [u8; 4]) -> Self {
        let [a, b, c, d] = addr;
        let words = [u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]), 0];
        Self { family: Family::V4, words }
    }

    /// The two halves of the address.
    #[inline(always)]
    #[must_use]
    pub fn v6(halves: [[u8; 8]; 2]) -> Self {
        Self { family: Family::V6, words: halves.map(u64::from_ne_bytes) }
    }

    /// What [`Source::addr`] has given.
    #[inline(always)]
    #[must_use]
    pub fn new(family: Family, addr: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = addr;
        Self { family, ..Self::v6([[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]]) }
    }

    /// The address in network byte order; an IPv4 address is the first four bytes.
    #[inline(always)]
    #[must_use]
    pub fn addr(&self) -> [u8; 16] {
        let mut addr = [0; 16];
        let (first, second) = addr.split_at_mut(8);
        first.copy_from_slice(&self.words[0].to_ne_bytes());
        second.copy_from_slice(&self.words[1].to_ne_bytes());
        addr
    }
}

/// A packet that may be for a guarded port, as far as a verdict depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub source: Source,
    pub to: To,
    /// Destination port in host byte order, 0 where there is none to be seen.
    pub port: u16,
    /// Of a fragment what is behind its header: TCP, UDP or a further extension header. 0
    /// where it is hidden.
    pub protocol: u8,
}

/// What a packet is headed for: the `REASON_` constants of [`crate::abi`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum To {
    Tcp = REASON_TCP,
    Udp = REASON_UDP,
    /// A fragment but the first of its packet, which carries no port.
    Fragment = REASON_FRAGMENT,
    /// More extension headers stand in front than honest traffic has: the kernel walks any
    /// number of them, this does not.
    Hidden = REASON_HIDDEN,
}

const ETHERNET_LEN: usize = 14;
const ETHERTYPE_OFFSET: usize = 12;
const VLAN_TAG_LEN: usize = 4;
/// 802.1Q inside 802.1ad is as deep as networks nest tags.
const MAX_VLAN_TAGS: usize = 2;

// https://www.iana.org/assignments/ieee-802-numbers
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_QINQ: u16 = 0x88a8;
/// What QinQ was before 802.1ad.
const ETHERTYPE_OLD_QINQ: u16 = 0x9100;

// https://www.iana.org/assignments/protocol-numbers
const PROTO_HOP_BY_HOP: u8 = 0;
pub const PROTO_TCP: u8 = 6;
pub const PROTO_UDP: u8 = 17;
const PROTO_ROUTING: u8 = 43;
const PROTO_FRAGMENT: u8 = 44;
const PROTO_AUTHENTICATION: u8 = 51;
const PROTO_DESTINATION: u8 = 60;

const V4_HEADER_LEN: usize = 20;
const V6_HEADER_LEN: usize = 40;

/// RFC 8200 section 4.1 lists six extension headers, of which only the destination options
/// may come twice. A longer chain is not honest traffic, but Linux delivers it (tried with
/// 150 headers in front of a SYN).
const MAX_EXTENSION_HEADERS: usize = 7;

/// Reads the headers down to the ports. `None` is "neither TCP nor UDP": other protocols, and
/// packets too short or malformed to tell. What hides its protocol behind too many extension
/// headers counts.
pub fn classify<B: Bytes + ?Sized>(bytes: &B) -> Option<Packet> {
    let (family, offset) = network_layer(bytes)?;
    match family {
        Family::V4 => classify_v4(bytes, offset),
        Family::V6 => classify_v6(bytes, offset),
    }
}

/// Looks through the tags: of which family the packet is, and where its IP header begins.
#[inline(always)]
pub fn network_layer<B: Bytes + ?Sized>(bytes: &B) -> Option<(Family, usize)> {
    let mut offset = ETHERNET_LEN;
    let mut ethertype = u16::from_be_bytes(bytes.get(ETHERTYPE_OFFSET)?);
    for _ in 0..MAX_VLAN_TAGS {
        if !matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_QINQ | ETHERTYPE_OLD_QINQ) {
            break;
        }
        cold_path();
        let [_, _, high, low] = bytes.get(offset)?;
        ethertype = u16::from_be_bytes([high, low]);
        offset += VLAN_TAG_LEN;
    }
    match ethertype {
        ETHERTYPE_IPV4 => Some((Family::V4, offset)),
        ETHERTYPE_IPV6 => Some((Family::V6, offset)),
        _ => None,
    }
}

/// RFC 791 section 3.1.
#[inline(always)]
pub fn classify_v4<B: Bytes + ?Sized>(bytes: &B, offset: usize) -> Option<Packet> {
    const VERSION_4: u8 = 4;
    const FRAGMENT_OFFSET_MASK: u16 = 0x1fff;

    // Eight bytes are what can be read at once.
    let [first, _, t0, t1, _, _, f0, f1] = bytes.get(offset)?;
    let [_, protocol, _, _, a, b, c, d] = bytes.get(offset + 8)?;
    let header_len = usize::from(first & 0x0f) * 4;
    if first >> 4 != VERSION_4 || header_len < V4_HEADER_LEN || !has_ports(protocol) {
        return None;
    }
    let source = Source::v4([a, b, c, d]);
    if u16::from_be_bytes([f0, f1]) & FRAGMENT_OFFSET_MASK != 0 {
        cold_path();
        return Some(Packet { source, to: To::Fragment, port: 0, protocol });
    }
    let payload_len = usize::from(u16::from_be_bytes([t0, t1])).checked_sub(header_len)?;
    with_ports(bytes, source, protocol, offset + header_len, payload_len)
}

/// RFC 8200 sections 3 and 4.
#[inline(always)]
pub fn classify_v6<B: Bytes + ?Sized>(bytes: &B, offset: usize) -> Option<Packet> {
    const VERSION_6: u8 = 6;
    const FRAGMENT_HEADER_LEN: usize = 8;
    const FRAGMENT_OFFSET_MASK: u16 = 0xfff8;

    let [first, _, _, _, l0, l1, mut next_header, _] = bytes.get(offset)?;
    if first >> 4 != VERSION_6 {
        return None;
    }
    let source = Source::v6([bytes.get(offset + 8)?, bytes.get(offset + 16)?]);
    let mut payload_len = match u16::from_be_bytes([l0, l1]) {
        // RFC 2675: the length is in a hop-by-hop option.
        0 => usize::MAX,
        len => usize::from(len),
    };
    let mut at = offset + V6_HEADER_LEN;
    for _ in 0..=MAX_EXTENSION_HEADERS {
        if has_ports(next_header) {
            return with_ports(bytes, source, next_header, at, payload_len);
        }
        cold_path();
        if !is_extension(next_header) {
            return None;
        }
        let [next, len] = bytes.get(at)?;
        let header_len = match next_header {
            // RFC 4302 section 2.2: the one that counts in 4-byte words, minus 2.
            PROTO_AUTHENTICATION => (usize::from(len) + 2) * 4,
            PROTO_FRAGMENT => {
                let fragment = u16::from_be_bytes(bytes.get(at + 2)?);
                if fragment & FRAGMENT_OFFSET_MASK != 0 {
                    let known = has_ports(next) || is_extension(next);
                    let packet = Packet { source, to: To::Fragment, port: 0, protocol: next };
                    return known.then_some(packet);
                }
                FRAGMENT_HEADER_LEN
            }
            _ => (usize::from(len) + 1) * 8,
        };
        payload_len = payload_len.checked_sub(header_len)?;
        next_header = next;
        at += header_len;
    }
    Some(Packet { source, to: To::Hidden, port: 0, protocol: 0 })
}

/// The destination port is the second field of both (RFC 9293 section 3.1, RFC 768), and must
/// lie in what the IP header says is there: behind that is padding.
#[inline(always)]
fn with_ports<B: Bytes + ?Sized>(
    bytes: &B,
    source: Source,
    protocol: u8,
    offset: usize,
    payload_len: usize,
) -> Option<Packet> {
    const PORTS_LEN: usize = 4;
    let [_, _, high, low] = bytes.get(offset)?;
    if payload_len < PORTS_LEN {
        return None;
    }
    let to = if protocol == PROTO_TCP { To::Tcp } else { To::Udp };
    Some(Packet { source, to, port: u16::from_be_bytes([high, low]), protocol })
}

#[inline(always)]
fn has_ports(protocol: u8) -> bool {
    matches!(protocol, PROTO_TCP | PROTO_UDP)
}

#[inline(always)]
fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        PROTO_HOP_BY_HOP
            | PROTO_ROUTING
            | PROTO_FRAGMENT
            | PROTO_AUTHENTICATION
            | PROTO_DESTINATION
    )
}

#[cfg(test)]
mod tests;
