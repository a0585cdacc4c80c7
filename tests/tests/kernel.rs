//! The loaded program, packet by packet, through `BPF_PROG_TEST_RUN`: no interface, no
//! network, but the very instructions that the verifier let through.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    TestRun as _, TestRunOptions,
    programs::{ProgramInfo, Xdp as Program},
};
use aya_obj::programs::XdpAttachType;
use blocker_common::packet::{Source, classify};
use blocker_user::{
    config::PortList,
    daemon::wall_clock,
    firewall::{self, Firewall as _, FirewallError, Options, Order, Xdp, XdpMode},
};
use etherparse::PacketBuilder;
use ipnet::IpNet;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use proptest::{
    prelude::{Strategy as _, any, prop_oneof},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

const DROP: u32 = 1;
const PASS: u32 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("a_banned_source_is_dropped_on_guarded_ports_only", verdicts),
        trial("a_ban_ends_at_its_deadline_by_itself", deadlines),
        trial("the_allow_list_beats_every_ban", allow_list),
        trial("a_ban_of_an_ipv6_prefix_covers_it_and_nothing_else", prefixes),
        trial("networks_of_any_length_are_dropped_and_lifted", networks),
        trial("drops_are_counted_for_the_ban_and_in_total", counters),
        trial("whatever_the_bytes_the_kernel_agrees_with_the_classifier", agreement),
        trial("a_prefix_banned_under_another_ipv6_prefix_stays_banned", other_prefix),
        trial("without_a_trace_its_instructions_are_gone", trace_is_free),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, body: fn(&Path) -> Result<()>) -> Trial {
    Trial::ignorable_test(name, move || {
        static TRIALS: AtomicU32 = AtomicU32::new(1);
        // Named like those of the end-to-end tests, which remove what a killed run left.
        let number = TRIALS.fetch_add(1, Ordering::Relaxed);
        let pins = PathBuf::from(format!("/sys/fs/bpf/dbk-{}-{number}", std::process::id()));
        let result = match Kernel::open(&pins, 64, false).map(drop) {
            Err(FirewallError::Capabilities(lacking)) => {
                return Ok(Completion::ignored_with(format!("needs root: lacks {lacking}")));
            }
            Err(FirewallError::NoProgram) => {
                return Ok(Completion::ignored_with("needs the kernel program: cargo xtask test"));
            }
            Err(error) => Err(error.into()),
            Ok(()) => body(&pins),
        };
        let detached = firewall::detach(&pins).context("cleaning up");
        result
            .and(detached)
            .map(|_| Completion::Completed)
            .map_err(|error| Failed::from(format!("{error:#}")))
    })
}

/// The program, loaded and pinned but attached to nothing.
struct Kernel {
    firewall: Xdp,
    program: Program,
}

impl Kernel {
    fn open(pins: &Path, ipv6_prefix: u8, trace: bool) -> Result<Self, FirewallError> {
        let firewall = Xdp::open(&Options {
            pin_dir: pins.to_owned(),
            interfaces: Vec::new(),
            mode: XdpMode::Auto,
            ports: PortList::default().ranges().to_vec(),
            ipv6_prefix,
            trace,
        })?;
        let program = Program::from_pin(pins.join("doveblock"), XdpAttachType::Interface);
        let program = program.map_err(|error| FirewallError::Bpf {
            action: "open the pinned program".to_owned(),
            source: Box::new(error),
        })?;
        Ok(Self { firewall, program })
    }

    fn verdict(&self, packet: &[u8]) -> Result<u32> {
        let options = TestRunOptions { data_in: Some(packet), ..TestRunOptions::new() };
        Ok(self.program.test_run(options)?.return_value)
    }

    fn expect(&self, verdict: u32, source: &str, port: u16) -> Result<()> {
        let found = self.verdict(&tcp(source.parse()?, port)?)?;
        ensure!(found == verdict, "{source} to {port}: verdict {found}, expected {verdict}");
        Ok(())
    }

    fn ban(&mut self, subject: &str, lasts: Option<Duration>) -> Result<()> {
        let now = wall_clock();
        let subject = subject.parse::<IpNet>().or_else(|_| subject.parse().map(firewall::host))?;
        let expires = lasts.map(|lasts| now.after(lasts));
        Ok(self.firewall.ban(&Order { subject, banned_at: now, expires, attempts: 3 })?)
    }
}

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

fn tcp(source: IpAddr, port: u16) -> Result<Vec<u8>> {
    let ethernet = PacketBuilder::ethernet2([1; 6], [2; 6]);
    let ip = match source {
        IpAddr::V4(source) => ethernet.ipv4(source.octets(), [192, 0, 2, 1], 64),
        IpAddr::V6(source) => ethernet.ipv6(source.octets(), [1; 16], 64),
    };
    let mut packet = Vec::new();
    ip.tcp(40000, port, 1, 1024).syn().write(&mut packet, b"")?;
    Ok(packet)
}

