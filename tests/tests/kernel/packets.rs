//! What the bytes of a packet lead to, and what the program is made of.

use std::{net::IpAddr, path::Path};

use anyhow::{Context as _, Result, ensure};
use aya::programs::ProgramInfo;
use blocker_common::packet::{Family, Packet, Source, To, classify};
use blocker_tests::{needs, process::run};
use blocker_user::{
    config::PortList,
    firewall::{self, PortRange},
};
use libtest_mimic::Trial;
use proptest::{
    prelude::{Just, Strategy, any, prop_oneof},
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::{DROP, HOUR, Kernel, PASS, options, tcp, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("whatever_the_bytes_the_kernel_agrees_with_the_classifier", agreement),
        trial("a_long_chain_of_headers_hides_no_banned_source", long_chains),
        trial("without_a_trace_its_instructions_are_gone", trace_is_free),
    ]
}

fn agreement(pins: &Path) -> Result<()> {
    let mut options = options(pins, 64, false);
    options.udp_ports = vec![PortRange { first: 53, last: 143 }];
    let mut kernel = Kernel::open_with(&options)?;
    kernel.ban("192.0.2.7", HOUR)?;
    kernel.ban("2001:db8::/64", HOUR)?;
    let tcp_ports: Vec<_> = PortList::default().ranges().to_vec();
    let expected = |packet: &[u8]| {
        let Some(Packet { source, to, port, .. }) = classify(packet) else { return PASS };
        let banned = match source.family {
            Family::V4 => source == Source::v4([192, 0, 2, 7]),
            Family::V6 => source.addr().starts_with(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0]),
        };
        let guards = |ports: &[PortRange]| {
            ports.iter().any(|range| (range.first..=range.last).contains(&port))
        };
        let guarded = match to {
            To::Tcp => guards(&tcp_ports),
            To::Udp => guards(&options.udp_ports),
            // Who hides the port is judged by the source alone.
            To::Fragment | To::Hidden => true,
        };
        if banned && guarded { DROP } else { PASS }
    };
    let [mut passed, mut dropped] = [0_u32; 2];
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = packets();
    for _ in 0..6000 {
        let packet = strategy
            .new_tree(&mut runner)
            .map_err(|reason| anyhow::anyhow!("no packet: {reason}"))?
            .current();
        let (found, expected) = (kernel.verdict(&packet)?, expected(&packet));
        ensure!(found == expected, "{found} and not {expected} for {packet:x?}");
        *(if found == DROP { &mut dropped } else { &mut passed }) += 1;
    }
    // A test of packets that all pass would show nothing.
    ensure!(passed > 500 && dropped > 500, "{passed} passed, {dropped} dropped");
    Ok(())
}

/// What networks carry, with a few bytes that are wrong; and garbage.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let source = prop_oneof![
        Just(IpAddr::from([192, 0, 2, 7])),
        Just(IpAddr::from([192, 0, 2, 8])),
        Just(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7])),
        Just(IpAddr::from([0x2001, 0xdb9, 0, 0, 0, 0, 0, 7])),
    ];
    let protocol = prop_oneof![3 => Just(6_u8), 2 => Just(17), 1 => any::<u8>()];
    let port = prop_oneof![Just(25_u16), Just(53), Just(143), Just(144), any::<u16>()];
    let header = prop_oneof![Just(0_u8), Just(43), Just(44), Just(51), Just(60)];
    let headers = proptest::collection::vec((header, 0..4_u8, any::<bool>()), 0..10);
    let tags = proptest::collection::vec(prop_oneof![Just(0x81_u8), Just(0x88)], 0..4);
    let built = (source, protocol, port, headers, tags, 0..3_u8, any::<bool>()).prop_map(
        |(source, protocol, port, headers, tags, options, later)| match source {
            IpAddr::V4(source) => {
                let offset = if later { [0x20, 3] } else { [0x20 * options, 0] };
                v4(source.octets(), protocol, port, options, offset, &tags)
            }
            IpAddr::V6(source) => v6(source.octets(), protocol, port, &headers, &tags),
        },
    );
    let base = prop_oneof![
        9 => built,
        1 => proptest::collection::vec(any::<u8>(), 14..120),
    ];
    let changes = proptest::collection::vec((12_usize..120, any::<u8>()), 0..3);
    let len = prop_oneof![2 => Just(1000_usize), 1 => 14_usize..120];
    (base, changes, len).prop_map(|(mut packet, changes, len)| {
        for (at, byte) in changes {
            if let Some(place) = packet.get_mut(at) {
                *place = byte;
            }
        }
        packet.truncate(len);
        packet
    })
}

/// Tags and the ethertype behind them.
fn ethernet(tags: &[u8], ethertype: [u8; 2]) -> Vec<u8> {
    let mut packet = vec![2; 12];
    for tag in tags {
        packet.extend([*tag, if *tag == 0x81 { 0 } else { 0xa8 }, 0, 100]);
    }
    packet.extend(ethertype);
    packet
}

