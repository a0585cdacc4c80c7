//! The answers, judged by etherparse, which computes checksums of its own.

use std::vec::Vec;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpHeader, TransportSlice};
use proptest::prelude::*;

use super::answer;

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const V4_CLIENT: [u8; 4] = [192, 0, 2, 7];
const V4_SERVER: [u8; 4] = [203, 0, 113, 254];
const V6_CLIENT: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0xff, 0xff, 0, 2, 0, 9, 0, 0, 0, 0, 0, 7];
const V6_SERVER: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1];
/// Where the IP header begins.
const NETWORK: usize = 14;

fn tcp(is_v6: bool, header: &TcpHeader, payload: &[u8]) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(CLIENT_MAC, SERVER_MAC);
    let ip = match is_v6 {
        false => ethernet.ipv4(V4_CLIENT, V4_SERVER, 51),
        true => ethernet.ipv6(V6_CLIENT, V6_SERVER, 51),
    };
    let mut packet = Vec::new();
    ip.tcp_header(header.clone()).write(&mut packet, payload).unwrap();
    packet
}

fn syn() -> TcpHeader {
    TcpHeader { syn: true, ..TcpHeader::new(40000, 4190, 7, 1024) }
}

fn answered(packet: &[u8]) -> Option<Vec<u8>> {
    let mut packet = packet.to_vec();
    let before = packet.clone();
    if answer(&mut packet[..]).is_none() {
        assert_eq!(packet, before, "not answered, and changed all the same");
        return None;
    }
    Some(packet)
}

/// What etherparse reads in an answer, whose checksums must be right.
fn read(reply: &[u8]) -> TcpHeader {
    let sliced = SlicedPacket::from_ethernet(reply).unwrap();
    let Some(etherparse::LinkSlice::Ethernet2(ethernet)) = &sliced.link else { panic!("no frame") };
    assert_eq!((ethernet.source(), ethernet.destination()), (SERVER_MAC, CLIENT_MAC));
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("no segment") };
    assert_eq!(tcp.payload(), b"");
    let header = tcp.to_header();
    let checksum = match &sliced.net {
        Some(NetSlice::Ipv4(ip)) => {
            let ip = ip.header().to_header();
            assert_eq!((ip.source, ip.destination), (V4_SERVER, V4_CLIENT));
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            assert!(ip.dont_fragment && ip.time_to_live == 64 && ip.total_len == 40);
            header.calc_checksum_ipv4(&ip, &[]).unwrap()
        }
        Some(NetSlice::Ipv6(ip)) => {
            let ip = ip.header().to_header();
            assert_eq!((ip.source, ip.destination), (V6_SERVER, V6_CLIENT));
            assert!(ip.hop_limit == 64 && ip.payload_length == 20);
            header.calc_checksum_ipv6(&ip, &[]).unwrap()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(header.checksum, checksum);
    header
}

fn expected(flags: (bool, u32, u32)) -> TcpHeader {
    let (ack, sequence_number, acknowledgment_number) = flags;
    TcpHeader {
        rst: true,
        ack,
        acknowledgment_number,
        ..TcpHeader::new(4190, 40000, sequence_number, 0)
    }
}

fn without_checksum(header: TcpHeader) -> TcpHeader {
    TcpHeader { checksum: 0, ..header }
}

proptest! {
    /// RFC 9293 section 3.10.7.1, for every segment there can be.
    #[test]
    fn what_is_no_reset_and_has_no_data_is_answered_by_the_book(
        is_v6 in any::<bool>(),
        flags in any::<[bool; 6]>(),
        sequence_number in any::<u32>(),
        acknowledgment_number in any::<u32>(),
        payload in prop_oneof![Just(0), 1_usize..200],
        tags in 0_usize..3,
        padding in 0_usize..12,
    ) {
        let [syn, fin, ack, rst, psh, urg] = flags;
        let mut header = TcpHeader::new(40000, 4190, sequence_number, 1024);
        header = TcpHeader { syn, fin, ack, rst, psh, urg, acknowledgment_number, ..header };
        header.set_options_raw(&[1; 8]).unwrap();
        let mut packet = tcp(is_v6, &header, &std::vec![0x55; payload]);
        packet.extend(std::vec![0xaa; padding]);
        let tag = [0x81, 0, 0, 100];
        packet.splice(12..12, tag.repeat(tags));
        let reply = answered(&packet);
        if rst || (payload > 0 && !syn) {
            prop_assert!(reply.is_none());
            return Ok(());
        }
        let mut reply = reply.unwrap();
        prop_assert_eq!(reply.drain(12..12 + 4 * tags).collect::<Vec<_>>(), tag.repeat(tags));
        let len = u32::try_from(payload).unwrap() + u32::from(syn) + u32::from(fin);
        let expected = match ack {
            true => expected((false, acknowledgment_number, 0)),
            false => expected((true, 0, sequence_number.wrapping_add(len))),
        };
        prop_assert_eq!(without_checksum(read(&reply)), expected);
    }

    #[test]
    fn garbage_is_left_alone_or_answered_in_its_bounds(
        mut packet in proptest::collection::vec(any::<u8>(), 0..120),
        start in any::<bool>(),
    ) {
        if start && packet.len() > 54 {
            packet[..54].copy_from_slice(&tcp(false, &syn(), b"")[..54]);
        }
        let reply = answered(&packet);
        if let Some(reply) = reply.filter(|_| start) {
            // What is behind the headers is as it was.
            prop_assert_eq!(&reply[54..], &packet[54..]);
        }
    }
}

#[test]
fn what_nobody_sends_who_waits_for_an_answer_gets_none() {
    let change = |is_v6, at: usize, byte: u8| {
        let mut packet = tcp(is_v6, &syn(), b"");
        assert!(answered(&packet).is_some());
        packet[at] = byte;
        packet
    };
    for (what, packet) in [
        ("to a group of hosts", change(false, 0, 1)),
        ("from a group of hosts", change(false, 6, 3)),
        ("options", change(false, NETWORK, 0x46)),
        ("another version", change(false, NETWORK, 0x65)),
        ("a first fragment", change(false, NETWORK + 6, 0x20)),
        ("a later fragment", change(false, NETWORK + 7, 1)),
        ("UDP", change(false, NETWORK + 9, 17)),
        ("from a multicast address", change(false, NETWORK + 12, 224)),
        ("to a multicast address", change(false, NETWORK + 16, 255)),
        ("shorter than its header", change(false, NETWORK + 3, 39)),
        ("longer than the packet", change(false, NETWORK + 3, 41)),
        ("a TCP header that is too short", change(false, NETWORK + 20 + 12, 0x40)),
        ("a TCP header behind the end", change(false, NETWORK + 20 + 12, 0x60)),
        ("an extension header", change(true, NETWORK + 6, 60)),
        ("to a multicast prefix", change(true, NETWORK + 24, 0xff)),
        ("from a multicast prefix", change(true, NETWORK + 8, 0xff)),
        ("another ethertype", change(true, 13, 0)),
    ] {
        assert_eq!(answered(&packet), None, "{what}");
    }
    let whole = tcp(true, &syn(), b"");
    for len in 0..whole.len() {
        assert_eq!(answered(&whole[..len]), None, "{len} bytes");
    }
}
