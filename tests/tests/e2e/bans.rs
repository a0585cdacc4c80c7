//! From a line that Dovecot wrote to packets that no longer arrive, and back.

use std::fs;

use anyhow::{Result, ensure};
use blocker_common::abi::NEVER;
use blocker_tests::{
    client::{Client, Greeting, Protocol},
    doveblock::{Doveblock, dump, subject},
    dovecot::Dovecot,
    greeter::Greeter,
    needs,
    netns::{ATTACKER, ATTACKERS_OTHERS, Family, SECOND, World},
    recording::Recording,
    wait::{self, LIMIT},
};
use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::{DOVECOT, trial};

const AGGRESSIVE: [&str; 4] = ["--mode", "aggressive", "--maxretry", "3"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("silent_probes_are_banned_on_ipv4", DOVECOT, |world| probes(world, Family::V4)),
        trial("silent_probes_are_banned_on_ipv6", DOVECOT, |world| probes(world, Family::V6)),
        trial("wrong_passwords_are_banned_on_ipv4", DOVECOT, |world| guesses(world, Family::V4)),
        trial("wrong_passwords_are_banned_on_ipv6", DOVECOT, |world| guesses(world, Family::V6)),
        trial("one_ipv6_network_is_one_client", DOVECOT, one_network),
        trial("a_ban_ends_with_the_daemon_stopped", DOVECOT, |world| {
            ends_without(world, Signal::STOP)
        }),
        trial("a_ban_ends_with_the_daemon_killed", DOVECOT, |world| {
            ends_without(world, Signal::KILL)
        }),
        trial("a_bantime_of_minus_one_is_for_ever", &[needs::missing_bpftool], for_ever),
        trial(
            "bpftool_shows_named_fields",
            &[needs::missing_dovecot, needs::missing_bpftool],
            named_fields,
        ),
    ]
}

/// Three silent connections to ManageSieve.
fn probe_thrice(attacker: &Client<'_>) -> Result<()> {
    (0..3).try_for_each(|_| attacker.probe(4190).map(drop))
}

fn probes(world: &World, family: Family) -> Result<()> {
    let dovecot = Dovecot::start(world)?;
    let _web = Greeter::start(world, 8080)?;
    let mut doveblock = Doveblock::start(world, dovecot.log(), &AGGRESSIVE)?;
    let attacker = Client::new(world, ATTACKER, family);
    let address = attacker.address().to_string();

    probe_thrice(&attacker)?;
    doveblock.wait_for(&[&address, "no-auth-attempts", "1/3"])?;
    let ban = doveblock.wait_for_ban(&subject(attacker.address()))?;
    ensure!(ban["attempts"] == 3 && ban["jail"] == "dovecot", "{ban}");
    attacker.shut_out(4190)?;
    attacker.shut_out(143)?;
    let ban = doveblock.listed(&subject(attacker.address()))?.unwrap_or_default();
    ensure!(ban["dropped_packets"].as_u64() >= Some(2), "{ban}");

    // Everybody else, and everything else, goes on.
    Client::new(world, SECOND, family).probe(4190)?;
    attacker.probe(8080)?;
    Ok(())
}

fn guesses(world: &World, family: Family) -> Result<()> {
    let dovecot = Dovecot::start(world)?;
    let mut doveblock = Doveblock::start(world, dovecot.log(), &["--maxretry", "3"])?;

    // In normal mode a silent probe is nothing.
    let quiet = Client::new(world, SECOND, family);
    for _ in 0..4 {
        quiet.probe(4190)?;
    }
    let attacker = Client::new(world, ATTACKER, family);
    for protocol in [Protocol::Imap, Protocol::Pop3, Protocol::Sieve] {
        attacker.guess(protocol)?;
    }
    doveblock.wait_for(&["ban ", "auth-failed"])?;
    doveblock.wait_for_ban(&subject(attacker.address()))?;
    attacker.shut_out(143)?;
    ensure!(doveblock.listed(&subject(quiet.address()))?.is_none(), "probes banned in normal mode");
    quiet.probe(4190)?;
    Ok(())
}

