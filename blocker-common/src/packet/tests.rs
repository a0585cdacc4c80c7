//! The classifier on packets built by etherparse, which knows nothing of it, and on garbage.

use std::vec::Vec;

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::{Packet, Source, To, classify};

const V4: [u8; 4] = [192, 0, 2, 7];
const V4_SERVER: [u8; 4] = [192, 0, 2, 1];
const V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7];
const V6_SERVER: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ETHERNET: usize = 14;
const V6_HEADER: usize = 40;

fn tcp4(port: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4(V4, V4_SERVER, 64)
        .tcp(40000, port, 1, 1024)
        .write(&mut packet, b"hello")
        .unwrap();
    packet
}

fn tcp6(port: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv6(V6, V6_SERVER, 64)
        .tcp(40000, port, 1, 1024)
        .write(&mut packet, b"hello")
        .unwrap();
    packet
}

fn v6() -> Source {
    v6_source(V6)
}

fn v6_source(addr: [u8; 16]) -> Source {
    let (first, second) = addr.split_at(8);
    Source::v6([first.try_into().unwrap(), second.try_into().unwrap()])
}

fn from_v4(port: u16) -> Option<Packet> {
    Some(Packet { source: Source::v4(V4), to: To::Tcp, port, protocol: 6 })
}

fn from_v6(port: u16) -> Option<Packet> {
    Some(Packet { source: v6(), to: To::Tcp, port, protocol: 6 })
}

fn udp(source: Source, port: u16) -> Option<Packet> {
    Some(Packet { source, to: To::Udp, port, protocol: 17 })
}

fn fragment(source: Source, protocol: u8) -> Option<Packet> {
    Some(Packet { source, to: To::Fragment, port: 0, protocol })
}

/// Puts `tags`, each an ethertype, between the addresses and the payload's ethertype.
fn tagged(packet: &[u8], tags: &[u16]) -> Vec<u8> {
    let (addresses, rest) = packet.split_at(12);
    let mut tagged = addresses.to_vec();
    for tag in tags {
        tagged.extend(tag.to_be_bytes());
        tagged.extend([0, 100]);
    }
    tagged.extend(rest);
    tagged
}

/// Puts extension headers, each a protocol and its bytes, in front of the TCP header.
fn extended(packet: &[u8], headers: &[(u8, Vec<u8>)]) -> Vec<u8> {
    const NEXT_HEADER: usize = ETHERNET + 6;
    let (before, tcp) = packet.split_at(ETHERNET + V6_HEADER);
    let mut packet = before.to_vec();
    let mut next_header_at = NEXT_HEADER;
    for (protocol, header) in headers {
        packet[next_header_at] = *protocol;
        next_header_at = packet.len();
        packet.extend(header);
    }
    packet[next_header_at] = 6;
    packet.extend(tcp);
    let payload = u16::try_from(packet.len() - ETHERNET - V6_HEADER).unwrap();
    packet[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&payload.to_be_bytes());
    packet
}

#[test]
fn plain_tcp_of_both_families() {
    assert_eq!(classify(&tcp4(4190)[..]), from_v4(4190));
    assert_eq!(classify(&tcp6(993)[..]), from_v6(993));
}

#[test]
fn udp_of_both_families() {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(V4, V4_SERVER, 64);
    builder.udp(1, 4190).write(&mut packet, b"x").unwrap();
    assert_eq!(classify(&packet[..]), udp(Source::v4(V4), 4190));
    packet.clear();
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv6(V6, V6_SERVER, 64);
    builder.udp(1, 443).write(&mut packet, b"x").unwrap();
    assert_eq!(classify(&packet[..]), udp(v6(), 443));
}

#[test]
fn an_address_reads_back() {
    let mut expected = [0; 16];
    expected[..4].copy_from_slice(&V4);
    assert_eq!(Source::v4(V4).addr(), expected);
    assert_eq!(v6().addr(), V6);
}

#[test]
fn other_protocols_pass() {
    let mut icmp = Vec::new();
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv6(V6, V6_SERVER, 64);
    builder.icmpv6_echo_request(1, 2).write(&mut icmp, b"x").unwrap();
    assert_eq!(classify(&icmp[..]), None);
    let mut arp = tcp4(25);
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    assert_eq!(classify(&arp[..]), None);
}

