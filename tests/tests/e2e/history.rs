//! `doveblock report`: just what the daemon did, over kills and restarts.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    client::Client,
    doveblock::{Doveblock, verb},
    greeter::Greeter,
    netns::{ATTACKER, Family, World},
    recording::Recording,
    wait::{self, LIMIT},
};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::trial;

const OPTIONS: [&str; 6] = ["--mode", "aggressive", "--maxretry", "3", "--bantime", "1h"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("a_report_tells_just_what_was_done_over_a_kill", &[], told)]
}

/// The number at `pointer`.
fn number(of: &Value, pointer: &str) -> Result<u64> {
    let found = of.pointer(pointer).and_then(Value::as_u64);
    found.with_context(|| format!("no number {pointer} in {of:#}"))
}

fn told(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let recording = Recording::new(&log);
    recording.append("")?;
    let _sieve = Greeter::start(world, 4190)?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    let address = attacker.address().to_string();
    let doveblock = Doveblock::start(world, &log, &OPTIONS)?;
    (0..3).try_for_each(|_| recording.probe(attacker.address()))?;
    doveblock.wait_for_ban(&address)?;
    attacker.shut_out(4190)?;
    // Answered when all that came before it is written.
    doveblock.expect(&["ban", "203.0.113.1", "--for", "2h"])?;
    doveblock.kill()?;
    (0..2).try_for_each(|_| recording.probe([198, 51, 100, 9].into()))?;
    let doveblock = Doveblock::start(world, &log, &OPTIONS)?;
    attacker.shut_out(4190)?;
    doveblock.expect(&["unban", "203.0.113.1"])?;

    // The kernel's counters are asked for every now and then.
    let (report, status) = wait::until(LIMIT, "every drop in the report", || {
        let status = doveblock.json(&["status"])?;
        let report = doveblock.json(&["report", "--since", "1h"])?;
        let counted = number(&status, "/counters/dropped_packets")?;
        let told = number(&report, "/drops/packets")?;
        let failures = number(&report, "/read/failures")?;
        Ok((counted > 0 && told == counted && failures == 5).then_some((report, status)))
    })?;
    for (reported, counted) in [
        ("/read/failures", "/total_failed"),
        ("/effect/bans", "/total_banned"),
        ("/drops/bytes", "/counters/dropped_bytes"),
    ] {
        let (reported, counted) = (number(&report, reported)?, number(&status, counted)?);
        ensure!(reported == counted, "{reported} instead of {counted}: {report:#}\n{status:#}");
    }
    same_bans(&report, &address, &doveblock.json(&["list"])?)?;
    page(&doveblock, world)?;

    ensure!(doveblock.stop()? == 0, "it did not stop well");
    let state = world.claim.dir().join("state").to_string_lossy().into_owned();
    let stored =
        verb(world, &["report", "--since", "1h", "--state-dir", &state, "--format", "json"])?;
    let stored: Value = serde_json::from_slice(&stored.stdout)?;
    for same in ["/read/failures", "/effect/bans", "/bans", "/rules"] {
        ensure!(stored.pointer(same) == report.pointer(same), "{same}: {stored:#}\n{report:#}");
    }
    let refused = verb(world, &["report", "--since", "91d"])?;
    ensure!(refused.status.code() == Some(2), "{refused:?}");
    Ok(())
}

/// The ban in force is told as it is listed, the one that was lifted with how it ended.
fn same_bans(report: &Value, address: &str, listed: &Value) -> Result<()> {
    let bans = report["bans"].as_array().context("no bans")?;
    ensure!(bans.len() == 2, "{bans:#?}");
    let by_log = bans.iter().find(|ban| ban["subject"] == address).context("no ban by the log")?;
    let in_force = listed.as_array().and_then(|bans| bans.first()).context("no ban in force")?;
    ensure!(listed.as_array().map(Vec::len) == Some(1), "{listed:#}");
    for (told, shown) in [("subject", "ip"), ("attempts", "attempts"), ("expires", "expires_at")] {
        ensure!(by_log[told] == in_force[shown], "{by_log:#}\n{in_force:#}");
    }
    let by_hand = bans.iter().find(|ban| ban["subject"] == "203.0.113.1").context("no other")?;
    let cause = by_hand["cause"].as_str().unwrap_or_default();
    ensure!(cause.contains("by hand") && cause.contains("lifted"), "{by_hand:#}");
    Ok(())
}

fn page(doveblock: &Doveblock<'_>, world: &World) -> Result<()> {
    let path: PathBuf = world.claim.dir().join("report.html");
    let said = doveblock.expect(&["report", "--html", &path.to_string_lossy()])?;
    ensure!(said.contains("bans") && said.contains("no-auth-attempts"), "{said}");
    let page = fs::read_to_string(&path)?;
    ensure!(
        page.contains("2 clients were banned") && page.contains("What doveblock did"),
        "{page}"
    );
    Ok(())
}
