//! The programs alone, by `BPF_PROG_TEST_RUN`: no interface and no driver, only the
//! instructions and the maps that they look into.

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions, maps::ProgramArray, programs::Xdp as Program,
};
use aya_obj::programs::XdpAttachType;
use blocker_tests::{leftovers::Claim, wait};
use blocker_user::{
    daemon::wall_clock,
    firewall::{self, Firewall as _, Order, Xdp},
};
use rustix::time::{ClockId, clock_gettime};

use crate::{
    Plan, Row, options, orders,
    packets::{self, GUARDED_PORT, OTHER_PORT},
    pin,
};

const DROP: u32 = 1;
const PASS: u32 = 2;

/// One that was banned for a moment only.
const ENDED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const CLEAN_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// A program, a packet, and what has to become of it.
struct Case {
    what: &'static str,
    bans: u32,
    sources: u32,
    program: Subject,
    packet: Vec<u8>,
    verdict: u32,
}

enum Subject {
    /// doveblock, by its pin.
    Doveblock(Box<Program>),
    /// The program of that name.
    Of(Ebpf, &'static str),
}

/// On a thread of its own, which stays on one processor.
pub(crate) fn measure(plan: &Plan) -> Result<()> {
    let measured = thread::scope(|scope| scope.spawn(|| measure_here(plan)).join());
    measured.map_err(|_| anyhow!("panicked"))?
}

fn measure_here(plan: &Plan) -> Result<()> {
    pin(None, thread::available_parallelism()?.get() - 1)?;
    let mut cases = Vec::new();
    let mut claims = Vec::new();
    for &bans in &plan.bans {
        wait::check()?;
        eprintln!("==> setting {bans} bans of each family");
        let claim = Claim::new()?;
        fill(&claim, bans)?;
        cases.extend(hot(plan, &claim, bans)?);
        if bans > 1 {
            cases.extend(scattered(plan, &claim, bans)?);
        }
        claims.push(claim);
    }
    for round in 1..=plan.rounds {
        eprintln!("==> the programs alone, round {round} of {}", plan.rounds);
        for case in &cases {
            wait::check()?;
            let Case { what, bans, sources, .. } = *case;
            let (packets, ns) = (u64::from(plan.runs), case.run(plan.runs)?.as_nanos());
            Row { part: "program", what, bans, sources, round, packets, ns }.print();
        }
    }
    Ok(())
}

/// Maps as a daemon has them: its own addresses are allowed.
fn fill(claim: &Claim, bans: u32) -> Result<()> {
    let mut firewall = Xdp::open(&options(claim.pins(), Vec::new()))?;
    firewall.allow(&[
        "127.0.0.0/8".parse()?,
        "192.0.2.1/32".parse()?,
        "2001:db8::1/128".parse()?,
    ])?;
    firewall.ban_many(&orders(bans, packets::v4))?;
    firewall.ban_many(&orders(bans, packets::v6))?;
    let banned_at = wall_clock();
    let expires = Some(banned_at.after(Duration::from_secs(1)));
    let subject = firewall::host(IpAddr::V4(ENDED));
    firewall.ban(&Order { subject, banned_at, expires, attempts: 5 })?;
    firewall.commit()?;
    let (program, packet) = (pinned(claim)?, packets::syn(IpAddr::V4(ENDED), GUARDED_PORT)?);
    wait::until(wait::LIMIT, "a ban to end", || {
        let options = TestRunOptions { data_in: Some(&packet), ..TestRunOptions::new() };
        Ok((program.test_run(options)?.return_value == PASS).then_some(()))
    })
}

/// Every packet from the same source.
fn hot(plan: &Plan, claim: &Claim, bans: u32) -> Result<Vec<Case>> {
    let banned = IpAddr::V4(packets::banned_v4(bans / 2));
    let banned_v6 = IpAddr::V6(packets::banned_v6(bans / 2));
    let clean_v6: IpAddr = "2001:db9::7".parse()?;
    let clean = IpAddr::V4(CLEAN_V4);
    let (syn, syn_in_vlan) = (packets::syn, packets::syn_in_vlan);
    let doveblock = [
        ("banned", syn(banned, GUARDED_PORT)?, DROP),
        ("not banned", syn(clean, GUARDED_PORT)?, PASS),
        ("other port", syn(banned, OTHER_PORT)?, PASS),
        ("ended", syn(IpAddr::V4(ENDED), GUARDED_PORT)?, PASS),
        ("banned IPv6", syn(banned_v6, GUARDED_PORT)?, DROP),
        ("not banned IPv6", syn(clean_v6, GUARDED_PORT)?, PASS),
        ("banned in VLAN", syn_in_vlan(banned, GUARDED_PORT)?, DROP),
    ];
    let mut object = load(plan, 1, 0)?;
    verified(&mut object, "floor")?;
    let floor = Case {
        what: "floor",
        bans,
        sources: 1,
        program: Subject::Of(object, "floor"),
        packet: syn(banned, GUARDED_PORT)?,
        verdict: DROP,
    };
    let mut cases = vec![floor];
    for (what, packet, verdict) in doveblock {
        let program = Subject::Doveblock(Box::new(pinned(claim)?));
        cases.push(Case { what, bans, sources: 1, program, packet, verdict });
    }
    Ok(cases)
}

/// Every packet from another source, which `scatter` chooses before it calls the program.
/// The floor is called in the same way.
fn scattered(plan: &Plan, claim: &Claim, bans: u32) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (what, first, verdict) in [
        ("floor", packets::FIRST_BANNED, DROP),
        ("banned", packets::FIRST_BANNED, DROP),
        ("not banned", packets::FIRST_CLEAN, PASS),
    ] {
        let mut object = load(plan, bans, first)?;
        let next = match what {
            "floor" => verified(&mut object, "floor")?.fd()?.try_clone()?,
            _ => pinned(claim)?.fd()?.try_clone()?,
        };
        verified(&mut object, "scatter")?;
        let map = object.map_mut("NEXT").context("the object has no map NEXT")?;
        ProgramArray::try_from(map)?
            .set(0, &next, 0)
            .context("putting the program behind `scatter`")?;
        let packet = packets::syn(IpAddr::V4(packets::banned_v4(0)), GUARDED_PORT)?;
        let program = Subject::Of(object, "scatter");
        cases.push(Case { what, bans, sources: bans, program, packet, verdict });
    }
    Ok(cases)
}