#[test]
fn up_to_two_vlan_tags_are_looked_through() {
    assert_eq!(classify(&tagged(&tcp4(25), &[0x8100])[..]), from_v4(25));
    assert_eq!(classify(&tagged(&tcp6(25), &[0x88a8, 0x8100])[..]), from_v6(25));
    assert_eq!(classify(&tagged(&tcp4(25), &[0x9100, 0x8100])[..]), from_v4(25));
    assert_eq!(classify(&tagged(&tcp4(25), &[0x8100, 0x8100, 0x8100])[..]), None);
}

#[test]
fn ipv4_options_are_skipped_and_a_lying_length_passes() {
    let mut packet = tcp4(110);
    packet.splice(ETHERNET + 20..ETHERNET + 20, [1_u8; 12]);
    packet[ETHERNET] = 0x48;
    assert_eq!(classify(&packet[..]), from_v4(110));
    packet[ETHERNET] = 0x44;
    assert_eq!(classify(&packet[..]), None);
    packet[ETHERNET] = 0x68;
    assert_eq!(classify(&packet[..]), None);
}

#[test]
fn the_first_fragment_is_judged_by_its_port_and_later_ones_are_told() {
    let mut packet = tcp4(25);
    packet[ETHERNET + 6..ETHERNET + 8].copy_from_slice(&[0x20, 0]);
    assert_eq!(classify(&packet[..]), from_v4(25));
    // Of 13 bits the offset has, each is enough.
    for bit in 0..13 {
        let offset = 0x2000_u16 | 1 << bit;
        packet[ETHERNET + 6..ETHERNET + 8].copy_from_slice(&offset.to_be_bytes());
        assert_eq!(classify(&packet[..]), fragment(Source::v4(V4), 6), "{offset:#x}");
    }
    for (protocol, expected) in [(17, fragment(Source::v4(V4), 17)), (1, None)] {
        packet[ETHERNET + 9] = protocol;
        assert_eq!(classify(&packet[..]), expected);
    }
    // A later fragment needs no more than its IP header.
    packet[ETHERNET + 9] = 6;
    packet.truncate(ETHERNET + 20);
    assert_eq!(classify(&packet[..]), fragment(Source::v4(V4), 6));

    let header = |offset: u8| std::vec![0, 0, 0, offset | 1, 0, 0, 0, 9];
    assert_eq!(classify(&extended(&tcp6(25), &[(44, header(0))])[..]), from_v6(25));
    assert_eq!(classify(&extended(&tcp6(25), &[(44, header(8))])[..]), fragment(v6(), 6));
    // The fragment's own headers may go on before TCP; what they are is told.
    let options = std::vec![0; 8];
    let longer = extended(&tcp6(25), &[(60, options.clone()), (44, header(8)), (60, options)]);
    assert_eq!(classify(&longer[..]), fragment(v6(), 60));
    let mut icmp = extended(&tcp6(25), &[(44, header(8))]);
    icmp[ETHERNET + V6_HEADER] = 58;
    assert_eq!(classify(&icmp[..]), None);
}

#[test]
fn what_lies_behind_the_stated_length_is_padding() {
    let mut v4 = tcp4(25);
    for (total, expected) in [(0, None), (19, None), (23, None), (24, from_v4(25))] {
        v4[ETHERNET + 3] = total;
        assert_eq!(classify(&v4[..]), expected, "{total} bytes in total");
    }
    // Zero is a jumbogram's length (RFC 2675).
    let mut v6 = tcp6(25);
    for (payload, expected) in [(3, None), (4, from_v6(25)), (0, from_v6(25))] {
        v6[ETHERNET + 5] = payload;
        assert_eq!(classify(&v6[..]), expected, "{payload} bytes of payload");
    }
    let mut longer = extended(&tcp6(25), &[(60, std::vec![0; 8])]);
    for (payload, expected) in [(7, None), (11, None), (12, from_v6(25))] {
        longer[ETHERNET + 5] = payload;
        assert_eq!(classify(&longer[..]), expected, "{payload} bytes of payload");
    }
}

#[test]
fn ipv6_extension_headers_are_walked() {
    let options = std::vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let short = std::vec![0; 8];
    let authentication = std::vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let all = [
        (0, options.clone()),
        (60, short.clone()),
        (43, short.clone()),
        (44, std::vec![0, 0, 0, 1, 0, 0, 0, 9]),
        (51, authentication),
        (60, options),
    ];
    assert_eq!(classify(&extended(&tcp6(4190), &all)[..]), from_v6(4190));
    let chain = |length| std::vec![(60, short.clone()); length];
    assert_eq!(classify(&extended(&tcp6(25), &chain(7))[..]), from_v6(25));
    // A chain too long to walk is nobody's honest traffic: the source tells, not the port.
    for length in [8, 9, 150] {
        let hidden = Some(Packet { source: v6(), to: To::Hidden, port: 0, protocol: 0 });
        assert_eq!(classify(&extended(&tcp6(25), &chain(length))[..]), hidden, "{length}");
    }
}

