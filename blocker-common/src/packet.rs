//! What a packet is: bytes in, source address and TCP destination port out.
//!
//! The XDP program, the unit tests and the property tests run this same code over
//! different readers. Every read is checked, every loop is bounded, and anything that is
//! not understood is `None`, which the caller must pass: a firewall that drops what it
//! cannot read is an outage.

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

/// A TCP segment, as far as a verdict depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub source: Source,
    /// Destination port in host byte order. `None` where more extension headers stand before
    /// it than honest traffic has: the kernel walks any number of them, this does not.
    pub port: Option<u16>,
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
const PROTO_TCP: u8 = 6;
const PROTO_ROUTING: u8 = 43;
const PROTO_FRAGMENT: u8 = 44;
const PROTO_AUTHENTICATION: u8 = 51;
const PROTO_DESTINATION: u8 = 60;

/// RFC 8200 section 4.1 lists six extension headers, of which only the destination options
/// may come twice. A longer chain is not honest traffic, but Linux delivers it (tried with
/// 150 headers in front of a SYN).
const MAX_EXTENSION_HEADERS: usize = 7;

/// Reads the headers down to the TCP ports. `None` is "not a TCP segment with ports":
/// other protocols, later fragments, and packets too short or malformed to tell. What hides
/// its protocol behind too many extension headers counts as a segment.
#[inline(always)]
pub fn classify<B: Bytes + ?Sized>(bytes: &B) -> Option<Segment> {
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
    match ethertype {
        ETHERTYPE_IPV4 => classify_v4(bytes, offset),
        ETHERTYPE_IPV6 => classify_v6(bytes, offset),
        _ => None,
    }
}

/// RFC 791 section 3.1.
#[inline(always)]
fn classify_v4<B: Bytes + ?Sized>(bytes: &B, offset: usize) -> Option<Segment> {
    const VERSION_4: u8 = 4;
    const MIN_HEADER_LEN: usize = 20;
    const FRAGMENT_OFFSET_MASK: u16 = 0x1fff;

    let [first] = bytes.get(offset)?;
    let header_len = usize::from(first & 0x0f) * 4;
    if first >> 4 != VERSION_4 || header_len < MIN_HEADER_LEN {
        return None;
    }
    let fragment = u16::from_be_bytes(bytes.get(offset + 6)?);
    let [protocol] = bytes.get(offset + 9)?;
    if protocol != PROTO_TCP || fragment & FRAGMENT_OFFSET_MASK != 0 {
        return None;
    }
    let source = bytes.get(offset + 12)?;
    let port = Some(tcp_port(bytes, offset + header_len)?);
    Some(Segment { source: Source::V4(source), port })
}

/// RFC 8200 sections 3 and 4.
#[inline(always)]
fn classify_v6<B: Bytes + ?Sized>(bytes: &B, offset: usize) -> Option<Segment> {
    const VERSION_6: u8 = 6;
    const HEADER_LEN: usize = 40;
    const FRAGMENT_HEADER_LEN: usize = 8;
    const FRAGMENT_OFFSET_MASK: u16 = 0xfff8;

    let [first] = bytes.get(offset)?;
    if first >> 4 != VERSION_6 {
        return None;
    }
    let [mut next_header] = bytes.get(offset + 6)?;
    let source = bytes.get(offset + 8)?;
    let mut at = offset + HEADER_LEN;
    for _ in 0..=MAX_EXTENSION_HEADERS {
        match next_header {
            PROTO_TCP => {
                let port = Some(tcp_port(bytes, at)?);
                return Some(Segment { source: Source::V6(source), port });
            }
            PROTO_HOP_BY_HOP | PROTO_ROUTING | PROTO_DESTINATION | PROTO_AUTHENTICATION
            | PROTO_FRAGMENT => {}
            _ => return None,
        }
        let [next, len] = bytes.get(at)?;
        let header_len = match next_header {
            // RFC 4302 section 2.2: the one that counts in 4-byte words, minus 2.
            PROTO_AUTHENTICATION => (usize::from(len) + 2) * 4,
            PROTO_FRAGMENT => {
                let fragment = u16::from_be_bytes(bytes.get(at + 2)?);
                if fragment & FRAGMENT_OFFSET_MASK != 0 {
                    return None;
                }
                FRAGMENT_HEADER_LEN
            }
            _ => (usize::from(len) + 1) * 8,
        };
        next_header = next;
        at += header_len;
    }
    Some(Segment { source: Source::V6(source), port: None })
}

/// RFC 9293 section 3.1: the destination port is the second field.
#[inline(always)]
fn tcp_port<B: Bytes + ?Sized>(bytes: &B, offset: usize) -> Option<u16> {
    bytes.get(offset + 2).map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests;
