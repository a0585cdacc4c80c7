//! Enforcement outlives the daemon, and the next daemon takes it over.

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    client::Client,
    doveblock::{Doveblock, is_attached, socket, subject, verb},
    greeter::Greeter,
    netns::{ATTACKER, Family, World},
    recording::Recording,
};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_killed_daemons_bans_stay_and_are_adopted", &[], |world| restart(world, true)),
        trial("a_stopped_daemons_bans_stay_and_are_adopted", &[], |world| restart(world, false)),
        trial("a_signal_during_the_start_leaves_nothing_half_done", &[], signalled),
        trial("other_interfaces_after_a_restart", &[], interfaces),
    ]
}

fn restart(world: &World, kill: bool) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let recording = Recording::new(&log);
    let options = ["--mode", "aggressive", "--maxretry", "3", "--bantime", "1h"];
    let _sieve = Greeter::start(world, 4190)?;
    for family in [Family::V4, Family::V6] {
        for _ in 0..3 {
            recording.probe(ATTACKER.on(family))?;
        }
    }
    let doveblock = Doveblock::start(world, &log, &options)?;
    let clients = [Family::V4, Family::V6].map(|family| Client::new(world, ATTACKER, family));
    for client in &clients {
        doveblock.wait_for_ban(&subject(client.address()))?;
        client.shut_out(4190)?;
    }
    doveblock.expect(&["ban", "198.51.100.0/24"])?;
    let before = by_ip(&doveblock)?;
    if kill {
        doveblock.kill()?;
    } else {
        ensure!(doveblock.stop()? == 0);
    }
    ensure!(is_attached(world)?);
    for client in &clients {
        client.shut_out(4190)?;
    }

    let doveblock = Doveblock::start(world, &log, &options)?;
    let after = by_ip(&doveblock)?;
    ensure!(after.len() == before.len(), "{before:?} became {after:?}");
    for (ban, earlier) in after.iter().zip(&before) {
        for field in ["ip", "banned_at", "expires_at", "attempts"] {
            ensure!(ban[field] == earlier[field], "{field} of {earlier} became {ban}");
        }
        ensure!(ban["dropped_packets"].as_u64() >= earlier["dropped_packets"].as_u64());
    }
    for client in &clients {
        client.shut_out(4190)?;
        doveblock.expect(&["unban", &client.address().to_string()])?;
        client.probe(4190)?;
    }
    doveblock.expect(&["unban", "198.51.100.0/24"])?;
    Ok(())
}

fn by_ip(doveblock: &Doveblock<'_>) -> Result<Vec<Value>> {
    let list = doveblock.json(&["list"])?;
    let mut bans = list.as_array().context("list is not an array")?.clone();
    bans.sort_by_key(|ban| ban["ip"].to_string());
    Ok(bans)
}

/// A restart with another interface leaves the first one; the bans stay.
fn interfaces(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    Recording::new(&log).append("")?;
    let doveblock = Doveblock::start(world, &log, &[])?;
    doveblock.expect(&["ban", "203.0.113.1"])?;
    doveblock.stop()?;
    let doveblock = Doveblock::start(world, &log, &["-i", "lo"])?;
    ensure!(!is_attached(world)?, "the first interface is still guarded");
    ensure!(doveblock.listed("203.0.113.1")?.is_some());
    ensure!(doveblock.json(&["status"])?["interfaces"] == serde_json::json!(["lo"]));
    ensure!(doveblock.whole_log().contains("falling back to generic"), "lo has no native XDP");
    Ok(())
}

/// It ends before it did anything, or after it did everything.
fn signalled(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    Recording::new(&log).append("")?;
    for delay in (0..120).step_by(3) {
        let mut doveblock = Doveblock::spawn(world, &log, &[])?;
        std::thread::sleep(std::time::Duration::from_millis(delay));
        doveblock.signal(rustix::process::Signal::TERM)?;
        let code = doveblock.stop()?;
        let pins = world.claim.pins();
        if code == 0 {
            ensure!(is_attached(world)?, "{delay} ms: stopped, and not attached");
            ensure!(pins.join("doveblock").exists(), "{delay} ms: the program is not pinned");
            verb(world, &["detach"])?;
        }
        ensure!(!pins.exists(), "{delay} ms, exit {code}: pins are left");
        ensure!(!socket(world).exists(), "{delay} ms, exit {code}: the socket is left");
    }
    Ok(())
}
