//! The journal, read by the real journalctl.

use std::{fs, net::IpAddr, path::Path};

use anyhow::{Result, ensure};
use blocker_tests::{
    doveblock::{Doveblock, run_to_end_within},
    journal::{DOVECOT, Journal},
    needs,
    netns::World,
    recording,
    wait::{self, LIMIT},
};
use jiff::ZonedDateTime;
use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

use crate::trial;

const AGGRESSIVE: [&str; 6] = ["--mode", "aggressive", "--maxretry", "3", "--bantime", "1h"];
const JOURNAL: &[fn() -> Option<String>] = &[needs::missing_journal];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the_journal_bans_and_only_by_entries_of_dovecots_unit", JOURNAL, bans),
        trial("no_journalctl_is_left_when_the_daemon_ends_or_is_killed", JOURNAL, leaves_nothing),
        trial("a_killed_journalctl_is_started_again_where_it_was", JOURNAL, killed),
        trial("a_restart_goes_on_in_the_journal_where_it_was", JOURNAL, restart),
        trial("a_vacuumed_journal_is_read_on_from_its_oldest_entry", JOURNAL, vacuumed),
        trial("a_failregex_sees_the_journal_as_syslog_would_write_it", JOURNAL, failregex),
        trial("a_journal_without_journalctl_is_refused", &[], without_journalctl),
    ]
}

fn client(last: u8) -> IpAddr {
    [198, 51, 100, last].into()
}

/// What Dovecot logs of a silent connection, without what stands before a line in a file.
fn message(client: IpAddr) -> String {
    let line = recording::probe(client, &ZonedDateTime::now());
    let start = line.find("managesieve-login").unwrap_or(0);
    line[start..].trim_end().replace("Info: ", "")
}

fn probe(journal: &Journal, last: u8) -> Result<()> {
    journal.write(DOVECOT, message(client(last)).as_bytes())
}

fn journal(world: &World) -> Journal {
    Journal::new(&world.claim.dir().join("journal"))
}

fn start<'w>(world: &'w World, journal: &Journal, more: &[&str]) -> Result<Doveblock<'w>> {
    Doveblock::start(world, Path::new(&journal.word()), &[&AGGRESSIVE[..], more].concat())
}

fn bans(world: &World) -> Result<()> {
    let journal = journal(world);
    // It is not there yet, nor is its directory.
    let mut doveblock = start(world, &journal, &[])?;
    doveblock.wait_for(&["journalctl", "says"])?;
    for _ in 0..3 {
        // Any user can write entries under Dovecot's name, but not as Dovecot's unit.
        journal.write("user@1000.service", message(client(9)).as_bytes())?;
        probe(&journal, 1)?;
    }
    doveblock.wait_for_ban("198.51.100.1")?;
    // What is no UTF-8, what is long, and what is several lines is no end.
    journal.write(DOVECOT, b"imap-login: \xff\x00\x1b[2J")?;
    journal.write(DOVECOT, &vec![b'x'; 1 << 20])?;
    journal.write(DOVECOT, format!("{}\n{}", message(client(8)), message(client(8))).as_bytes())?;
    for _ in 0..3 {
        probe(&journal, 2)?;
    }
    let ban = doveblock.wait_for_ban("198.51.100.2")?;
    ensure!(ban["attempts"] == 3, "{ban}");
    ensure!(doveblock.listed("198.51.100.9")?.is_none(), "a forged entry banned");
    ensure!(doveblock.json(&["status"])?["lag_secs"] == 0);
    Ok(())
}

