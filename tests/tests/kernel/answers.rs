//! `action = reset`: what goes back, byte by byte.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use blocker_common::packet::reset;
use blocker_user::firewall::{Action, Firewall as _, PortRange};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpHeader, TransportSlice};
use libtest_mimic::Trial;

use crate::{DROP, HOUR, Kernel, PASS, TX, options, tcp, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_banned_segment_is_answered_with_a_reset", answered),
        trial("what_cannot_be_answered_is_dropped", dropped),
    ]
}

const SOURCES: [&str; 2] = ["192.0.2.7", "2001:db8::7"];

fn open(pins: &Path) -> Result<Kernel> {
    let mut options = options(pins, 64, false);
    options.action = Action::Reset;
    options.udp_ports = vec![PortRange { first: 53, last: 53 }];
    let mut kernel = Kernel::open_with(&options)?;
    kernel.ban("192.0.2.7", HOUR)?;
    kernel.ban("2001:db8::/64", HOUR)?;
    Ok(kernel)
}

fn segment(source: &str, header: &TcpHeader, payload: &[u8]) -> Result<Vec<u8>> {
    let mut packet = tcp(source.parse()?, header.destination_port)?;
    packet.truncate(packet.len() - 20);
    let lengths = if source.contains(':') { (18, 0) } else { (16, 20) };
    let len = u16::try_from(lengths.1 + header.header_len() + payload.len())?;
    packet[lengths.0..lengths.0 + 2].copy_from_slice(&len.to_be_bytes());
    packet.extend(header.to_bytes());
    packet.extend(payload);
    Ok(packet)
}

fn answered(pins: &Path) -> Result<()> {
    let kernel = open(pins)?;
    let header = TcpHeader { window_size: 512, ..TcpHeader::new(40000, 4190, 7, 512) };
    let with_ack = TcpHeader { ack: true, acknowledgment_number: 99, ..header.clone() };
    let segments = [
        (TcpHeader { syn: true, ..header.clone() }, 0_usize, (true, 0, 8)),
        (TcpHeader { syn: true, ..header.clone() }, 5, (true, 0, 7 + 5 + 1)),
        (with_ack, 0, (false, 99, 0)),
        (TcpHeader { fin: true, ..header }, 0, (true, 0, 8)),
    ];
    let mut answers = 0;
    for source in SOURCES {
        for tags in [&[][..], &[0x81, 0, 0, 100], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 100]] {
            for (header, payload, expected) in &segments {
                let mut packet = segment(source, header, &vec![0x55; *payload])?;
                packet.splice(12..12, tags.iter().copied());
                let (verdict, mut reply) = kernel.run(&packet)?;
                ensure!(verdict == TX, "{source}: verdict {verdict}");
                answers += 1;
                // What the classifier's own tests look at is what the program does.
                let mut same = packet.clone();
                reset::answer(&mut same[..]).context("not answered")?;
                ensure!(reply == same, "{source}: {reply:x?}, not {same:x?}");
                ensure!(reply.drain(12..12 + tags.len()).eq(tags.iter().copied()), "other tags");
                check(&reply, *expected)?;
            }
        }
    }
    let counters = kernel.firewall.view()?.counters()?;
    ensure!(counters.answered_reset == answers && counters.dropped_tcp == answers);
    Ok(())
}

/// By etherparse, which computes the checksums by itself.
fn check(reply: &[u8], (ack, sequence, acknowledgment): (bool, u32, u32)) -> Result<()> {
    let sliced = SlicedPacket::from_ethernet(reply)?;
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else {
        anyhow::bail!("no TCP in {sliced:?}")
    };
    let header = tcp.to_header();
    let checksum = match &sliced.net {
        Some(NetSlice::Ipv4(ip)) => {
            let ip = ip.header().to_header();
            ensure!(ip.header_checksum == ip.calc_header_checksum(), "checksum of {ip:?}");
            ensure!((ip.source, ip.destination) == ([192, 0, 2, 1], [192, 0, 2, 7]), "{ip:?}");
            header.calc_checksum_ipv4(&ip, &[])?
        }
        Some(NetSlice::Ipv6(ip)) => header.calc_checksum_ipv6(&ip.header().to_header(), &[])?,
        other => anyhow::bail!("{other:?}"),
    };
    ensure!(header.checksum == checksum, "checksum of {header:?}, expected {checksum:#x}");
    ensure!((header.source_port, header.destination_port) == (4190, 40000), "{header:?}");
    ensure!(header.rst && header.ack == ack && !header.syn, "{header:?}");
    ensure!(
        (header.sequence_number, header.acknowledgment_number) == (sequence, acknowledgment),
        "{header:?}"
    );
    Ok(())
}

fn dropped(pins: &Path) -> Result<()> {
    let kernel = open(pins)?;
    let reset = TcpHeader { rst: true, ..TcpHeader::new(40000, 4190, 7, 512) };
    let mut to_many = tcp("192.0.2.7".parse()?, 25)?;
    to_many[0] = 0xff;
    let mut options = tcp("192.0.2.7".parse()?, 25)?;
    options[14] = 0x46;
    options[17] += 4;
    options.splice(34..34, [1; 4]);
    let mut first_fragment = tcp("192.0.2.7".parse()?, 25)?;
    first_fragment[20] = 0x20;
    let mut extended = tcp("2001:db8::7".parse()?, 25)?;
    extended[20] = 60;
    extended[19] += 8;
    extended.splice(54..54, [6, 0, 1, 4, 0, 0, 0, 0]);
    let mut udp = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([192, 0, 2, 7], [192, 0, 2, 1], 9);
    builder.udp(1, 53).write(&mut udp, b"x")?;
    let reset = segment("192.0.2.7", &reset, b"")?;
    let data = TcpHeader { ack: true, psh: true, ..TcpHeader::new(40000, 4190, 7, 512) };
    let data = segment("192.0.2.7", &data, b"a1 CAPABILITY")?;
    let packets = [reset, data, to_many, options, first_fragment, extended, udp];
    for (number, packet) in packets.iter().enumerate() {
        let (verdict, left) = kernel.run(packet)?;
        ensure!(verdict == DROP, "packet {number}: verdict {verdict}");
        ensure!(&left == packet, "packet {number} was changed");
    }
    ensure!(kernel.firewall.view()?.counters()?.answered_reset == 0);
    // Nobody else is answered, and nothing else.
    kernel.expect(PASS, "192.0.2.8", 25)?;
    kernel.expect(PASS, "192.0.2.7", 80)
}
