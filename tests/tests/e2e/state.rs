//! What outlives the daemon: totals, bans, how far the log was read. Under kills, a reboot, and
//! everything that can be wrong with a disk.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    client::Client,
    doveblock::{Doveblock, verb},
    greeter::Greeter,
    netns::{ATTACKER, Family, World},
    process::{command, run},
    recording::Recording,
    wait::{self, LIMIT},
};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::trial;

const AGGRESSIVE: [&str; 6] = ["--mode", "aggressive", "--maxretry", "3", "--bantime", "1h"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("kills_lose_no_line_and_count_none_twice", &[], kills),
        trial("after_a_reboot_bans_are_in_force_again", &[], reboot),
        trial("what_was_lifted_stays_lifted_over_a_kill", &[], lifted),
        trial("a_full_disk_costs_no_ban_and_is_caught_up_with", &[], full_disk),
        trial("a_damaged_database_is_moved_aside_and_costs_no_ban", &[], damaged),
        trial("a_directory_that_cannot_be_written_is_said_and_costs_no_ban", &[], read_only),
        trial("a_dry_run_leaves_no_state", &[], dry_run),
    ]
}

fn state(world: &World) -> PathBuf {
    world.claim.dir().join("state")
}

fn client(last: u8) -> std::net::IpAddr {
    [198, 51, 100, last].into()
}

/// Three probes each of many clients, written while the daemon is up, while it is killed and
/// while it is down, and rotated in every way in between.
fn kills(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let recording = Recording::new(&log);
    recording.append("a line of something else\n")?;
    Doveblock::start(world, &log, &AGGRESSIVE)?.stop()?;
    let mut lines = 1;
    for round in 0..18_u8 {
        let doveblock = Doveblock::spawn(world, &log, &AGGRESSIVE)?;
        for _ in 0..3 {
            recording.probe(client(round))?;
            thread::sleep(Duration::from_millis(u64::from(round) * 17 % 60));
        }
        doveblock.kill()?;
        for _ in 0..3 {
            recording.probe(client(100 + round))?;
        }
        lines += 6;
        match round % 4 {
            0 => rotate(&log, false)?,
            1 => rotate(&log, true)?,
            2 => pack(&log)?,
            _ => {}
        }
    }
    let doveblock = Doveblock::start(world, &log, &AGGRESSIVE)?;
    let status = wait::until(LIMIT, "the last line", || {
        let status = doveblock.json(&["status"])?;
        Ok((status["lines"].as_u64() >= Some(lines)).then_some(status))
    })
    .with_context(|| doveblock.whole_log())?;
    for (field, expected) in [
        ("lines", lines),
        ("total_failed", lines - 1),
        ("total_banned", 36),
        ("currently_banned", 36),
    ] {
        ensure!(status[field] == expected, "{field} is not {expected} in {status}");
    }
    Ok(())
}

/// As logrotate does, by renaming or by copying.
fn rotate(log: &Path, by_copy: bool) -> Result<()> {
    for number in (1..20).rev() {
        for ending in ["", ".gz"] {
            let name = |number| format!("{}.{number}{ending}", log.display());
            let _there_is_none = fs::rename(name(number), name(number + 1));
        }
    }
    let rotated = format!("{}.1", log.display());
    if by_copy {
        fs::copy(log, rotated)?;
        OpenOptions::new().write(true).open(log)?.set_len(0)?;
    } else {
        fs::rename(log, rotated)?;
        fs::write(log, "")?;
    }
    Ok(())
}

fn pack(log: &Path) -> Result<()> {
    let rotated = format!("{}.1", log.display());
    run(command("gzip").arg(rotated)).map(drop)
}

/// Three probes of the attacker, and the ban.
fn banned<'w>(world: &'w World, log: &Path, more: &[&str]) -> Result<(Doveblock<'w>, Value)> {
    let recording = Recording::new(log);
    recording.append("")?;
    let doveblock = Doveblock::start(world, log, &[&AGGRESSIVE, more].concat())?;
    let attacker = ATTACKER.on(Family::V4);
    for _ in 0..3 {
        recording.probe(attacker)?;
    }
    let ban = doveblock.wait_for_ban(&attacker.to_string())?;
    Ok((doveblock, ban))
}

/// Waits until what the daemon knows is kept. A ban by hand is answered when it is.
fn kept(doveblock: &Doveblock<'_>) -> Result<()> {
    doveblock.expect(&["ban", "203.0.113.1", "--for", "2h"]).map(drop)
}

fn reboot(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let _sieve = Greeter::start(world, 4190)?;
    let (doveblock, ban) = banned(world, &log, &[])?;
    kept(&doveblock)?;
    doveblock.kill()?;
    fs::remove_dir_all(world.claim.pins())?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    attacker.probe(4190)?;
    let mut doveblock = Doveblock::start(world, &log, &AGGRESSIVE)?;
    let subject = attacker.address().to_string();
    let again = doveblock.listed(&subject)?.with_context(|| doveblock.whole_log())?;
    for field in ["ip", "banned_at", "expires_at", "attempts"] {
        ensure!(again[field] == ban[field], "{field} of {ban} became {again}");
    }
    attacker.shut_out(4190)?;
    ensure!(doveblock.whole_log().contains("2 bans are in force again"));
    // What is detached is over, also for the next start.
    doveblock.signal(rustix::process::Signal::KILL)?;
    doveblock.kill()?;
    ensure!(verb(world, &["detach"])?.status.success());
    let doveblock = Doveblock::start(world, &log, &AGGRESSIVE)?;
    ensure!(doveblock.json(&["list"])? == serde_json::json!([]), "{}", doveblock.whole_log());
    attacker.probe(4190).map(drop)
}

