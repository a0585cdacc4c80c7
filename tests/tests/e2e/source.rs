//! The log under the daemon's feet.

use std::fs;

use anyhow::{Result, ensure};
use blocker_tests::{
    doveblock::Doveblock,
    netns::World,
    recording::{Recording, probe},
};
use jiff::{SignedDuration, ZonedDateTime};
use libtest_mimic::Trial;

use crate::trial;

const AGGRESSIVE: [&str; 6] = ["--mode", "aggressive", "--maxretry", "3", "--bantime", "1h"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_log_that_is_not_there_is_waited_for", &[], missing),
        trial("a_renamed_log_is_read_to_its_end_and_the_new_one_too", &[], rotation),
        trial("a_line_written_in_pieces_is_one_line", &[], pieces),
        trial("old_lines_do_not_ban", &[], old_lines),
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
