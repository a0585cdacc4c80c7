//! Real packets against the real daemon, over a veth pair and over two virtio network cards
//! that QEMU joins.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use blocker_tests::{
    client::{Client, Greeting},
    doveblock::{Doveblock, is_attached, subject, verb},
    greeter::Greeter,
    netns::{ATTACKER, Family, SECOND, SERVER_LINK, Wire, World},
    process::run,
    wait::{self, LIMIT},
};
use rustix::system::uname;

/// A guarded port, and one that is none.
pub(crate) const MAIL: u16 = 143;
const WEB: u16 = 8080;

/// Attached, left alone by `kill -9`, adopted and replaced, and taken away.
pub(crate) fn loader() -> Result<String> {
    let world = World::new()?;
    let _mail = Greeter::start(&world, MAIL)?;
    let mut doveblock = start(&world)?;
    let mode = mode(&doveblock)?;
    let attacker = Client::new(&world, ATTACKER, Family::V4);
    attacker.probe(MAIL)?;
    doveblock.expect(&["ban", &attacker.address().to_string(), "--for", "1h"])?;
    attacker.shut_out(MAIL)?;

    doveblock.kill()?;
    attacker.shut_out(MAIL)?;
    doveblock = start(&world)?;
    let log = doveblock.whole_log();
    ensure!(log.contains("bans stay in force"), "the restart did not adopt the link:\n{log}");
    attacker.shut_out(MAIL)?;
    ensure!(
        doveblock.listed(&subject(attacker.address()))?.is_some(),
        "a restart does not know the ban"
    );
    ensure!(doveblock.stop()? == 0, "it does not stop well");
    attacker.shut_out(MAIL)?;

    let detached = verb(&world, &["detach"])?;
    ensure!(detached.status.success(), "detach: {}", String::from_utf8_lossy(&detached.stderr));
    ensure!(!is_attached(&world)?, "detach left the program attached");
    attacker.probe(MAIL)?;
    Ok(format!("{mode} mode, adopted after kill -9, detached; {}", degraded(&log)?))
}

/// What the daemon says this kernel lacks. It has to be what it does lack.
fn degraded(log: &str) -> Result<String> {
    let release = uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        bail!("the kernel calls itself {release}")
    };
    let says_so = log.contains("no coarse clock");
    ensure!(says_so == ((major, minor) < (5, 11)), "on {release} the log says:\n{log}");
    Ok(if says_so { "no coarse clock, and it says so" } else { "nothing lacking" }.to_owned())
}

pub(crate) fn on_veth() -> Result<String> {
    drops_the_banned(&World::new()?)
}

pub(crate) fn on_virtio() -> Result<String> {
    let cards = virtio_cards()?;
    let [server, client] = cards.as_slice() else {
        bail!("expected two virtio network cards, found {cards:?}")
    };
    let world = World::over(Wire::Links { server, client })?;
    let plain = drops_the_banned(&world)?;
    let jumbo = drops_with_jumbo_frames(&world)?;
    Ok(format!("{plain}; {jumbo} mode with jumbo frames"))
}

/// The driver may refuse frames that do not fit a page, and then it has to be the network
/// stack, and the log has to say so.
fn drops_with_jumbo_frames(world: &World) -> Result<String> {
    verb(world, &["detach"])?;
    run(world.server.command("ip").args(["link", "set", "dev", SERVER_LINK, "mtu", "9000"]))?;
    let _mail = Greeter::start(world, MAIL)?;
    let doveblock = start(world)?;
    let mode = mode(&doveblock)?;
    let log = doveblock.whole_log();
    ensure!(
        mode == "native" || log.contains("falling back to generic"),
        "generic mode without a word:\n{log}"
    );
    let attacker = Client::new(world, ATTACKER, Family::V4);
    attacker.probe(MAIL)?;
    doveblock.expect(&["ban", &attacker.address().to_string(), "--for", "1h"])?;
    attacker.shut_out(MAIL)?;
    Client::new(world, SECOND, Family::V4).probe(MAIL)?;
    Ok(mode)
}

fn virtio_cards() -> Result<Vec<String>> {
    let mut cards = Vec::new();
    for entry in fs::read_dir("/sys/class/net")? {
        let entry = entry?;
        let driver = fs::read_link(entry.path().join("device/driver")).unwrap_or_default();
        if driver.ends_with("virtio_net") {
            cards.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    cards.sort();
    Ok(cards)
}

/// A banned source is shut out of the guarded port alone, nobody else is, and the ban ends
/// with no daemon there to end it.
fn drops_the_banned(world: &World) -> Result<String> {
    let _mail = Greeter::start(world, MAIL)?;
    let _web = Greeter::start(world, WEB)?;
    let doveblock = start(world)?;
    let mode = mode(&doveblock)?;
    let mut dropped = Vec::new();
    for family in [Family::V4, Family::V6] {
        let attacker = Client::new(world, ATTACKER, family);
        let other = Client::new(world, SECOND, family);
        let address = attacker.address().to_string();
        attacker.probe(MAIL)?;
        doveblock.expect(&["ban", &address, "--for", "1h"])?;
        attacker.shut_out(MAIL)?;
        attacker.probe(WEB)?;
        other.probe(MAIL)?;
        let ban = doveblock.listed(&subject(attacker.address()))?.unwrap_or_default();
        let packets = ban["dropped_packets"].as_u64().unwrap_or(0);
        ensure!(packets >= 1, "no packet was counted for the ban: {ban}");
        dropped.push(packets);
        // A new ban of the same address takes the place of the first.
        doveblock.expect(&["unban", &address])?;
        doveblock.expect(&["ban", &address, "--for", "3s"])?;
    }
    doveblock.kill()?;
    for family in [Family::V4, Family::V6] {
        let attacker = Client::new(world, ATTACKER, family);
        wait::until(LIMIT, "the ban to end by itself", || {
            let greeting = attacker.greet(MAIL, Duration::from_secs(1))?;
            Ok(matches!(greeting, Greeting::Banner(_)).then_some(()))
        })?;
    }
    Ok(format!("{mode} mode, {} packets dropped", dropped.iter().sum::<u64>()))
}

pub(crate) fn start(world: &World) -> Result<Doveblock<'_>> {
    let log = world.claim.dir().join("mail.log");
    fs::write(&log, "").context("making an empty mail log")?;
    let doveblock = Doveblock::start(world, &log, &[])?;
    print!("{}", doveblock.whole_log());
    Ok(doveblock)
}

/// `native` or `generic`, by the daemon's own word.
fn mode(doveblock: &Doveblock<'_>) -> Result<String> {
    let log = doveblock.whole_log();
    let said = format!("{SERVER_LINK}: attached in ");
    let mode = log.lines().rev().find_map(|line| line.split_once(&said)?.1.split(' ').next());
    mode.map(str::to_owned).with_context(|| format!("no word on how it attached:\n{log}"))
}
