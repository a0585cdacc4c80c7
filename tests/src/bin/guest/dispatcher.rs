//! libxdp's dispatcher: doveblock joins the programs that are there, and leaves them there.

use std::{net::Ipv4Addr, path::Path};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    client::Client,
    doveblock::{Doveblock, binary, run_to_end, subject},
    greeter::Greeter,
    netns::{ATTACKER, Family, SECOND, SERVER_LINK, World},
    other::Other,
    process::run,
    recording::{Recording, probe},
};
use jiff::ZonedDateTime;
use serde_json::json;

use crate::drop::{MAIL, start};

/// Programs of xdp-filter's: one lets everything pass that it has no rule for, one drops it.
const PASSING: &str = "xdpfilt_alw_all";
const DROPPING: &str = "xdpfilt_dny_all";

pub(crate) fn joined() -> Result<String> {
    if !Path::new("/bin/xdp-loader").exists() {
        return Ok("not tried: install xdp-tools".to_owned());
    }
    let world = World::new()?;
    let _mail = Greeter::start(&world, MAIL)?;
    let (attacker, other) =
        (Client::new(&world, ATTACKER, Family::V4), Client::new(&world, SECOND, Family::V4));
    load(&world, PASSING)?;
    let components = |expected: &[&str]| {
        let found = running(&world)?;
        ensure!(found == expected, "the dispatcher runs {found:?}, not {expected:?}");
        anyhow::Ok(())
    };
    components(&[PASSING])?;

    leaves_no_trace_of_a_failed_start(&world)?;
    let mut doveblock = start(&world)?;
    guards(&doveblock)?;
    components(&["doveblock", PASSING])?;
    attacker.probe(MAIL)?;
    doveblock.expect(&["ban", &attacker.address().to_string(), "--for", "1h"])?;
    attacker.shut_out(MAIL)?;
    other.probe(MAIL)?;

    // One more of our own, with other pins, has a place of its own.
    let beside = Other::start(&world, SERVER_LINK, &[])?;
    components(&["doveblock", "doveblock", PASSING])?;
    beside.ban(&world, other.address().to_string())?;
    attacker.shut_out(MAIL)?;
    other.shut_out(MAIL)?;
    drop(beside);
    components(&["doveblock", PASSING])?;
    attacker.shut_out(MAIL)?;
    other.probe(MAIL)?;

    doveblock.kill()?;
    attacker.shut_out(MAIL)?;
    doveblock = start(&world)?;
    guards(&doveblock)?;
    components(&["doveblock", PASSING])?;
    attacker.shut_out(MAIL)?;
    let ban = doveblock.listed(&subject(attacker.address()))?.unwrap_or_default();
    ensure!(ban["dropped_packets"].as_u64() >= Some(1), "{ban}");

    // Others come and go, by libxdp's own dispatchers, and ours is carried along.
    load(&world, DROPPING)?;
    components(&["doveblock", PASSING, DROPPING])?;
    other.shut_out(MAIL)?;
    let id = id(&world, DROPPING)?;
    xdp_loader(&world, &["unload", SERVER_LINK, "--id", &id])?;
    other.probe(MAIL)?;
    attacker.shut_out(MAIL)?;
    guards(&doveblock)?;

    ensure!(doveblock.stop()? == 0, "it does not stop well");
    grows(&world)?;
    components(&["doveblock", PASSING])?;
    leaves_no_trace_of_a_failed_start(&world)?;
    attacker.shut_out(MAIL)?;

    let mut detach = world.server.command(&binary().to_string_lossy());
    let said = run(detach.arg("detach").arg("--pin-dir").arg(world.claim.pins()))?;
    ensure!(said.contains(SERVER_LINK), "{said}");
    components(&[PASSING])?;
    attacker.probe(MAIL)?;
    xdp_loader(&world, &["unload", SERVER_LINK, "--all"])?;
    let told =
        "joined, taken back, adopted after kill -9, carried along by xdp-loader, grown, left";
    Ok(told.to_owned())
}

/// The dispatcher is replaced by one that calls the program with the larger maps.
fn grows(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let strict = ["--mode", "aggressive", "--maxretry", "1"];
    let mut doveblock = Doveblock::start(world, &log, &strict)?;
    let now = ZonedDateTime::now();
    // One more than there is room for at the beginning.
    let lines = (0..4097).map(|number| probe(Ipv4Addr::from(0x0a00_0000 + number).into(), &now));
    Recording::new(&log).append(&lines.collect::<String>())?;
    doveblock.wait_for(&["there is more room"])?;
    guards(&doveblock)?;
    let [attacker, other] = [ATTACKER, SECOND].map(|host| Client::new(world, host, Family::V4));
    attacker.shut_out(MAIL)?;
    other.probe(MAIL)?;
    doveblock.expect(&["ban", &other.address().to_string()])?;
    other.shut_out(MAIL)?;
    doveblock.expect(&["unban", &other.address().to_string()])?;
    other.probe(MAIL)?;
    ensure!(doveblock.stop()? == 0, "it does not stop well");
    Ok(())
}

/// Loopback, which comes second, has no native mode.
fn leaves_no_trace_of_a_failed_start(world: &World) -> Result<()> {
    let before = lines(world)?;
    let log = world.claim.dir().join("mail.log");
    let options = ["-i", SERVER_LINK, "-i", "lo", "--xdp-mode", "native"];
    let (code, said) = run_to_end(world, &log, &options)?;
    ensure!(code == 2 && said.contains("lo cannot run"), "{code}: {said}");
    let after = lines(world)?;
    ensure!(before == after, "{before:?} became {after:?}");
    Ok(())
}

fn guards(doveblock: &Doveblock<'_>) -> Result<()> {
    let status = doveblock.json(&["status"])?;
    ensure!(status["interfaces"] == json!([SERVER_LINK]), "{status}");
    let log = doveblock.whole_log();
    ensure!(log.contains("joined the dispatcher"), "{log}");
    Ok(())
}

fn load(world: &World, program: &str) -> Result<()> {
    let objects = Path::new("/usr/lib/x86_64-linux-gnu/bpf");
    let object = objects.join(format!("{program}.o")).display().to_string();
    xdp_loader(world, &["load", SERVER_LINK, &object]).map(drop)
}

fn xdp_loader(world: &World, words: &[&str]) -> Result<String> {
    run(world.server.command("xdp-loader").args(words))
}

/// The lines of `xdp-loader status` for what the dispatcher calls, in the order of the calls:
/// ` => `, priority, name, id, tag, verdicts.
fn lines(world: &World) -> Result<Vec<Vec<String>>> {
    let status = xdp_loader(world, &["status", SERVER_LINK])?;
    let called = status.lines().filter_map(|line| line.trim().strip_prefix("=>"));
    Ok(called.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
}

fn running(world: &World) -> Result<Vec<String>> {
    Ok(lines(world)?.into_iter().filter_map(|columns| columns.into_iter().nth(1)).collect())
}

fn id(world: &World, program: &str) -> Result<String> {
    let columns =
        lines(world)?.into_iter().find(|columns| columns.get(1).is_some_and(|it| it == program));
    columns.and_then(|columns| columns.into_iter().nth(2)).with_context(|| format!("no {program}"))
}
