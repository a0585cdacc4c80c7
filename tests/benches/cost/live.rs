//! Frames over a veth pair: the kernel runs `send` on real XDP frames, which leave by the
//! client's interface and arrive at the server's, where a [`Receiver`] drops them.
//!
//! On one processor the frames are received where they were sent, batch by batch, and none is
//! lost. On two, with the receiving half in a kernel thread (threaded NAPI), the sender goes
//! on as fast as it can, loses what the receiver has no room for, and the receiver alone
//! decides how many are dropped in a second.

use std::{
    collections::BTreeSet,
    fs, io,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    programs::{TestRunAttrs, Xdp as Program},
};
use blocker_tests::{netns::SERVER_LINK, process::run, wait};
use rustix::{
    net::{AddressFamily, SocketType, netdevice::name_to_index, socket},
    process::Pid,
};

use crate::{
    Plan, Row,
    packets::{self, FIRST_BANNED, GUARDED_PORT},
    pin,
    receiver::{self, Kind, Receiver},
};

const CLIENT_LINK: &str = "net0";
/// The kernel's own default, and less than a veth's ring of 256 holds.
const BATCH: u32 = 64;
/// Between two looks for a signal.
const CHUNK: u32 = 50_000;
/// So many bans every receiver has, because fail2ban's chain has a rule for each.
const BANS: u32 = 200;

/// A receiver, and the frames for it.
struct Contest {
    receiver: Receiver,
    sources: u32,
    sender: Ebpf,
    packet: Vec<u8>,
}

pub(crate) fn measure(plan: &Plan) -> Result<()> {
    let cpus = thread::available_parallelism()?.get();
    let mut contests = contests(plan)?;
    let parts: &[&str] = if cpus > 1 { &["shared", "alone"] } else { &["shared"] };
    if cpus == 1 {
        eprintln!("    with one processor the receiver is not measured by itself");
    }
    for round in 1..=plan.rounds {
        eprintln!("==> live frames, round {round} of {}", plan.rounds);
        for contest in &mut contests {
            for &part in parts {
                wait::check()?;
                let (packets, ns) = contest.run(plan.frames, part == "alone")?;
                let (what, bans) = (contest.receiver.kind.name(), contest.receiver.bans);
                let sources = contest.sources;
                Row { part, what, bans, sources, round, packets, ns }.print();
            }
        }
    }
    Ok(())
}

fn contests(plan: &Plan) -> Result<Vec<Contest>> {
    let mut contests = Vec::new();
    for kind in [
        Kind::Floor,
        Kind::Doveblock,
        Kind::XdpFilter,
        Kind::NftIngress,
        Kind::NftInput,
        Kind::Ipset,
        Kind::Fail2ban,
    ] {
        if let Some(tool) = kind.tool().filter(|tool| !receiver::is_installed(tool)) {
            eprintln!("warning: {tool} is not installed: left out");
            continue;
        }
        wait::check()?;
        match Contest::new(plan, kind, BANS, 1) {
            Ok(contest) => contests.push(contest),
            // It may not run on this kernel; the others do.
            Err(error) if kind == Kind::XdpFilter && wait::check().is_ok() => {
                eprintln!("warning: left out: {error:#}");
            }
            Err(error) => return Err(error),
        }
    }
    for &bans in &plan.bans {
        wait::check()?;
        eprintln!("==> setting {bans} bans for live frames");
        contests.push(Contest::new(plan, Kind::Doveblock, bans, 1)?);
        if bans > 1 {
            contests.push(Contest::new(plan, Kind::Doveblock, bans, bans)?);
        }
    }
    Ok(contests)
}

impl Contest {
    fn new(plan: &Plan, kind: Kind, bans: u32, sources: u32) -> Result<Self> {
        let receiver = Receiver::new(plan, kind, bans)?;
        let source = IpAddr::V4(packets::banned_v4(bans / 2));
        let sender = receiver.world.client.enter(|| {
            let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
            let interface = name_to_index(&socket, CLIENT_LINK)?;
            let mut loader = EbpfLoader::new();
            loader.override_global("INTERFACE", &interface, true);
            loader.override_global("SOURCES", &sources, true);
            loader.override_global("FIRST_SOURCE", &FIRST_BANNED, true);
            let mut object = loader.load(&plan.object)?;
            let program: &mut Program =
                object.program_mut("send").context("no program send")?.try_into()?;
            program.load()?;
            Ok(object)
        })?;
        Ok(Self { receiver, sources, sender, packet: packets::syn(source, GUARDED_PORT)? })
    }

    /// How many frames were dropped, and in how many nanoseconds.
    fn run(&mut self, frames: u32, alone: bool) -> Result<(u64, u128)> {
        let name = self.receiver.kind.name();
        self.receiver.set_threaded(alone)?;
        let before = self.receiver.dropped()?;
        let took = self.send(frames)?;
        // What is in the ring still arrives: 256 frames at most.
        wait::pause(Duration::from_millis(20))?;
        let dropped = self.receiver.dropped()? - before;
        let sent = u64::from(frames);
        ensure!(dropped > 0, "{name} has dropped none of {sent} frames");
        ensure!(alone || dropped >= sent, "{name} has dropped {dropped} of {sent} frames");
        Ok((dropped, took.as_nanos()))
    }

    fn send(&self, frames: u32) -> Result<Duration> {
        let program: &Program =
            self.sender.program("send").context("no program send")?.try_into()?;
        let packet = &self.packet;
        self.receiver.world.client.enter(|| {
            pin(None, 0)?;
            let start = Instant::now();
            let mut left = frames;
            while left > 0 {
                wait::check()?;
                let repeat = left.min(CHUNK);
                program.test_run(TestRunOptions {
                    data_in: Some(packet),
                    repeat,
                    attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
                    ..TestRunOptions::new()
                })?;
                left -= repeat;
            }
            Ok(start.elapsed())
        })
    }
}

impl Receiver {
    /// Receives in a kernel thread on the second processor, or where the frames are sent.
    fn set_threaded(&self, threaded: bool) -> Result<()> {
        let before = napi_threads()?;
        let namespace = self.world.server.path();
        let name = namespace.file_name().context("a namespace without a name")?;
        let mut ip = blocker_tests::process::command("ip");
        // /sys shows the interfaces of the namespace that it was mounted in.
        ip.args(["netns", "exec"]).arg(name).args(["sh", "-c"]);
        let state = u8::from(threaded);
        run(ip.arg(format!("echo {state} > /sys/class/net/{SERVER_LINK}/threaded")))?;
        if threaded {
            for thread in napi_threads()?.difference(&before) {
                pin(Pid::from_raw(*thread), 1)?;
            }
        }
        Ok(())
    }
}

/// `napi/<interface>-<number>`, of all namespaces.
fn napi_threads() -> Result<BTreeSet<i32>> {
    let mut found = BTreeSet::new();
    let prefix = format!("napi/{SERVER_LINK}");
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match fs::read_to_string(entry.path().join("comm")) {
            Ok(name) if name.starts_with(&prefix) => {
                found.insert(id);
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(error).context("reading the names of threads");
            }
            // Ended meanwhile, or another one.
            _ => {}
        }
    }
    Ok(found)
}