/// One that follows is there once all that was written before has been read.
fn reader(journal: &Journal) -> Result<u32> {
    wait::until(LIMIT, "a journalctl that follows", || {
        let follows = |id: &u32| {
            fs::read(format!("/proc/{id}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains("--follow"))
        };
        Ok(journal.readers()?.into_iter().find(follows))
    })
}

fn leaves_nothing(world: &World) -> Result<()> {
    let journal = journal(world);
    probe(&journal, 1)?;
    let none = || Ok(journal.readers()?.is_empty().then_some(()));
    for kill in [false, true] {
        let mut doveblock = start(world, &journal, &["--dry-run"])?;
        doveblock.wait_for(&["198.51.100.1", "1/3"])?;
        reader(&journal)?;
        if kill {
            doveblock.kill()?;
        } else {
            ensure!(doveblock.stop()? == 0, "not stopped in order");
        }
        wait::until(LIMIT, "journalctl to end", none)?;
    }
    Ok(())
}

fn killed(world: &World) -> Result<()> {
    let journal = journal(world);
    probe(&journal, 1)?;
    let mut doveblock = start(world, &journal, &["--dry-run"])?;
    let mut ended = Vec::new();
    for times in 1..=2 {
        doveblock.wait_for(&["198.51.100.1", &format!("{times}/3")])?;
        let id = reader(&journal)?;
        let process = i32::try_from(id).ok().and_then(Pid::from_raw);
        kill_process(process.ok_or(wait::Interrupted)?, Signal::KILL)?;
        probe(&journal, 1)?;
        doveblock.wait_for(&["journalctl ended", "signal: 9"])?;
        ended.push(id);
    }
    let ban = doveblock.wait_for_ban("198.51.100.1")?;
    ensure!(ban["attempts"] == 3, "{ban}");
    ensure!(doveblock.whole_log().matches("no-auth-attempts").count() == 3);
    let zombies = ended.iter().filter(|id| Path::new(&format!("/proc/{id}")).exists());
    ensure!(zombies.count() == 0, "of {ended:?} not all are gone");
    Ok(())
}

fn restart(world: &World) -> Result<()> {
    let journal = journal(world);
    let mut doveblock = start(world, &journal, &[])?;
    for times in 1..=2 {
        probe(&journal, 1)?;
        doveblock.wait_for(&["198.51.100.1", &format!("{times}/3")])?;
    }
    doveblock.stop()?;
    // While nobody looks.
    probe(&journal, 1)?;
    let doveblock = start(world, &journal, &[])?;
    let ban = doveblock.wait_for_ban("198.51.100.1")?;
    ensure!(ban["attempts"] == 3, "{ban}");
    let said = doveblock.whole_log();
    ensure!(said.matches("no-auth-attempts").count() == 3, "{said}");
    ensure!(!said.contains("not there any more"), "{said}");
    Ok(())
}

fn vacuumed(world: &World) -> Result<()> {
    let journal = journal(world);
    probe(&journal, 1)?;
    let mut doveblock = start(world, &journal, &[])?;
    doveblock.wait_for(&["198.51.100.1", "1/3"])?;
    doveblock.stop()?;
    journal.vacuum()?;
    for _ in 0..3 {
        probe(&journal, 2)?;
    }
    let mut doveblock = start(world, &journal, &[])?;
    doveblock.wait_for(&["not there any more", "oldest"])?;
    let ban = doveblock.wait_for_ban("198.51.100.2")?;
    ensure!(ban["attempts"] == 3, "{ban}");
    Ok(())
}

fn failregex(world: &World) -> Result<()> {
    let journal = journal(world);
    let config = world.claim.dir().join("d.conf");
    let text =
        "[dovecot]\nmaxretry = 1\nfailregex = ^mail dovecot\\[12\\]: sieve: <HOST> is here$\n";
    fs::write(&config, text)?;
    let config = config.display().to_string();
    let log = journal.word();
    let options = ["--dry-run", "--config", &config];
    let doveblock = Doveblock::start(world, Path::new(&log), &options)?;
    journal.write(DOVECOT, b"sieve: 198.51.100.7 is here")?;
    doveblock.wait_for_ban("198.51.100.7")?;
    Ok(())
}

fn without_journalctl(world: &World) -> Result<()> {
    let empty = world.claim.dir().join("empty");
    fs::create_dir(&empty)?;
    let places = format!("PATH={}", empty.display());
    let wrapper = ["/usr/bin/env", &places];
    let (code, said) = run_to_end_within(world, Path::new("journal"), &["--dry-run"], &wrapper)?;
    ensure!(code == 2 && said.contains("needs journalctl"), "{code}: {said}");
    Ok(())
}
