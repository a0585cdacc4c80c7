//! What becomes of bans when the daemon stops, when the table is full, and when the maps are
//! made anew under fire.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use blocker_tests::{
    client::{Client, Greeting},
    doveblock::{Doveblock, is_attached, verb},
    greeter::Greeter,
    netns::{ATTACKER, Family, World},
    recording::Recording,
};
use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("on_stop_keep_leaves_every_ban_in_force_and_says_so", &[], keep),
        trial("on_stop_detach_leaves_nothing_behind", &[], detach),
        trial("a_killed_daemon_detaches_nothing_whatever_on_stop_says", &[], killed),
        trial("a_full_table_is_said_and_counted_and_bans_all_the_same", &[], full),
        trial("no_packet_passes_while_maps_are_replaced_and_starts_are_killed", &[], under_fire),
    ]
}

/// A log and a configuration with `options`.
fn files(world: &World, options: &str) -> Result<(PathBuf, String)> {
    let dir = world.claim.dir();
    let (log, config) = (dir.join("mail.log"), dir.join("d.conf"));
    Recording::new(&log).append("")?;
    fs::write(&config, format!("[dovecot]\n{options}\n"))?;
    Ok((log, config.to_string_lossy().into_owned()))
}

/// Started with `options`, a ban set, and stopped.
fn stop(world: &World, options: &str) -> Result<String> {
    let (log, config) = files(world, options)?;
    let doveblock = Doveblock::start(world, &log, &["--config", &config])?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    doveblock.expect(&["ban", &attacker.address().to_string()])?;
    attacker.shut_out(4190)?;
    ensure!(doveblock.stop()? == 0);
    Ok(fs::read_to_string(world.claim.dir().join("doveblock.log"))?)
}

fn keep(world: &World) -> Result<()> {
    let _sieve = Greeter::start(world, 4190)?;
    let said = stop(world, "on_stop = keep")?;
    ensure!(said.contains("bans stay in force until they end"), "{said}");
    ensure!(is_attached(world)?);
    Client::new(world, ATTACKER, Family::V4).shut_out(4190)
}

fn detach(world: &World) -> Result<()> {
    let _sieve = Greeter::start(world, 4190)?;
    let said = stop(world, "on_stop = detach")?;
    ensure!(said.contains("detached") && !said.contains("stay in force"), "{said}");
    ensure!(!is_attached(world)?, "still attached");
    ensure!(!world.claim.pins().exists(), "pins are left");
    Client::new(world, ATTACKER, Family::V4).probe(4190).map(drop)
}

fn killed(world: &World) -> Result<()> {
    let (log, config) = files(world, "on_stop = detach")?;
    let _sieve = Greeter::start(world, 4190)?;
    let doveblock = Doveblock::start(world, &log, &["--config", &config])?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    doveblock.expect(&["ban", &attacker.address().to_string()])?;
    doveblock.kill()?;
    attacker.shut_out(4190)
}

fn full(world: &World) -> Result<()> {
    let (log, config) = files(world, "max_bans = 3")?;
    let mut doveblock = Doveblock::start(world, &log, &["--config", &config])?;
    for (host, time) in [(1, "3h"), (2, "1h"), (3, "-1"), (4, "2h"), (5, "4h")] {
        doveblock.expect(&["ban", &format!("203.0.113.{host}"), "--for", time])?;
    }
    doveblock.wait_for(&["max_bans is reached", "1 bans"])?;
    let status = doveblock.json(&["status"])?;
    ensure!(status["total_evicted"] == 2 && status["currently_banned"] == 3, "{status}");
    for (host, listed) in [(1, true), (2, false), (3, true), (4, false), (5, true)] {
        let found = doveblock.listed(&format!("203.0.113.{host}"))?.is_some();
        ensure!(found == listed, "203.0.113.{host} is listed: {found}");
    }
    // Whoever had to make room can be banned again.
    doveblock.expect(&["ban", "203.0.113.2", "--for", "5h"])?;
    ensure!(doveblock.listed("203.0.113.2")?.is_some());
    Ok(())
}

fn under_fire(world: &World) -> Result<()> {
    let (log, config) = files(world, "")?;
    let _sieve = Greeter::start(world, 4190)?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    let subject = attacker.address().to_string();
    let doveblock = Doveblock::start(world, &log, &["--config", &config])?;
    doveblock.expect(&["ban", &subject])?;
    attacker.shut_out(4190)?;
    let before = doveblock.listed(&subject)?.unwrap_or_default();
    doveblock.kill()?;

    let over = AtomicBool::new(false);
    let (passed, restarted) = thread::scope(|scope| {
        let stream = scope.spawn(|| -> Result<u32> {
            let (mut passed, client) = (0, Client::new(world, ATTACKER, Family::V4));
            while !over.load(Ordering::Relaxed) {
                let greeting = client.greet(4190, Duration::from_millis(5))?;
                passed += u32::from(matches!(greeting, Greeting::Banner(_)));
            }
            Ok(passed)
        });
        let restarted = restart_and_kill(world);
        over.store(true, Ordering::Relaxed);
        (stream.join(), restarted)
    });
    restarted?;
    let Ok(passed) = passed else { bail!("the stream of packets broke off") };
    ensure!(passed? == 0, "packets of a banned source passed");

    let doveblock = Doveblock::start(world, &log, &["--config", &config])?;
    let after = doveblock.listed(&subject)?.unwrap_or_default();
    for field in ["banned_at", "expires_at", "attempts"] {
        ensure!(after[field] == before[field], "{before} became {after}");
    }
    ensure!(after["dropped_packets"].as_u64() > before["dropped_packets"].as_u64(), "{after}");
    attacker.shut_out(4190)?;
    let left: Vec<_> = fs::read_dir(world.claim.pins())?
        .flatten()
        .filter(|pin| pin.file_name().to_string_lossy().ends_with("_next"))
        .collect();
    ensure!(left.is_empty(), "{left:?}");
    ensure!(verb(world, &["detach"])?.status.success() && !world.claim.pins().exists());
    Ok(())
}

/// Starts that make every map of bans anew, each killed at another point of its way.
fn restart_and_kill(world: &World) -> Result<()> {
    for delay in (0..150).step_by(5) {
        let (log, config) = files(world, &format!("max_bans = {}", 1000 + delay))?;
        let mut doveblock = Doveblock::spawn(world, &log, &["--config", &config])?;
        thread::sleep(Duration::from_millis(delay));
        doveblock.signal(Signal::KILL)?;
        doveblock.kill()?;
        ensure!(is_attached(world)?, "{delay} ms: detached");
    }
    Ok(())
}