#[test]
fn a_packet_cut_anywhere_passes_or_is_what_it_was() {
    for packet in [tcp4(25), tcp6(25), tagged(&tcp6(25), &[0x8100])] {
        let whole = classify(&packet[..]);
        for len in 0..packet.len() {
            let cut = classify(&packet[..len]);
            assert!(cut.is_none() || cut == whole, "{len} of {} bytes", packet.len());
        }
    }
}

proptest! {
    #[test]
    fn garbage_passes_or_is_read_inside_its_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
        // Reads are bounds-checked by construction; this looks for arithmetic that panics.
        let _verdict = classify(&bytes[..]);
    }

    /// Any header bytes after a valid start: the second opinion is etherparse's.
    #[test]
    fn agrees_with_etherparse(
        packet in (any::<bool>(), any::<bool>(), any::<u16>(), 0_usize..3, 0_usize..4)
            .prop_map(|(is_v6, is_udp, port, tags, headers)| built(is_v6, is_udp, port, tags, headers)),
        changes in proptest::collection::vec((12_usize..90, any::<u8>()), 0..3),
        cut in 0_usize..100,
    ) {
        let mut packet = packet;
        for (at, with) in changes {
            if let Some(byte) = packet.get_mut(at) {
                *byte = with;
            }
        }
        packet.truncate(packet.len().saturating_sub(cut.saturating_sub(60)));
        let ours = classify(&packet[..]);
        let Ok(theirs) = etherparse::SlicedPacket::from_ethernet(&packet) else { return Ok(()) };
        // It looks through more tags than networks have.
        prop_assume!(theirs.link_exts.len() <= 2);
        // And behind MACsec's.
        prop_assume!(theirs.link_exts.len() == theirs.vlan_ids().len());
        let source = match &theirs.net {
            // An authentication header, which nobody looks behind without the sender's key.
            Some(etherparse::NetSlice::Ipv4(ip)) if !ip.extensions().is_empty() => {
                prop_assert_eq!(ours, None);
                return Ok(());
            }
            Some(etherparse::NetSlice::Ipv4(ip)) => Source::v4(ip.header().source()),
            Some(etherparse::NetSlice::Ipv6(ip)) => v6_source(ip.header().source()),
            _ => {
                prop_assert_eq!(ours, None);
                return Ok(());
            }
        };
        match &theirs.transport {
            Some(etherparse::TransportSlice::Tcp(tcp)) => {
                let port = tcp.destination_port();
                let expected = Packet { source, to: To::Tcp, port, protocol: 6 };
                prop_assert_eq!(ours, Some(expected));
            }
            Some(etherparse::TransportSlice::Udp(header)) => {
                prop_assert_eq!(ours, udp(source, header.destination_port()));
            }
            Some(_) => prop_assert_eq!(ours, None),
            None => {
                let is_fragment = match &theirs.net {
                    Some(etherparse::NetSlice::Ipv4(ip)) => ip.header().fragments_offset().value() > 0,
                    _ => ours.is_some_and(|ours| ours.to == To::Fragment),
                };
                let told = ours.map(|ours| ours.to);
                prop_assert!(!is_fragment || matches!(told, None | Some(To::Fragment)), "{:?}", ours);
            }
        }
    }
}

/// A packet as a network may carry it, to be changed.
fn built(is_v6: bool, is_udp: bool, port: u16, tags: usize, headers: usize) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2([1; 6], [2; 6]);
    let ip = match is_v6 {
        false => ethernet.ipv4(V4, V4_SERVER, 64),
        true => ethernet.ipv6(V6, V6_SERVER, 64),
    };
    let mut packet = Vec::new();
    match is_udp {
        true => ip.udp(40000, port).write(&mut packet, b"hello").unwrap(),
        false => ip.tcp(40000, port, 1, 1024).write(&mut packet, b"hello").unwrap(),
    }
    if is_v6 && !is_udp {
        let all = [
            (60, std::vec![0; 8]),
            (44, std::vec![0, 0, 0, 1, 0, 0, 0, 9]),
            (51, std::vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ];
        packet = extended(&packet, &all[..headers]);
    }
    tagged(&packet, &[0x88a8, 0x8100][..tags])
}
