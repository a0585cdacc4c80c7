//! What is never dropped: ports that are not guarded, the host itself, whom an admin spares.

use anyhow::{Result, ensure};
use blocker_tests::{
    client::Client,
    doveblock::{Doveblock, subject},
    dovecot::Dovecot,
    netns::{ATTACKER, Family, SECOND, SERVER, World},
    recording::Recording,
};
use libtest_mimic::Trial;

use crate::{DOVECOT, trial};

const STRICT: [&str; 4] = ["--mode", "aggressive", "--maxretry", "2"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("only_the_given_ports_are_guarded", DOVECOT, ports),
        trial("ignoreip_is_never_banned", DOVECOT, ignoreip),
        trial("the_host_itself_is_never_banned", DOVECOT, ignoreself),
        trial("a_dry_run_bans_nobody", DOVECOT, dry_run),
        trial("the_trace_is_there_when_asked_for", &[], trace),
    ]
}

fn ports(world: &World) -> Result<()> {
    let dovecot = Dovecot::start(world)?;
    let options = [&STRICT[..], &["--port", "4190"]].concat();
    let doveblock = Doveblock::start(world, dovecot.log(), &options)?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    attacker.probe(4190)?;
    attacker.probe(143)?;
    doveblock.wait_for_ban(&subject(attacker.address()))?;
    attacker.shut_out(4190)?;
    attacker.probe(143)?;
    Ok(())
}

fn ignoreip(world: &World) -> Result<()> {
    let dovecot = Dovecot::start(world)?;
    let spared = format!("{}, 2001:db8:a::/48", ATTACKER.v4);
    let options = [&STRICT[..], &["--verbose", "--ignoreip", &spared]].concat();
    let mut doveblock = Doveblock::start(world, dovecot.log(), &options)?;
    for family in [Family::V4, Family::V6] {
        let client = Client::new(world, ATTACKER, family);
        for _ in 0..4 {
            client.probe(4190)?;
        }
        for _ in 0..4 {
            doveblock.wait_for(&[&client.address().to_string(), "ignore list"])?;
        }
        client.probe(4190)?;
    }
    ensure!(doveblock.json(&["list"])?.as_array().is_some_and(Vec::is_empty));

    // Not even when an admin bans the whole network by mistake.
    doveblock.expect(&["ban", "192.0.2.0/24", "--for", "1h"])?;
    Client::new(world, SECOND, Family::V4).shut_out(4190)?;
    Client::new(world, ATTACKER, Family::V4).probe(4190)?;
    Ok(())
}

fn ignoreself(world: &World) -> Result<()> {
    let dovecot = Dovecot::start(world)?;
    let options = [&STRICT[..], &["--verbose"]].concat();
    let mut doveblock = Doveblock::start(world, dovecot.log(), &options)?;
    let own = [SERVER.on(Family::V4), SERVER.on(Family::V6), [127, 0, 0, 1].into()];
    for address in own {
        let client = Client::on_server(world, address);
        for _ in 0..4 {
            client.probe(4190)?;
            doveblock.wait_for(&[&address.to_string(), "ignore list"])?;
        }
    }
    ensure!(doveblock.json(&["list"])?.as_array().is_some_and(Vec::is_empty));
    Ok(())
}

fn dry_run(world: &World) -> Result<()> {
    let dovecot = Dovecot::start(world)?;
    let options = [&STRICT[..], &["--dry-run"]].concat();
    let doveblock = Doveblock::start(world, dovecot.log(), &options)?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    attacker.probe(4190)?;
    attacker.probe(4190)?;
    doveblock.wait_for_ban(&subject(attacker.address()))?;
    attacker.probe(4190)?;
    ensure!(!world.claim.pins().exists(), "a dry run pinned something");
    ensure!(doveblock.json(&["status"])?["dry_run"] == true);
    Ok(())
}

fn trace(world: &World) -> Result<()> {
    for (options, expected) in [(&["--trace"][..], true), (&[], false)] {
        let log = Recording::new(&world.claim.dir().join("mail.log"));
        log.append("")?;
        let mut doveblock = Doveblock::start(world, &world.claim.dir().join("mail.log"), options)?;
        doveblock.expect(&["ban", &ATTACKER.v4.to_string()])?;
        let attacker = Client::new(world, ATTACKER, Family::V4);
        attacker.shut_out(4190)?;
        if expected {
            doveblock.wait_for(&[&attacker.address().to_string(), "to port 4190: drop"])?;
        } else {
            // The answer to this comes after anything the trace could have said.
            doveblock.expect(&["unban", "--all"])?;
            let said = doveblock.lines()?;
            ensure!(!said.iter().any(|line| line.contains(": drop")), "{said:?}");
        }
        doveblock.stop()?;
        blocker_tests::doveblock::verb(world, &["detach"])?;
    }
    Ok(())
}
