//! The answer to a banned client that is to fail fast: a TCP reset, written over the segment
//! it answers.
//!
//! Answered is a SYN, so that `connect` fails at once, and every whole segment without data
//! that belongs to a connection from before the ban. A reset is never answered (RFC 9293
//! section 3.10.7), or two such hosts would not stop. Not answered and only dropped are
//! fragments, IPv4 options, IPv6 extension headers, and what was not sent to one host from
//! one: nobody who waits for an answer sends those. Nor are segments with data: in generic
//! mode one may be several that were put together on the way in, and would be sent as several.
//!
//! The packet stays as long as it is. What is behind the reset, options of the segment mostly,
//! is no part of it by the length in the IP header, as is the padding of short frames. Cutting
//! it off would take a helper that Linux 6.12 forbids to a program that libxdp's dispatcher
//! calls, for the verifier of that one was told that packets do not change.
//!
//! Whoever forges a banned source makes this host send one packet to it for each of his, and
//! never a larger one.

use super::{Bytes, Family, PROTO_TCP, V4_HEADER_LEN, V6_HEADER_LEN, network_layer};

/// A packet that can be written to, within its bounds.
pub trait BytesMut: Bytes {
    /// `None`, and nothing is written, where the packet ends before `offset + N`.
    fn set<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()>;
    /// How many bytes there are.
    fn size(&self) -> usize;
}

impl BytesMut for [u8] {
    fn set<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()> {
        *self.get_mut(offset..)?.first_chunk_mut()? = bytes;
        Some(())
    }

    fn size(&self) -> usize {
        self.len()
    }
}

const MAC_LEN: usize = 6;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const HOP_LIMIT: u8 = 64;
/// The bit of an address's first byte that says "many hosts".
const GROUP: u8 = 1;

/// Turns the packet into the reset that answers it. `None`, and nothing is written, where it
/// cannot be answered.
#[inline(always)]
pub fn answer<P: BytesMut + ?Sized>(packet: &mut P) -> Option<()> {
    let (family, network) = network_layer(packet)?;
    let ([destination], [source]) = (packet.get(0)?, packet.get(MAC_LEN)?);
    if (destination | source) & GROUP != 0 {
        return None;
    }
    match family {
        Family::V4 => answer_v4(packet, network)?,
        Family::V6 => answer_v6(packet, network)?,
    }
    swap::<MAC_LEN, P>(packet, 0)
}

#[inline(always)]
fn answer_v4<P: BytesMut + ?Sized>(packet: &mut P, network: usize) -> Option<()> {
    const NO_OPTIONS: u8 = 0x45;
    const DONT_FRAGMENT: u8 = 0x40;
    const MULTICAST: u8 = 224;
    const LEN: u8 = 40;
    const ADDRESSES: usize = 12;

    let [first, _, t0, t1, _, _, f0, f1, _, protocol] = packet.get(network)?;
    let ([source], [destination]) = (packet.get(network + 12)?, packet.get(network + 16)?);
    let is_fragment = (f0 & !DONT_FRAGMENT) | f1 != 0;
    let is_to_many = source >= MULTICAST || destination >= MULTICAST;
    if first != NO_OPTIONS || protocol != PROTO_TCP || is_fragment || is_to_many {
        return None;
    }
    let len = usize::from(u16::from_be_bytes([t0, t1])).checked_sub(V4_HEADER_LEN)?;
    let mut addresses = Sum::default();
    addresses.add(packet.get(network + ADDRESSES)?);
    addresses.add(packet.get(network + ADDRESSES + 4)?);
    answer_segment(packet, network + V4_HEADER_LEN, len, addresses)?;

    swap::<4, P>(packet, network + ADDRESSES)?;
    let header = [[NO_OPTIONS, 0, 0, LEN], [0, 0, DONT_FRAGMENT, 0], [HOP_LIMIT, PROTO_TCP, 0, 0]];
    let mut check = addresses;
    for (at, word) in (network..).step_by(4).zip(header) {
        check.add(word);
        packet.set(at, word)?;
    }
    packet.set(network + 10, check.folded())
}

