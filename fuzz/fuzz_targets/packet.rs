//! Any bytes as a packet: the classifier and the answers stay inside them, and agree with
//! etherparse where that understands them.
#![no_main]

use blocker_common::packet::{Family, Packet, Source, To, classify, reset};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use libfuzzer_sys::fuzz_target;

/// What two networks nest.
const MOST_TAGS: usize = 2;

fuzz_target!(|bytes: &[u8]| {
    let found = classify(bytes);
    a_cut_packet_is_nothing_else(bytes, found);
    agrees(bytes, found);
    let mut reply = bytes.to_vec();
    match reset::answer(&mut reply[..]) {
        None => assert_eq!(reply, bytes, "not answered, and changed"),
        Some(()) => {
            assert_eq!(found.map(|packet| packet.to), Some(To::Tcp), "answered what is not TCP");
            is_a_reset(&reply);
        }
    }
});

/// Where the end is cut off it may be understood no more; it never becomes another packet.
fn a_cut_packet_is_nothing_else(bytes: &[u8], whole: Option<Packet>) {
    for len in (0..bytes.len()).rev().take(64) {
        let cut = classify(&bytes[..len]);
        assert!(cut.is_none() || cut == whole, "{cut:?} of {len} bytes, {whole:?} of all");
    }
}

fn agrees(bytes: &[u8], ours: Option<Packet>) {
    let Ok(theirs) = SlicedPacket::from_ethernet(bytes) else { return };
    if theirs.link_exts.len() > MOST_TAGS {
        return;
    }
    if theirs.vlan_ids().len() < theirs.link_exts.len() {
        return assert_eq!(ours, None, "MACsec");
    }
    let source = match &theirs.net {
        // An authentication header, which Linux does not look behind without having agreed on
        // a key with the sender.
        Some(NetSlice::Ipv4(ip)) if !ip.extensions().is_empty() => return assert_eq!(ours, None),
        Some(NetSlice::Ipv4(ip)) => Source::v4(ip.header().source()),
        Some(NetSlice::Ipv6(ip)) => {
            let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = ip.header().source();
            Source::v6([[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]])
        }
        _ => return assert_eq!(ours, None),
    };
    let expected = match &theirs.transport {
        Some(TransportSlice::Tcp(tcp)) => (To::Tcp, tcp.destination_port(), 6),
        Some(TransportSlice::Udp(udp)) => (To::Udp, udp.destination_port(), 17),
        // What is left to say there is nobody's but ours.
        Some(_) | None => return,
    };
    let (to, port, protocol) = expected;
    assert_eq!(ours, Some(Packet { source, to, port, protocol }));
}

fn is_a_reset(reply: &[u8]) {
    let packet = classify(reply).expect("a reply that is no packet");
    assert_eq!(packet.to, To::Tcp);
    assert_eq!(reset::answer(&mut reply.to_vec()[..]), None, "an answer to an answer");
    let sliced = SlicedPacket::from_ethernet(reply).expect("a reply that is malformed");
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("no segment") };
    let header = tcp.to_header();
    assert!(header.rst && !header.syn && tcp.payload().is_empty());
    let checksum = match (&sliced.net, packet.source.family) {
        (Some(NetSlice::Ipv4(ip)), Family::V4) => {
            let ip = ip.header().to_header();
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            header.calc_checksum_ipv4(&ip, &[])
        }
        (Some(NetSlice::Ipv6(ip)), Family::V6) => {
            header.calc_checksum_ipv6(&ip.header().to_header(), &[])
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(Ok(header.checksum), checksum);
}
