//! `action = reset` against real clients, and what the log and the lists say of dropped packets.

use std::{fs, net::UdpSocket, time::Duration};

use anyhow::{Result, ensure};
use aya::programs::{Xdp as Program, xdp::XdpMode};
use aya_obj::programs::XdpAttachType;
use blocker_tests::{
    client::{Client, Greeting},
    doveblock::{Doveblock, subject},
    greeter::Greeter,
    netns::{ATTACKER, Family, SECOND, SERVER, World},
    recording::Recording,
    wait::{self, LIMIT},
};
use libtest_mimic::Trial;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_banned_client_is_refused_at_once_in_native_mode", &[], |world| {
            refused(world, "native")
        }),
        trial("a_banned_client_is_refused_at_once_in_generic_mode", &[], |world| {
            refused(world, "generic")
        }),
        trial("the_first_dropped_packet_of_a_ban_is_logged", &[], first_packet),
        trial("protocol_all_guards_udp_as_well", &[], udp),
    ]
}

/// Starts with `lines` in the section of the jail.
fn start<'w>(world: &'w World, lines: &str, more: &[&str]) -> Result<Doveblock<'w>> {
    let log = world.claim.dir().join("mail.log");
    Recording::new(&log).append("")?;
    let config = world.claim.dir().join("doveblock.conf");
    fs::write(&config, format!("[dovecot]\n{lines}\n"))?;
    let config = config.display().to_string();
    Doveblock::start(world, &log, &[&["--config", &config], more].concat())
}

fn refused(world: &World, mode: &str) -> Result<()> {
    let _imap = Greeter::start(world, 143)?;
    let doveblock = start(world, "action = reset", &["--xdp-mode", mode])?;
    // What XDP sends in native mode, a veth end takes only if it has a program of its own
    // (veth_xdp_flush in Linux). Any that passes packets will do.
    let _taker = world.client.enter(|| {
        let pin = world.claim.pins().join("doveblock");
        let mut program = Program::from_pin(pin, XdpAttachType::Interface)?;
        program.attach(c"net0", XdpMode::Driver)?;
        Ok(program)
    })?;
    for family in [Family::V4, Family::V6] {
        let attacker = Client::new(world, ATTACKER, family);
        attacker.probe(143)?;
        doveblock.expect(&["ban", &attacker.address().to_string(), "--for", "1h"])?;
        // Long before a second SYN would be sent.
        let greeting = attacker.greet(143, Duration::from_millis(900))?;
        ensure!(greeting == Greeting::Refused, "{family:?}: {greeting}");
        Client::new(world, SECOND, family).probe(143)?;
        let ban = doveblock.listed(&subject(attacker.address()))?.unwrap_or_default();
        ensure!(ban["dropped_packets"].as_u64() >= Some(1), "{ban}");
        ensure!(ban["last_seen"].is_string(), "{ban}");
    }
    let counters = doveblock.json(&["status"])?["counters"].clone();
    ensure!(counters["answered_reset"].as_u64() >= Some(2), "{counters}");
    let status = doveblock.expect(&["status"])?;
    ensure!(status.contains("answered with a reset"), "{status}");
    Ok(())
}

fn first_packet(world: &World) -> Result<()> {
    let mut doveblock = start(world, "", &[])?;
    for family in [Family::V4, Family::V6] {
        let attacker = Client::new(world, ATTACKER, family);
        let address = attacker.address().to_string();
        doveblock.expect(&["ban", &address, "--for", "1h"])?;
        let ban = doveblock.listed(&subject(attacker.address()))?.unwrap_or_default();
        ensure!(ban["last_seen"].is_null(), "{ban}");
        attacker.shut_out(4190)?;
        attacker.shut_out(143)?;
        doveblock.wait_for(&["first packet of banned", &address, "port 4190"])?;
    }
    let said = doveblock.whole_log().matches("first packet").count();
    ensure!(said == 2, "said {said} times");
    Ok(())
}

fn udp(world: &World) -> Result<()> {
    const PORT: u16 = 4190;
    let doveblock = start(world, "protocol = all", &[])?;
    let server = world.server.enter(|| {
        let socket = UdpSocket::bind((SERVER.v4, PORT))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    })?;
    let send = |from: std::net::Ipv4Addr| {
        world.client.enter(|| {
            UdpSocket::bind((from, 0))?.send_to(b"x", (SERVER.v4, PORT))?;
            Ok(())
        })
    };
    let mut buffer = [0; 8];
    let mut received = || {
        wait::until(LIMIT, "a datagram", || {
            Ok(server.recv_from(&mut buffer).ok().map(|(_, from)| from.ip()))
        })
    };
    send(ATTACKER.v4)?;
    ensure!(received()? == ATTACKER.on(Family::V4));
    doveblock.expect(&["ban", &ATTACKER.v4.to_string(), "--for", "1h"])?;
    send(ATTACKER.v4)?;
    send(SECOND.v4)?;
    ensure!(received()? == SECOND.on(Family::V4), "the banned one's datagram came through");
    let counters = doveblock.json(&["status"])?["counters"].clone();
    ensure!(counters["dropped_udp"] == 1, "{counters}");
    Ok(())
}