fn verdicts(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    for source in ["192.0.2.7", "2001:db8::7"] {
        kernel.expect(PASS, source, 4190)?;
    }
    kernel.ban("192.0.2.7", HOUR)?;
    kernel.ban("2001:db8::/64", None)?;
    for source in ["192.0.2.7", "2001:db8::7"] {
        for port in [25, 110, 143, 465, 587, 993, 995, 4190] {
            kernel.expect(DROP, source, port)?;
        }
        for port in [22, 80, 443, 144, 4189, 65535, 0] {
            kernel.expect(PASS, source, port)?;
        }
    }
    kernel.expect(PASS, "192.0.2.8", 4190)?;
    kernel.firewall.unban(&"192.0.2.7/32".parse()?)?;
    kernel.expect(PASS, "192.0.2.7", 4190)
}

fn deadlines(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    // Deadlines are rounded up to whole seconds: this one lies one to two seconds ahead.
    kernel.ban("192.0.2.7", Some(Duration::from_secs(1)))?;
    kernel.expect(DROP, "192.0.2.7", 25)?;
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    let packet = tcp("192.0.2.7".parse()?, 25)?;
    while kernel.verdict(&packet)? == DROP {
        ensure!(std::time::Instant::now() < patience, "the ban does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(kernel.firewall.view()?.counters()?.passed_expired >= 1);
    Ok(())
}

fn allow_list(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("192.0.2.7", HOUR)?;
    kernel.ban("2001:db8::/64", HOUR)?;
    kernel.firewall.allow(&["192.0.2.0/24".parse()?, "2001:db8::1/128".parse()?])?;
    kernel.expect(PASS, "192.0.2.7", 25)?;
    kernel.expect(PASS, "2001:db8::1", 25)?;
    kernel.expect(DROP, "2001:db8::2", 25)?;
    kernel.firewall.allow(&["2001:db8::1/128".parse()?])?;
    kernel.expect(DROP, "192.0.2.7", 25)?;
    kernel.expect(PASS, "2001:db8::1", 25)
}

fn prefixes(pins: &Path) -> Result<()> {
    for (bits, inside, outside) in [
        (64, "2001:db8:0:1:ffff::9", "2001:db8:0:2::1"),
        (56, "2001:db8:0:ff::9", "2001:db8:0:100::1"),
        (128, "2001:db8:0:1::1", "2001:db8:0:1::2"),
    ] {
        firewall::detach(pins)?;
        let mut kernel = Kernel::open(pins, bits, false)?;
        kernel.ban(&format!("2001:db8:0:1::1/{bits}"), HOUR)?;
        kernel.expect(DROP, inside, 25)?;
        kernel.expect(PASS, outside, 25)?;
    }
    Ok(())
}

fn networks(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    for (network, inside, outside) in [
        ("198.51.100.0/24", "198.51.100.200", "198.51.101.1"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
        ("2001:db9::7/128", "2001:db9::7", "2001:db9::8"),
    ] {
        kernel.ban(network, HOUR)?;
        kernel.expect(DROP, inside, 25)?;
        kernel.expect(PASS, outside, 25)?;
        ensure!(kernel.firewall.unban(&network.parse()?)?, "{network} was not found");
        ensure!(!kernel.firewall.unban(&network.parse()?)?, "{network} was found twice");
        kernel.expect(PASS, inside, 25)?;
    }
    Ok(())
}

fn counters(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("192.0.2.7", HOUR)?;
    let packet = tcp("192.0.2.7".parse()?, 25)?;
    for _ in 0..5 {
        kernel.verdict(&packet)?;
    }
    kernel.expect(PASS, "192.0.2.7", 22)?;
    kernel.expect(PASS, "192.0.2.8", 25)?;
    let view = kernel.firewall.view()?;
    let bytes = 5 * u64::try_from(packet.len())?;
    let totals = view.counters()?;
    ensure!((totals.dropped_packets, totals.dropped_bytes) == (5, bytes), "{totals:?}");
    ensure!((totals.passed_port, totals.passed_clean) == (1, 1), "{totals:?}");
    // A prolonged ban keeps what it has counted, also for another reader.
    kernel.ban("192.0.2.7", None)?;
    let bans = view.bans()?;
    let [ban] = bans.as_slice() else { anyhow::bail!("{bans:?}") };
    ensure!((ban.dropped_packets, ban.dropped_bytes) == (5, bytes), "{ban:?}");
    ensure!(ban.order.expires.is_none() && ban.order.attempts == 3, "{ban:?}");
    Ok(())
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
        let guarded = ports.iter().any(|range| (range.first..=range.last).contains(&segment.port));
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

fn other_prefix(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("2001:db8:0:1::/64", HOUR)?;
    drop(kernel);
    let mut kernel = Kernel::open(pins, 48, false)?;
    kernel.expect(DROP, "2001:db8:0:1::9", 25)?;
    kernel.expect(PASS, "2001:db8:0:2::9", 25)?;
    ensure!(kernel.firewall.unban(&"2001:db8:0:1::/64".parse()?)?);
    kernel.expect(PASS, "2001:db8:0:1::9", 25)
}

fn trace_is_free(pins: &Path) -> Result<()> {
    let size = |trace| -> Result<u32> {
        firewall::detach(pins)?;
        let kernel = Kernel::open(pins, 64, trace)?;
        let info: ProgramInfo = kernel.program.info()?;
        info.size_translated().context("the kernel does not tell the size of a program")
    };
    let (without, with) = (size(false)?, size(true)?);
    // The calls and the formatting of one record alone are hundreds of bytes.
    ensure!(without + 500 < with, "{without} bytes without a trace, {with} with it");
    Ok(())
}
