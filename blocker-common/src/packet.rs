//! What a packet is: bytes in, source address and what it is headed for out.
//!
//! The XDP program, the unit tests, the property tests and the fuzzer run this same code over
//! different readers. Every read is checked, every loop is bounded, and anything that is
//! not understood is `None`, which the caller must pass: a firewall that drops what it
//! cannot read is an outage.

pub mod reset;

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

/// Source address in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    V4([u8; 4]),
    V6([u8; 16]),
}

/// A packet that may be for a guarded port, as far as a verdict depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub source: Source,
    pub to: To,
}

/// What a packet is headed for. Ports are in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Tcp(u16),
    Udp(u16),
    /// A fragment but the first of its packet, which carries no port: the protocol behind the
    /// fragment's header, TCP, UDP or a further extension header.
    Fragment(u8),
    /// More extension headers stand in front than honest traffic has: the kernel walks any
    /// number of them, this does not.
    Hidden,
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
#[inline(always)]
pub fn classify<B: Bytes + ?Sized>(bytes: &B) -> Option<Packet> {
    let (ethertype, offset) = network_layer(bytes)?;
    match ethertype {
        ETHERTYPE_IPV4 => classify_v4(bytes, offset),
        ETHERTYPE_IPV6 => classify_v6(bytes, offset),
        _ => None,
    }
}

/// The ethertype behind all tags, and where its header begins.
#[inline(always)]
fn network_layer<B: Bytes + ?Sized>(bytes: &B) -> Option<(u16, usize)> {
    let mut offset = ETHERNET_LEN;
    let mut ethertype = u16::from_be_bytes(bytes.get(ETHERTYPE_OFFSET)?);
    for _ in 0..MAX_VLAN_TAGS {
        if ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_QINQ {
            break;
        }
        let [_, _, high, low] = bytes.get(offset)?;
        ethertype = u16::from_be_bytes([high, low]);
        offset += VLAN_TAG_LEN;
    }
    Some((ethertype, offset))
}

/// RFC 791 section 3.1.
#[inline(always)]
fn classify_v4<B: Bytes + ?Sized>(bytes: &B, offset: usize) -> Option<Packet> {
    const VERSION_4: u8 = 4;
    const FRAGMENT_OFFSET_MASK: u16 = 0x1fff;

    // The whole header at once: one look at where the packet ends.
    let header: [u8; V4_HEADER_LEN] = bytes.get(offset)?;
    let [first, _, t0, t1, _, _, f0, f1, _, protocol, _, _, a, b, c, d, ..] = header;
    let header_len = usize::from(first & 0x0f) * 4;
    if first >> 4 != VERSION_4 || header_len < V4_HEADER_LEN || !has_ports(protocol) {
        return None;
    }
    let source = Source::V4([a, b, c, d]);
    if u16::from_be_bytes([f0, f1]) & FRAGMENT_OFFSET_MASK != 0 {
        return Some(Packet { source, to: To::Fragment(protocol) });
    }
    let payload_len = usize::from(u16::from_be_bytes([t0, t1])).checked_sub(header_len)?;
    let to = ports(bytes, offset + header_len, protocol, payload_len)?;
    Some(Packet { source, to })
}

/// RFC 8200 sections 3 and 4.
#[inline(always)]
fn classify_v6<B: Bytes + ?Sized>(bytes: &B, offset: usize) -> Option<Packet> {
    const VERSION_6: u8 = 6;
    const SOURCE_OFFSET: usize = 8;
    const FRAGMENT_HEADER_LEN: usize = 8;
    const FRAGMENT_OFFSET_MASK: u16 = 0xfff8;

    let [first, _, _, _, l0, l1, mut next_header, _] = bytes.get(offset)?;
    if first >> 4 != VERSION_6 {
        return None;
    }
    let source = Source::V6(bytes.get(offset + SOURCE_OFFSET)?);
    let mut payload_len = match u16::from_be_bytes([l0, l1]) {
        // RFC 2675: the length is in a hop-by-hop option.
        0 => usize::MAX,
        len => usize::from(len),
    };
    let mut at = offset + V6_HEADER_LEN;
    for _ in 0..=MAX_EXTENSION_HEADERS {
        if has_ports(next_header) {
            let to = ports(bytes, at, next_header, payload_len)?;
            return Some(Packet { source, to });
        }
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
                    return known.then_some(Packet { source, to: To::Fragment(next) });
                }
                FRAGMENT_HEADER_LEN
            }
            _ => (usize::from(len) + 1) * 8,
        };
        payload_len = payload_len.checked_sub(header_len)?;
        next_header = next;
        at += header_len;
    }
    Some(Packet { source, to: To::Hidden })
}

/// The destination port is the second field of both (RFC 9293 section 3.1, RFC 768), and must
/// lie in what the IP header says is there: behind that is padding.
#[inline(always)]
fn ports<B: Bytes + ?Sized>(
    bytes: &B,
    offset: usize,
    protocol: u8,
    payload_len: usize,
) -> Option<To> {
    const PORTS_LEN: usize = 4;
    let [_, _, high, low] = bytes.get(offset)?;
    let port = u16::from_be_bytes([high, low]);
    if payload_len < PORTS_LEN {
        return None;
    }
    Some(if protocol == PROTO_TCP { To::Tcp(port) } else { To::Udp(port) })
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
