//! The log under the daemon's feet.

use std::{fs, os::unix::fs::symlink};

use anyhow::{Result, ensure};
use blocker_tests::{
    doveblock::Doveblock,
    needs,
    netns::World,
    process::{command, run},
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
const BINDFS: &[fn() -> Option<String>] = &[needs::missing_bindfs];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_log_that_is_not_there_is_waited_for", &[], missing),
        trial("a_renamed_log_is_read_to_its_end_and_the_new_one_too", &[], rotation),
        trial("a_line_written_in_pieces_is_one_line", &[], pieces),
        trial("old_lines_do_not_ban", &[], old_lines),
        trial("a_log_named_twice_counts_once", &[], named_twice),
        trial("a_fifo_is_read_and_outlives_its_writers", &[], fifo),
        trial("a_pattern_finds_logs_that_come_later", &[], pattern),
        trial("a_link_is_followed_when_what_it_leads_to_is_rotated", &[], link),
        trial("without_inotify_logs_are_polled_and_that_is_said", &[], without_inotify),
        trial("without_watches_logs_are_polled_and_that_is_said", &[], without_watches),
        trial("a_silent_file_system_is_polled_and_that_is_said", BINDFS, silent),
        trial("backend_polling_reads_without_inotify", &[], polling),
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
    let said = doveblock.whole_log();
    ensure!(said.matches("waiting for it").count() == 1, "{said}");
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
    let mut doveblock = Doveblock::start(world, &fifo, &[&DRY[..], &AGGRESSIVE].concat())?;
    // Each of these opens and closes it.
    for times in 1..=2 {
        Recording::new(&fifo).probe(client(1))?;
        doveblock.wait_for(&["198.51.100.1", &format!("{times}/3")])?;
    }
    Recording::new(&fifo).probe(client(1))?;
    doveblock.wait_for_ban("198.51.100.1")?;
    Ok(())
}

fn pattern(world: &World) -> Result<()> {
    let path = |name: &str| world.claim.dir().join(name);
    fs::create_dir(path("logs"))?;
    Recording::new(&path("logs/a.log")).probe(client(1))?;
    Recording::new(&path("logs/a.log.1")).probe(client(1))?;
    let options = [&DRY[..], &AGGRESSIVE].concat();
    let mut doveblock = Doveblock::start(world, &path("logs/*.log*"), &options)?;
    doveblock.wait_for(&["198.51.100.1", "1/3"])?;
    Recording::new(&path("logs/b.log")).probe(client(1))?;
    doveblock.wait_for(&["198.51.100.1", "2/3"])?;
    // Put aside, it matches still, and counts no second time.
    fs::rename(path("logs/b.log"), path("logs/b.log.old"))?;
    Recording::new(&path("logs/b.log")).probe(client(1))?;
    let ban = doveblock.wait_for_ban("198.51.100.1")?;
    ensure!(ban["attempts"] == 3, "{ban}");
    let said = doveblock.whole_log();
    ensure!(said.matches("no-auth-attempts").count() == 3, "{said}");
    Ok(())
}

fn link(world: &World) -> Result<()> {
    let path = |name: &str| world.claim.dir().join(name);
    fs::create_dir(path("elsewhere"))?;
    let recording = Recording::new(&path("elsewhere/mail.log"));
    recording.probe(client(1))?;
    symlink(path("elsewhere/mail.log"), path("mail.log"))?;
    let options = [&DRY[..], &AGGRESSIVE].concat();
    let mut doveblock = Doveblock::start(world, &path("mail.log"), &options)?;
    doveblock.wait_for(&["198.51.100.1", "1/3"])?;
    fs::rename(path("elsewhere/mail.log"), path("elsewhere/mail.log.1"))?;
    recording.probe(client(1))?;
    doveblock.wait_for(&["198.51.100.1", "2/3"])?;
    // And when the link leads elsewhere.
    fs::remove_file(path("mail.log"))?;
    Recording::new(&path("other.log")).probe(client(1))?;
    symlink(path("other.log"), path("mail.log"))?;
    doveblock.wait_for_ban("198.51.100.1")?;
    Ok(())
}

/// In a user namespace root may set its own limit.
fn limited(world: &World, limit: &str, words: &[&str]) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let recording = Recording::new(&log);
    recording.append("")?;
    let script = format!("echo 0 >/proc/sys/user/{limit}; exec \"$@\"");
    let wrapper = ["unshare", "--user", "--map-root-user", "sh", "-c", &script, "sh"];
    let options = [&DRY[..], &AGGRESSIVE].concat();
    let mut doveblock = Doveblock::spawn_within(world, &log, &options, &wrapper)?;
    polled(&mut doveblock, &recording, words)
}

/// Expects these words, once, and every line to be read all the same.
fn polled(doveblock: &mut Doveblock, recording: &Recording, words: &[&str]) -> Result<()> {
    for times in 1..=2 {
        recording.probe(client(1))?;
        doveblock.wait_for(&["198.51.100.1", &format!("{times}/3")])?;
    }
    recording.probe(client(1))?;
    doveblock.wait_for_ban("198.51.100.1")?;
    let said = doveblock.whole_log();
    let told: Vec<&str> =
        said.lines().filter(|line| line.contains("four times a second")).collect();
    ensure!(told.len() == 1, "{said}");
    for word in words {
        ensure!(told.iter().all(|line| line.contains(word)), "no {word} in {told:?}");
    }
    Ok(())
}

fn without_inotify(world: &World) -> Result<()> {
    limited(world, "max_inotify_instances", &["no inotify", "fs.inotify.max_user_instances"])
}

fn without_watches(world: &World) -> Result<()> {
    limited(world, "max_inotify_watches", &["fs.inotify.max_user_watches"])
}

/// What is written behind the back of FUSE it cannot tell of, as NFS cannot of other hosts.
fn silent(world: &World) -> Result<()> {
    let (behind, mounted) = (world.claim.dir().join("behind"), world.claim.dir().join("mounted"));
    for dir in [&behind, &mounted] {
        fs::create_dir(dir)?;
    }
    let recording = Recording::new(&behind.join("mail.log"));
    recording.append("")?;
    run(command("bindfs").args([&behind, &mounted]))?;
    let result = || -> Result<()> {
        let log = mounted.join("mail.log");
        let mut doveblock = Doveblock::start(world, &log, &[&DRY[..], &AGGRESSIVE].concat())?;
        polled(&mut doveblock, &recording, &["FUSE", "mail.log"])
    }();
    run(command("umount").arg(&mounted))?;
    result
}

fn polling(world: &World) -> Result<()> {
    let config = world.claim.dir().join("d.conf");
    fs::write(&config, "[dovecot]\nbackend = polling\n")?;
    let log = world.claim.dir().join("mail.log");
    let recording = Recording::new(&log);
    let config = config.display().to_string();
    let options = [&DRY[..], &AGGRESSIVE, &["--config", &config]].concat();
    let mut doveblock = Doveblock::start(world, &log, &options)?;
    for times in 1..=2 {
        recording.probe(client(1))?;
        doveblock.wait_for(&["198.51.100.1", &format!("{times}/3")])?;
    }
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