fn lifted(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let (doveblock, ban) = banned(world, &log, &[])?;
    let subject = ban["ip"].as_str().context("no address")?;
    doveblock.expect(&["unban", subject])?;
    doveblock.kill()?;
    let doveblock = Doveblock::start(world, &log, &AGGRESSIVE)?;
    // Its failures are still within findtime, and everything there is has been read.
    Recording::new(&log).probe(client(1))?;
    wait::until(LIMIT, "the next line", || {
        Ok((doveblock.json(&["status"])?["lines"] == 4).then_some(()))
    })?;
    ensure!(doveblock.listed(subject)?.is_none(), "{}", doveblock.whole_log());
    ensure!(doveblock.json(&["status"])?["total_banned"] == 1);
    Ok(())
}

/// A file system of its own, which goes away with this.
struct Disk(PathBuf);

impl Disk {
    fn new(at: PathBuf, options: &str) -> Result<Self> {
        fs::create_dir_all(&at)?;
        let mut mount = command("mount");
        run(mount.args(["-t", "tmpfs", "-o", options, "doveblock-test"]).arg(&at))?;
        Ok(Self(at))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let umount: &mut Command = &mut command("umount");
        if let Err(error) = run(umount.arg("--lazy").arg(&self.0)) {
            eprintln!("{error:#}");
        }
    }
}

fn full_disk(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let disk = Disk::new(state(world), "size=1m")?;
    let filler = disk.0.join("filler");
    // To the last byte, which is reported as an error.
    let fill = || drop(fs::write(&filler, vec![0; 2 << 20]));
    let _sieve = Greeter::start(world, 4190)?;
    let recording = Recording::new(&log);
    recording.append("a line of something else\n")?;
    let mut doveblock = Doveblock::start(world, &log, &AGGRESSIVE)?;
    kept(&doveblock)?;
    fill();
    let attacker = Client::new(world, ATTACKER, Family::V4);
    for _ in 0..3 {
        recording.probe(attacker.address())?;
    }
    doveblock.wait_for_ban(&attacker.address().to_string())?;
    attacker.shut_out(4190)?;
    for last in 0..=250 {
        recording.probe(client(last))?;
    }
    doveblock.wait_for(&["the state cannot be written", "bans are enforced all the same"])?;
    // By hand as well, and without waiting for the disk.
    doveblock.expect(&["ban", "203.0.113.2"])?;
    fs::remove_file(&filler)?;
    doveblock.wait_for(&["is written again"])?;
    kept(&doveblock)?;
    ensure!(doveblock.stop()? == 0);

    // One that starts on a full disk knows what is there, and keeps more when it can.
    fill();
    let mut doveblock = Doveblock::start(world, &log, &AGGRESSIVE)?;
    ensure!(
        doveblock.whole_log().contains("what it holds is taken over"),
        "{}",
        doveblock.whole_log()
    );
    ensure!(doveblock.json(&["status"])?["lines"] == 255);
    attacker.shut_out(4190)?;
    fs::remove_file(&filler)?;
    doveblock.wait_for(&["is there now"])?;
    recording.probe(client(1))?;
    doveblock.wait_for(&["198.51.100.1", "2/3"])?;
    kept(&doveblock)?;
    doveblock.kill()?;
    let doveblock = Doveblock::start(world, &log, &AGGRESSIVE)?;
    ensure!(doveblock.json(&["status"])?["lines"] == 256);
    Ok(())
}

fn damaged(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let (doveblock, ban) = banned(world, &log, &[])?;
    ensure!(doveblock.stop()? == 0);
    let file = state(world).join("doveblock.sqlite3");
    fs::write(&file, "this is no database".repeat(1000))?;
    let doveblock = Doveblock::start(world, &log, &AGGRESSIVE)?;
    ensure!(doveblock.whole_log().contains("the database is damaged"), "{}", doveblock.whole_log());
    let names = fs::read_dir(state(world))?.flatten().map(|entry| entry.file_name());
    let aside: Vec<_> =
        names.filter(|name| name.to_string_lossy().contains("sqlite3.corrupt-")).collect();
    ensure!(aside.len() == 1, "{aside:?}");
    let after = doveblock.listed(ban["ip"].as_str().unwrap_or_default())?;
    ensure!(after.is_some_and(|after| after["expires_at"] == ban["expires_at"]));
    Ok(())
}

fn read_only(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let _disk = Disk::new(state(world), "ro")?;
    let _sieve = Greeter::start(world, 4190)?;
    let (doveblock, _) = banned(world, &log, &[])?;
    ensure!(
        doveblock.whole_log().contains("doveblock keeps no state until that works"),
        "{}",
        doveblock.whole_log()
    );
    Client::new(world, ATTACKER, Family::V4).shut_out(4190)?;
    ensure!(doveblock.stop()? == 0);
    Ok(())
}

fn dry_run(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let (doveblock, _) = banned(world, &log, &["--dry-run"])?;
    ensure!(doveblock.stop()? == 0);
    ensure!(!state(world).exists());
    Ok(())
}
