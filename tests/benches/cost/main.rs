//! What enforcement costs per packet, measured in namespaces of its own: the programs alone
//! (`program`), frames over a veth pair beside other firewalls (`live`), and a million bans
//! put into the kernel (`restore`). One row of CSV a measurement goes to standard output,
//! everything else to standard error; medians and tables are made by `cargo xtask bench kernel`.
#![forbid(unsafe_code)]

mod live;
mod packets;
mod program;
mod receiver;
mod restore;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use blocker_tests::{leftovers, needs, wait};
use blocker_user::{
    config::PortList,
    daemon::wall_clock,
    firewall::{self, Action, Options, Order, XdpMode},
};
use clap::Parser;
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_setaffinity},
};

/// Measures what enforcement costs; see `cargo xtask bench kernel`
#[derive(Parser)]
struct Args {
    /// The object with the programs to compare with: target/bpf/…/cost-ebpf
    #[arg(long)]
    object: PathBuf,
    /// How often everything is measured, one after the other
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// Fewer packets and bans: whether it works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// `cargo bench` adds it
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much is measured.
struct Plan {
    /// The object with `floor`, `scatter` and `send`.
    object: Vec<u8>,
    rounds: u32,
    /// Runs of a program for one row.
    runs: u32,
    /// Frames for one row.
    frames: u32,
    /// How many bans are in force, ascending.
    bans: Vec<u32>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(reason) = needs::missing() {
        eprintln!("error: the benchmark {reason}");
        return ExitCode::FAILURE;
    }
    match measure(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<wait::Interrupted>() => {
            eprintln!("stopped; namespaces, pins and processes are gone");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<()> {
    wait::watch_signals()?;
    for name in leftovers::reap() {
        eprintln!("    removed what an earlier run left behind: {name}");
    }
    let object = std::fs::read(&args.object)
        .with_context(|| format!("reading {}", args.object.display()))?;
    let plan = Plan {
        object,
        rounds: args.rounds,
        runs: if args.quick { 50_000 } else { 1_000_000 },
        frames: if args.quick { 100_000 } else { 2_000_000 },
        bans: if args.quick { vec![1, 1_000] } else { vec![1, 1_000, 100_000, 1_000_000] },
    };
    println!("part,what,bans,sources,round,packets,ns");
    program::measure(&plan)?;
    restore::measure(&plan)?;
    live::measure(&plan)
}

/// One measurement.
struct Row<'a> {
    part: &'a str,
    what: &'a str,
    bans: u32,
    /// How many addresses the packets came from.
    sources: u32,
    round: u32,
    /// Packets, or bans in `restore`.
    packets: u64,
    ns: u128,
}

impl Row<'_> {
    fn print(&self) {
        let Self { part, what, bans, sources, round, packets, ns } = self;
        println!("{part},{what},{bans},{sources},{round},{packets},{ns}");
    }
}

/// What a daemon would start with.
fn options(pins: PathBuf, interfaces: Vec<String>) -> Options {
    Options {
        pin_dir: pins,
        interfaces,
        mode: XdpMode::Native,
        ports: PortList::default().ranges().to_vec(),
        udp_ports: Vec::new(),
        drop_fragments: true,
        action: Action::Drop,
        ipv6_prefix: 64,
        max_bans: firewall::DEFAULT_MAX_BANS,
        close_connections: false,
        trace: false,
    }
}

/// Bans of the first `count` subjects, for longer than any benchmark.
fn orders(count: u32, subject: fn(u32) -> ipnet::IpNet) -> Vec<Order> {
    let banned_at = wall_clock();
    let expires = Some(banned_at.after(std::time::Duration::from_secs(24 * 3600)));
    let order = |number| Order { subject: subject(number), banned_at, expires, attempts: 5 };
    (0..count).map(order).collect()
}

/// Keeps a thread, the calling one or another, on one processor.
fn pin(thread: Option<Pid>, cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(thread, &set).with_context(|| format!("moving a thread to processor {cpu}"))
}