/// Ports, and enough behind them for either protocol.
fn transport(port: u16) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..2].copy_from_slice(&40000_u16.to_be_bytes());
    bytes[2..4].copy_from_slice(&port.to_be_bytes());
    bytes
}

fn v4(
    source: [u8; 4],
    protocol: u8,
    port: u16,
    options: u8,
    offset: [u8; 2],
    tags: &[u8],
) -> Vec<u8> {
    let mut packet = ethernet(tags, [8, 0]);
    packet.extend([0x45 + options, 0, 0, 40 + 4 * options, 0, 0, offset[0], offset[1], 64]);
    packet.extend([protocol, 0, 0]);
    packet.extend(source);
    packet.extend([192, 0, 2, 1]);
    packet.extend([1; 4].repeat(usize::from(options)));
    packet.extend(transport(port));
    packet
}

fn v6(
    source: [u8; 16],
    protocol: u8,
    port: u16,
    headers: &[(u8, u8, bool)],
    tags: &[u8],
) -> Vec<u8> {
    let mut chain = Vec::new();
    let after = headers.iter().skip(1).map(|(header, ..)| *header).chain([protocol]);
    for ((header, len, later), next) in headers.iter().zip(after) {
        match header {
            44 => chain.extend([next, 0, 0, if *later { 9 } else { 1 }, 0, 0, 0, 1]),
            51 => {
                chain.extend([next, *len]);
                chain.extend(vec![0; (usize::from(*len) + 2) * 4 - 2]);
            }
            _ => {
                chain.extend([next, *len]);
                chain.extend(vec![0; (usize::from(*len) + 1) * 8 - 2]);
            }
        }
    }
    let mut packet = ethernet(tags, [0x86, 0xdd]);
    let len = u16::try_from(chain.len() + 20).unwrap_or(u16::MAX).to_be_bytes();
    let first = headers.first().map_or(protocol, |(header, ..)| *header);
    packet.extend([0x60, 0, 0, 0, len[0], len[1], first, 64]);
    packet.extend(source);
    packet.extend([1; 16]);
    packet.extend(chain);
    packet.extend(transport(port));
    packet
}

/// Linux delivers a SYN behind any number of extension headers.
fn long_chains(pins: &Path) -> Result<()> {
    const ETHERNET_AND_IPV6: usize = 14 + 40;
    const NEXT_HEADER: usize = 14 + 6;
    const DESTINATION_OPTIONS: u8 = 60;
    const TCP: u8 = 6;
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("2001:db8::/64", HOUR)?;
    for length in [1_usize, 7, 8, 9, 20, 150] {
        for (source, verdict) in [("2001:db8::7", DROP), ("2001:db9::7", PASS)] {
            let mut packet = tcp(source.parse()?, 4190)?;
            packet[NEXT_HEADER] = DESTINATION_OPTIONS;
            let mut chain = [DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0].repeat(length);
            let last = chain.len() - 8;
            let len = u16::try_from(chain.len() + 20)?;
            packet[18..20].copy_from_slice(&len.to_be_bytes());
            chain[last] = TCP;
            packet.splice(ETHERNET_AND_IPV6..ETHERNET_AND_IPV6, chain);
            let found = kernel.verdict(&packet)?;
            ensure!(found == verdict, "{length} headers from {source}: verdict {found}");
        }
    }
    Ok(())
}

fn trace_is_free(pins: &Path) -> Result<()> {
    let size = |trace| -> Result<u32> {
        firewall::detach(pins)?;
        let kernel = Kernel::open(pins, 64, trace)?;
        let info: ProgramInfo = kernel.program.info()?;
        info.size_translated().context("the kernel does not tell the size of a program")
    };
    let (with, without) = (size(true)?, size(false)?);
    // The calls and the formatting of one record alone are hundreds of bytes.
    ensure!(without + 500 < with, "{without} bytes without a trace, {with} with it");
    if needs::missing_bpftool().is_some() {
        return Ok(());
    }
    let listing = |trace| -> Result<String> {
        firewall::detach(pins)?;
        let _kernel = Kernel::open(pins, 64, trace)?;
        let mut bpftool = blocker_tests::process::command("bpftool");
        run(bpftool.args(["prog", "dump", "xlated", "pinned"]).arg(pins.join("doveblock")))
    };
    // An event of each family is written in any case.
    let writes = |listing: &str| listing.matches("call bpf_ringbuf").count();
    let (with, without) = (listing(true)?, listing(false)?);
    ensure!(writes(&with) > 2, "the listing does not show how records are written:\n{with}");
    ensure!(writes(&without) == 2, "without a trace the program still writes it:\n{without}");
    Ok(())
}