fn load(plan: &Plan, sources: u32, first: u32) -> Result<Ebpf> {
    let mut loader = EbpfLoader::new();
    loader.override_global("SOURCES", &sources, true);
    loader.override_global("FIRST_SOURCE", &first, true);
    loader.load(&plan.object).context("loading the programs to compare with")
}

/// Has the kernel verify a program of `object`.
fn verified<'o>(object: &'o mut Ebpf, name: &str) -> Result<&'o Program> {
    let program = object.program_mut(name).with_context(|| format!("no program {name}"))?;
    let program: &mut Program = program.try_into()?;
    program.load()?;
    Ok(program)
}

fn pinned(claim: &Claim) -> Result<Program> {
    let path = claim.pins().join("doveblock");
    Program::from_pin(path, XdpAttachType::Interface).context("opening the pinned program")
}

impl Case {
    /// In time of the processor: what else the machine does meanwhile does not count, and
    /// the kernel's own figure is cut to whole nanoseconds, of which the floor is some twenty.
    fn run(&self, repeat: u32) -> Result<Duration> {
        let options =
            TestRunOptions { data_in: Some(&self.packet), repeat, ..TestRunOptions::new() };
        let program: &Program = match &self.program {
            Subject::Doveblock(program) => program,
            Subject::Of(object, name) => object.program(name).context("no program")?.try_into()?,
        };
        let before = cpu_time();
        let result = program.test_run(options)?;
        let took = cpu_time().saturating_sub(before);
        ensure!(
            result.return_value == self.verdict,
            "{} with {} bans: verdict {}, expected {}",
            self.what,
            self.bans,
            result.return_value,
            self.verdict
        );
        Ok(took)
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
