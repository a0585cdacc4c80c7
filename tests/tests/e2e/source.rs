//! The log under the daemon's feet.

use std::{fs, os::unix::fs::symlink};

use anyhow::{Result, ensure};
use blocker_tests::{
    doveblock::{Doveblock, run_to_end},
    netns::World,
    recording::{Recording, probe},
    wait::{self, LIMIT},
};
use jiff::{SignedDuration, ZonedDateTime};
use libtest_mimic::Trial;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::trial;

const AGGRESSIVE: [&str; 6] = ["--mode", "aggressive", "--maxretry", "3", "--bantime", "1h"];

/// Enough where packets are not the point.
const DRY: [&str; 1] = ["--dry-run"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_log_that_is_not_there_is_waited_for", &[], missing),
        trial("a_renamed_log_is_read_to_its_end_and_the_new_one_too", &[], rotation),
        trial("a_line_written_in_pieces_is_one_line", &[], pieces),
        trial("old_lines_do_not_ban", &[], old_lines),
        trial("a_log_named_twice_counts_once", &[], named_twice),
        trial("a_fifo_is_refused_with_a_remedy", &[], fifo),
        trial("a_log_in_another_time_zone_is_said_once", &[], another_zone),
    ]
}

fn client(last: u8) -> std::net::IpAddr {
    [198, 51, 100, last].into()
}

fn missing(world: &World) -> Result<()> {
    let dir = world.claim.dir().join("later");
    let log = dir.join("mail.log");
    let mut doveblock = Doveblock::spawn(world, &log, &AGGRESSIVE)?;
    doveblock.wait_for(&["mail.log", "waiting for it"])?;
    fs::create_dir(&dir)?;
    let recording = Recording::new(&log);
    for _ in 0..3 {
        recording.probe(client(1))?;
    }
    doveblock.wait_for_ban("198.51.100.1")?;
    Ok(())
}

fn rotation(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let rotated = world.claim.dir().join("mail.log.1");
    let recording = Recording::new(&log);
    recording.append("")?;
    let mut doveblock = Doveblock::start(world, &log, &AGGRESSIVE)?;
    recording.probe(client(1))?;
    doveblock.wait_for(&["198.51.100.1", "1/3"])?;
    fs::rename(&log, &rotated)?;
    recording.probe(client(1))?;
    doveblock.wait_for(&["198.51.100.1", "2/3"])?;
    // Dovecot writes to the renamed file until it is told to reopen its log.
    Recording::new(&rotated).probe(client(1))?;
    doveblock.wait_for_ban("198.51.100.1")?;
    Ok(())
}

fn pieces(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let recording = Recording::new(&log);
    recording.append("")?;
    let mut doveblock = Doveblock::start(world, &log, &AGGRESSIVE)?;
    for times in 1..=2 {
        let line = probe(client(1), &ZonedDateTime::now());
        let (first, second) = line.split_at(line.len() / 2);
        recording.append(first)?;
        // Something for the daemon to see in between.
        recording.append(second)?;
        doveblock.wait_for(&["198.51.100.1", &format!("{times}/3")])?;
    }
    recording.append("garbage \0 \n\n")?;
    recording.probe(client(1))?;
    doveblock.wait_for_ban("198.51.100.1")?;
    Ok(())
}

fn named_twice(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let link = world.claim.dir().join("link.log");
    let recording = Recording::new(&log);
    recording.append("")?;
    symlink(&log, &link)?;
    let (again, link) = (log.display().to_string(), link.display().to_string());
    let options = [&DRY[..], &AGGRESSIVE, &["--log", &again, "--log", &link]].concat();
    let mut doveblock = Doveblock::spawn(world, &log, &options)?;
    doveblock.wait_for(&[&link, "read once only", "the same as", &again])?;
    doveblock.wait_for(&["ready"])?;
    for times in 1..=2 {
        recording.probe(client(1))?;
        doveblock.wait_for(&["198.51.100.1", &format!("{times}/3")])?;
    }
    recording.probe(client(1))?;
    let ban = doveblock.wait_for_ban("198.51.100.1")?;
    ensure!(ban["attempts"] == 3, "{ban}");
    ensure!(doveblock.whole_log().matches("no-auth-attempts").count() == 3);
    Ok(())
}

fn fifo(world: &World) -> Result<()> {
    let fifo = world.claim.dir().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    let (code, said) = run_to_end(world, &fifo, &DRY)?;
    ensure!(code == 2 && said.contains("a FIFO"), "{code}: {said}");
    ensure!(said.contains(&format!("--log - < {}", fifo.display())), "{said}");
    Ok(())
}

/// The daemon looks on while a container writes in its own zone; a late line is none.
fn another_zone(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let recording = Recording::new(&log);
    let hours_ago = |hours| -> Result<String> {
        let at = ZonedDateTime::now().checked_sub(SignedDuration::from_hours(hours))?;
        Ok(probe(client(9), &at))
    };
    // What was there before tells nothing.
    recording.append(&hours_ago(5)?.repeat(9))?;
    let mut doveblock = Doveblock::start(world, &log, &[&DRY[..], &AGGRESSIVE].concat())?;
    for times in 1..=2 {
        recording.append(&hours_ago(3)?)?;
        recording.probe(client(1))?;
        doveblock.wait_for(&["198.51.100.1", &format!("{times}/3")])?;
    }
    ensure!(!doveblock.whole_log().contains("time zone"), "{}", doveblock.whole_log());
    // More of them until it is said: those that come before it has read to the end are not new.
    wait::until(LIMIT, "the hint", || {
        recording.append(&hours_ago(2)?.repeat(3))?;
        Ok(doveblock.whole_log().contains("time zone").then_some(()))
    })?;
    doveblock.wait_for(&["mail.log", "2 hours behind", "TZ=UTC"])?;
    recording.append(&hours_ago(2)?.repeat(5))?;
    recording.probe(client(1))?;
    doveblock.wait_for_ban("198.51.100.1")?;
    let said = doveblock.whole_log();
    ensure!(said.matches("time zone").count() == 1, "{said}");
    Ok(())
}

/// Lines from before findtime, as after a long stop, ban nobody; those within do.
fn old_lines(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let recording = Recording::new(&log);
    let minutes_ago = |minutes| -> Result<ZonedDateTime> {
        Ok(ZonedDateTime::now().checked_sub(SignedDuration::from_mins(minutes))?)
    };
    for (address, minutes) in [(1, 30), (2, 5)] {
        for _ in 0..3 {
            recording.append(&probe(client(address), &minutes_ago(minutes)?))?;
        }
    }
    let options = [&AGGRESSIVE[..], &["--findtime", "10m"]].concat();
    let doveblock = Doveblock::start(world, &log, &options)?;
    doveblock.wait_for_ban("198.51.100.2")?;
    ensure!(doveblock.listed("198.51.100.1")?.is_none(), "an old line banned");
    Ok(())
}
