//! The loaded program, packet by packet, through `BPF_PROG_TEST_RUN`: no interface, no
//! network, but the very instructions that the verifier let through.

mod answers;
mod bans;
mod counts;
mod growth;
mod layouts;
mod packets;
mod refused;
mod starts;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::{TestRun as _, TestRunOptions, programs::Xdp as Program};
use aya_obj::programs::XdpAttachType;
use blocker_user::{
    config::PortList,
    daemon::wall_clock,
    firewall::{self, Action, Firewall as _, FirewallError, Options, Order, Xdp, XdpMode},
};
use etherparse::PacketBuilder;
use ipnet::IpNet;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

const DROP: u32 = 1;
const PASS: u32 = 2;
const TX: u32 = 3;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = [
        answers::trials(),
        bans::trials(),
        counts::trials(),
        growth::trials(),
        layouts::trials(),
        packets::trials(),
        starts::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
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
    pins: PathBuf,
}

impl Kernel {
    fn open(pins: &Path, ipv6_prefix: u8, trace: bool) -> Result<Self, FirewallError> {
        Self::open_with(&options(pins, ipv6_prefix, trace))
    }

    fn open_with(options: &Options) -> Result<Self, FirewallError> {
        let mut firewall = Xdp::open(options)?;
        firewall.commit()?;
        let program = pinned_program(&options.pin_dir)?;
        Ok(Self { firewall, program, pins: options.pin_dir.clone() })
    }

    /// Another program runs now, as when maps have grown.
    fn follow(&mut self) -> Result<()> {
        self.program = pinned_program(&self.pins)?;
        Ok(())
    }

    fn verdict(&self, packet: &[u8]) -> Result<u32> {
        let options = TestRunOptions { data_in: Some(packet), ..TestRunOptions::new() };
        Ok(self.program.test_run(options)?.return_value)
    }

    /// The verdict, and the packet as the program leaves it.
    fn run(&self, packet: &[u8]) -> Result<(u32, Vec<u8>)> {
        let mut out = vec![0; packet.len() + 256];
        let options = TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut out),
            ..TestRunOptions::new()
        };
        let result = self.program.test_run(options)?;
        out.truncate(usize::try_from(result.data_size_out)?);
        Ok((result.return_value, out))
    }

    fn expect(&self, verdict: u32, source: &str, port: u16) -> Result<()> {
        let found = self.verdict(&tcp(source.parse()?, port)?)?;
        ensure!(found == verdict, "{source} to {port}: verdict {found}, expected {verdict}");
        Ok(())
    }

    /// Waits until a packet from `source` passes: a deadline has come.
    fn wait_for_the_end(&self, source: &str) -> Result<()> {
        let patience = Instant::now() + Duration::from_secs(20);
        let packet = tcp(source.parse()?, 25)?;
        while self.verdict(&packet)? == DROP {
            ensure!(Instant::now() < patience, "the ban of {source} does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn ban(&mut self, subject: &str, lasts: Option<Duration>) -> Result<()> {
        let now = wall_clock();
        let subject = subject.parse::<IpNet>().or_else(|_| subject.parse().map(firewall::host))?;
        let expires = lasts.map(|lasts| now.after(lasts));
        Ok(self.firewall.ban(&Order { subject, banned_at: now, expires, attempts: 3 })?)
    }
}

fn pinned_program(pins: &Path) -> Result<Program, FirewallError> {
    let program = Program::from_pin(pins.join("doveblock"), XdpAttachType::Interface);
    program.map_err(|error| FirewallError::Bpf {
        action: "open the pinned program".to_owned(),
        cause: Box::new(error),
    })
}

/// What a daemon would start with, but no interface.
fn options(pins: &Path, ipv6_prefix: u8, trace: bool) -> Options {
    Options {
        pin_dir: pins.to_owned(),
        interfaces: Vec::new(),
        mode: XdpMode::Auto,
        ports: PortList::default().ranges().to_vec(),
        udp_ports: Vec::new(),
        drop_fragments: true,
        action: Action::Drop,
        ipv6_prefix,
        max_bans: firewall::DEFAULT_MAX_BANS,
        close_connections: false,
        trace,
    }
}

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

fn tcp(source: IpAddr, port: u16) -> Result<Vec<u8>> {
    let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let ip = match source {
        IpAddr::V4(source) => ethernet.ipv4(source.octets(), [192, 0, 2, 1], 64),
        IpAddr::V6(source) => ethernet.ipv6(source.octets(), [1; 16], 64),
    };
    let mut packet = Vec::new();
    ip.tcp(40000, port, 1, 1024).syn().write(&mut packet, b"")?;
    Ok(packet)
}
