//! What the bytes of a packet lead to, and what the program is made of.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aya::programs::ProgramInfo;
use blocker_common::packet::{Source, classify};
use blocker_tests::{needs, process::run};
use blocker_user::{config::PortList, firewall};
use libtest_mimic::Trial;
use proptest::{
    prelude::{Strategy as _, any, prop_oneof},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::{DROP, HOUR, Kernel, PASS, tcp, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("whatever_the_bytes_the_kernel_agrees_with_the_classifier", agreement),
        trial("a_long_chain_of_headers_hides_no_banned_source", long_chains),
        trial("without_a_trace_its_instructions_are_gone", trace_is_free),
    ]
}

fn agreement(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("192.0.2.7", HOUR)?;
    kernel.ban("2001:db8::/64", HOUR)?;
    let ports: Vec<_> = PortList::default().ranges().to_vec();
    let expected = |packet: &[u8]| {
        let Some(segment) = classify(packet) else { return PASS };
        let banned = match segment.source {
            Source::V4(source) => source == [192, 0, 2, 7],
            Source::V6(source) => source.starts_with(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0]),
        };
        // Who hides the port behind a long chain of headers is judged by the source alone.
        let guarded = segment.port.is_none_or(|port| {
            ports.iter().any(|range| (range.first..=range.last).contains(&port))
        });
        if banned && guarded { DROP } else { PASS }
    };
    let base = prop_oneof![
        proptest::strategy::Just(tcp("192.0.2.7".parse()?, 143)?),
        proptest::strategy::Just(tcp("2001:db8::7".parse()?, 143)?),
        proptest::collection::vec(any::<u8>(), 14..120),
    ];
    let changes = proptest::collection::vec((12_usize..60, any::<u8>()), 0..4);
    let packets = (base, changes, 14_usize..120).prop_map(|(mut packet, changes, len)| {
        for (at, byte) in changes {
            if let Some(place) = packet.get_mut(at) {
                *place = byte;
            }
        }
        packet.truncate(len);
        packet
    });
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let config = Config { cases: 4000, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, rng).run(&packets, |packet| {
        let found = kernel
            .verdict(&packet)
            .map_err(|error| proptest::test_runner::TestCaseError::fail(format!("{error:#}")))?;
        proptest::prop_assert_eq!(found, expected(&packet));
        Ok(())
    })?;
    Ok(())
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
    let writes = |listing: &str| listing.contains("ringbuf") || listing.contains("perf_event");
    ensure!(writes(&listing(true)?), "the listing does not show how records are written");
    let without = listing(false)?;
    ensure!(!writes(&without), "without a trace the program still writes records:\n{without}");
    Ok(())
}