#[inline(always)]
fn answer_v6<P: BytesMut + ?Sized>(packet: &mut P, network: usize) -> Option<()> {
    const VERSION_6: u8 = 0x60;
    const MULTICAST: u8 = 0xff;
    const LEN: u8 = 20;
    const ADDRESSES: usize = 8;

    let [first, _, _, _, l0, l1, next_header, _] = packet.get(network)?;
    let ([source], [destination]) = (packet.get(network + 8)?, packet.get(network + 24)?);
    let is_to_many = source == MULTICAST || destination == MULTICAST;
    if first & 0xf0 != VERSION_6 || next_header != PROTO_TCP || is_to_many {
        return None;
    }
    let mut addresses = Sum::default();
    for word in 0..8 {
        addresses.add(packet.get(network + ADDRESSES + 4 * word)?);
    }
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    answer_segment(packet, network + V6_HEADER_LEN, len, addresses)?;

    packet.set(network, [VERSION_6, 0, 0, 0, 0, LEN, PROTO_TCP, HOP_LIMIT])?;
    swap::<16, P>(packet, network + ADDRESSES)
}

/// Answers the segment of `len` bytes at `at` as RFC 9293 section 3.10.7.1 answers one that
/// belongs to no connection. `check` is the sum of the
/// addresses in the IP header.
#[inline(always)]
fn answer_segment<P: BytesMut + ?Sized>(
    packet: &mut P,
    at: usize,
    len: usize,
    mut check: Sum,
) -> Option<()> {
    const LEN: u8 = 20;
    const OFFSET: u8 = (LEN / 4) << 4;

    let [offset, flags, _, _, _, _, _, _] = packet.get(at + 12)?;
    let header_len = usize::from(offset >> 4) * 4;
    // One that ends elsewhere than it says, or goes on in another buffer.
    if header_len < usize::from(LEN) || len < header_len || at + len > packet.size() {
        return None;
    }
    let has_data = len > header_len && flags & SYN == 0;
    if flags & RST != 0 || has_data {
        return None;
    }
    let (sequence, acknowledgment, flags) = if flags & ACK != 0 {
        (packet.get(at + 8)?, [0; 4], RST)
    } else {
        let data = u32::try_from(len - header_len).ok()?;
        let marks = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        let next = u32::from_be_bytes(packet.get(at + 4)?).wrapping_add(data).wrapping_add(marks);
        ([0; 4], next.to_be_bytes(), RST | ACK)
    };
    swap::<2, P>(packet, at)?;
    packet.set(at + 4, sequence)?;
    packet.set(at + 8, acknowledgment)?;
    packet.set(at + 12, [OFFSET, flags, 0, 0, 0, 0, 0, 0])?;
    check.add([0, PROTO_TCP, 0, LEN]);
    for word in 0..4 {
        check.add(packet.get(at + 4 * word)?);
    }
    packet.set(at + 16, check.folded())
}

/// Exchanges the `N` bytes at `at` with those behind them.
#[inline(always)]
fn swap<const N: usize, P: BytesMut + ?Sized>(packet: &mut P, at: usize) -> Option<()> {
    let first: [u8; N] = packet.get(at)?;
    let second: [u8; N] = packet.get(at + N)?;
    packet.set(at, second)?;
    packet.set(at + N, first)
}

/// RFC 1071's checksum, over words as they lie in memory: their order matters to nobody.
#[derive(Clone, Copy, Default)]
struct Sum(u64);

impl Sum {
    #[inline(always)]
    fn add(&mut self, word: [u8; 4]) {
        self.0 += u64::from(u32::from_ne_bytes(word));
    }

    #[inline(always)]
    fn folded(self) -> [u8; 2] {
        let mut sum = self.0;
        for _ in 0..3 {
            sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
        }
        // Three times folded, it has no more than these.
        let [.., high, low] = (!sum).to_be_bytes();
        u16::from_be_bytes([high, low]).to_ne_bytes()
    }
}

#[cfg(test)]
mod tests;
