//! A ban also frees the server: what the banned hold already is closed.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use anyhow::{Result, ensure};
use blocker_tests::{
    client::Client,
    doveblock::Doveblock,
    dovecot::Dovecot,
    holder::{Held, Holder},
    netns::{ATTACKER, ATTACKERS_OTHERS, Family, SECOND, USER, World},
    process::run,
    recording::Recording,
    wait::{self, LIMIT},
};
use libtest_mimic::Trial;

use crate::{DOVECOT, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_ban_closes_what_the_client_holds_by_ipv4", &[], |world| {
            closed(world, Ipv4Addr::UNSPECIFIED.into(), Family::V4)
        }),
        trial("a_ban_closes_what_the_client_holds_by_ipv6", &[], |world| {
            closed(world, Ipv6Addr::UNSPECIFIED.into(), Family::V6)
        }),
        trial("a_ban_closes_ipv4_at_a_socket_of_both_families", &[], |world| {
            closed(world, Ipv6Addr::UNSPECIFIED.into(), Family::V4)
        }),
        trial("a_banned_network_is_closed_except_who_is_allowed", &[], network),
        trial("connections_stay_where_the_option_says_so", &[], switched_off),
        trial("a_ban_frees_dovecot", DOVECOT, dovecot),
    ]
}

fn log(world: &World) -> Result<std::path::PathBuf> {
    let log = world.claim.dir().join("mail.log");
    Recording::new(&log).append("")?;
    Ok(log)
}

/// By a line of the log.
fn closed(world: &World, address: IpAddr, family: Family) -> Result<()> {
    let log = log(world)?;
    let [imap, web] = [143, 8080].map(|port| Holder::listen(world, address, port));
    let (imap, web) = (imap?, web?);
    let mut doveblock =
        Doveblock::start(world, &log, &["--mode", "aggressive", "--maxretry", "1"])?;
    let attacker = Client::new(world, ATTACKER, family);
    let mut held = (0..3).map(|_| imap.hold(&attacker)).collect::<Result<Vec<Held>>>()?;
    let mut elsewhere = web.hold(&attacker)?;
    let mut users = imap.hold(&Client::new(world, USER, family))?;

    let ip = attacker.address();
    Recording::new(&log).probe(ip)?;
    held.iter_mut().try_for_each(Held::expect_closed)?;
    doveblock.wait_for(&["closed 3 of the connections", &ip.to_string()])?;
    // By hand; and neither look takes other clients' connections, or those to other ports.
    let second = Client::new(world, SECOND, family);
    let mut held = imap.hold(&second)?;
    doveblock.expect(&["ban", &second.address().to_string()])?;
    held.expect_closed()?;
    users.expect_alive()?;
    elsewhere.expect_alive()?;
    Ok(())
}

fn network(world: &World) -> Result<()> {
    let log = log(world)?;
    let imap = Holder::listen(world, Ipv6Addr::UNSPECIFIED.into(), 143)?;
    let [other, allowed, ..] = ATTACKERS_OTHERS;
    let [spared, held] =
        [allowed, other].map(|host| imap.hold(&Client::new(world, host, Family::V4)));
    let (mut spared, mut held) = (spared?, held?);
    let mut user = imap.hold(&Client::new(world, USER, Family::V4))?;
    let doveblock = Doveblock::start(world, &log, &["--ignoreip", &allowed.v4.to_string()])?;
    doveblock.expect(&["ban", "192.0.2.0/28"])?;
    held.expect_closed()?;
    spared.expect_alive()?;
    user.expect_alive()?;
    // The same of IPv6, where the whole prefix is one client.
    let mut held = imap.hold(&Client::new(world, other, Family::V6))?;
    let mut user = imap.hold(&Client::new(world, USER, Family::V6))?;
    doveblock.expect(&["ban", &ATTACKER.v6.to_string()])?;
    held.expect_closed()?;
    user.expect_alive()?;
    Ok(())
}

fn switched_off(world: &World) -> Result<()> {
    let log = log(world)?;
    let config = world.claim.dir().join("doveblock.conf");
    fs::write(&config, "[dovecot]\nclose_connections = false\n")?;
    let imap = Holder::listen(world, Ipv6Addr::UNSPECIFIED.into(), 143)?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    let mut held = imap.hold(&attacker)?;
    let config = config.to_string_lossy();
    let doveblock = Doveblock::start(world, &log, &["--config", &config])?;
    doveblock.expect(&["ban", &attacker.address().to_string()])?;
    doveblock.expect(&["unban", &attacker.address().to_string()])?;
    held.expect_alive()?;
    // At its start, a daemon closes what earlier bans have left.
    doveblock.expect(&["ban", &attacker.address().to_string()])?;
    doveblock.stop()?;
    let _doveblock = Doveblock::start(world, &log, &[])?;
    held.expect_closed()
}

/// Who is connected to the server, as Linux tells it.
fn peers(world: &World) -> Result<String> {
    run(world.server.command("ss").args(["-Htn", "state", "connected"]))
}

fn dovecot(world: &World) -> Result<()> {
    let dovecot = Dovecot::start(world)?;
    let mut doveblock = Doveblock::start(world, dovecot.log(), &[])?;
    for family in [Family::V4, Family::V6] {
        let attacker = Client::new(world, ATTACKER, family);
        let ip = attacker.address().to_string();
        let _held = [143, 110].map(|port| attacker.connect(port));
        let holds = || Ok::<_, anyhow::Error>(peers(world)?.contains(&ip));
        wait::until(LIMIT, "the connections", || Ok(holds()?.then_some(())))?;
        doveblock.expect(&["ban", &ip])?;
        doveblock.wait_for(&["closed 2 of the connections", &ip])?;
        ensure!(!holds()?, "{ip} still holds something:\n{}", peers(world)?);
    }
    Ok(())
}