fn one_network(world: &World) -> Result<()> {
    let dovecot = Dovecot::start(world)?;
    let doveblock = Doveblock::start(world, dovecot.log(), &AGGRESSIVE)?;
    let [first, second, third] = ATTACKERS_OTHERS;
    for host in [first, second, third] {
        Client::new(world, host, Family::V6).probe(4190)?;
    }
    let first = Client::new(world, first, Family::V6);
    doveblock.wait_for_ban(&subject(first.address()))?;
    // An address of that network which has not been heard of is shut out as well.
    Client::new(world, ATTACKER, Family::V6).shut_out(4190)?;
    Client::new(world, SECOND, Family::V6).probe(4190)?;
    Ok(())
}

fn ends_without(world: &World, signal: Signal) -> Result<()> {
    let dovecot = Dovecot::start(world)?;
    let options = [&AGGRESSIVE[..], &["--bantime", "6s"]].concat();
    let mut doveblock = Doveblock::start(world, dovecot.log(), &options)?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    probe_thrice(&attacker)?;
    doveblock.wait_for_ban(&subject(attacker.address()))?;
    doveblock.signal(signal)?;
    attacker.shut_out(4190)?;
    wait::until(LIMIT, "the ban to end by itself", || {
        let greeting = attacker.greet(4190, std::time::Duration::from_secs(1))?;
        Ok(matches!(greeting, Greeting::Banner(_)).then_some(()))
    })
}

/// Into the kernel's map and into the list, and over a restart.
fn for_ever(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let config = world.claim.dir().join("for-ever.conf");
    fs::write(&config, "[dovecot]\nmode = aggressive\nmaxretry = 3\nbantime = -1\n")?;
    let options = ["--config", &config.to_string_lossy()];
    let recording = Recording::new(&log);
    recording.append("")?;
    let doveblock = Doveblock::start(world, &log, &options)?;
    let attacker = ATTACKER.on(Family::V4);
    (0..3).try_for_each(|_| recording.probe(attacker))?;
    let check = |doveblock: &Doveblock<'_>| {
        let ban = doveblock.wait_for_ban(&subject(attacker))?;
        ensure!(ban["expires_at"].is_null() && ban["banned_at"].is_string(), "{ban}");
        let entry = &dump(world, "bans_v4")?[0]["formatted"]["value"];
        ensure!(entry["expires"] == NEVER, "{entry}");
        Ok(())
    };
    check(&doveblock)?;
    let list = doveblock.expect(&["list"])?;
    ensure!(list.contains(&attacker.to_string()), "{list}");
    doveblock.kill()?;
    check(&Doveblock::start(world, &log, &options)?)
}

const FIELDS: [&str; 6] =
    ["expires", "dropped_packets", "dropped_bytes", "last_seen", "banned_at", "attempts"];

fn named_fields(world: &World) -> Result<()> {
    let dovecot = Dovecot::start(world)?;
    let doveblock = Doveblock::start(world, dovecot.log(), &AGGRESSIVE)?;
    for family in [Family::V4, Family::V6] {
        let attacker = Client::new(world, ATTACKER, family);
        probe_thrice(&attacker)?;
        doveblock.wait_for_ban(&subject(attacker.address()))?;
    }
    for map in ["bans_v4", "bans_v6"] {
        let entries = dump(world, map)?;
        let entry = &entries[0]["formatted"];
        ensure!(entry["key"]["addr"].is_array(), "{entries}");
        for field in FIELDS {
            ensure!(entry["value"][field].is_u64(), "{field} in {map}: {entries}");
        }
    }
    let counters = dump(world, "counters")?.to_string();
    ensure!(counters.contains("dropped_packets"), "{counters}");
    let ports = dump(world, "ports")?.to_string();
    ensure!(ports.contains("4190"), "{ports}");
    Ok(())
}
