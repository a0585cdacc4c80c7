//! Maps grow under a running daemon: no packet of a banned source passes meanwhile, and whoever
//! holds the maps goes on with the larger ones.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::MapInfo;
use blocker_tests::{
    client::{Client, Greeting},
    doveblock::{Doveblock, subject, verb},
    greeter::Greeter,
    holder::Holder,
    netns::{ATTACKER, Family, SECOND, SERVER_LINK, World},
    process::run,
    recording::{Recording, probe},
    wait::{self, LIMIT},
};
use jiff::ZonedDateTime;
use libtest_mimic::Trial;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("no_packet_passes_while_maps_grow_and_daemons_are_killed", &[], under_fire),
        trial("whoever_holds_the_maps_goes_on_with_the_larger_ones", &[], followed),
        trial("growing_that_fails_leaves_the_old_maps_in_force", &[], taken_back),
    ]
}

const STRICT: [&str; 6] = ["--mode", "aggressive", "--maxretry", "1", "--bantime", "2h"];
/// What a map has room for before it has grown, and by how much it grows.
const FIRST: u32 = 4096;
const FACTOR: u32 = 4;

fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + number).into()
}

fn v6(number: u32) -> IpAddr {
    Ipv6Addr::from(0x2001_0db8_ffff << 80 | u128::from(number) << 64).into()
}

/// The log, with a silent connection of each of `numbers` in it.
fn record(log: &Path, numbers: std::ops::Range<u32>, address: fn(u32) -> IpAddr) -> Result<()> {
    let now = ZonedDateTime::now();
    let lines: String = numbers.map(|number| probe(address(number), &now)).collect();
    Recording::new(log).append(&lines)
}

fn log(world: &World) -> Result<PathBuf> {
    let log = world.claim.dir().join("mail.log");
    Recording::new(&log).append("")?;
    Ok(log)
}

/// How many entries a pinned map can have.
fn room(world: &World, name: &str) -> Result<u32> {
    Ok(MapInfo::from_pin(world.claim.pins().join(name)).context("the pinned map")?.max_entries())
}

fn no_pins_are_left_over(world: &World) -> Result<()> {
    let names = fs::read_dir(world.claim.pins())?.flatten().map(|pin| pin.file_name());
    let left: Vec<_> = names
        .filter(|name| ["_next", "_grown"].iter().any(|end| name.to_string_lossy().ends_with(end)))
        .collect();
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

fn under_fire(world: &World) -> Result<()> {
    let log = log(world)?;
    let _sieve = Greeter::start(world, 4190)?;
    let attackers = [Family::V4, Family::V6].map(|family| Client::new(world, ATTACKER, family));
    let doveblock = Doveblock::start(world, &log, &STRICT)?;
    for attacker in &attackers {
        doveblock.expect(&["ban", &attacker.address().to_string()])?;
        attacker.shut_out(4190)?;
    }
    doveblock.kill()?;

    let over = AtomicBool::new(false);
    let (streams, grown) = thread::scope(|scope| {
        let streams = attackers.map(|attacker| {
            let over = &over;
            scope.spawn(move || -> (u32, u32) {
                let (mut sent, mut passed) = (0, 0);
                while !over.load(Ordering::Relaxed) {
                    // Any answer is one too many, and so is half of one.
                    let greeting = attacker.greet(4190, Duration::from_millis(1));
                    passed += u32::from(!matches!(greeting, Ok(Greeting::TimedOut)));
                    sent += 1;
                }
                (sent, passed)
            })
        });
        let grown = grow_and_kill(world, &log);
        over.store(true, Ordering::Relaxed);
        (streams.map(|stream| stream.join()), grown)
    });
    let lines = grown?;
    for stream in streams {
        let Ok((sent, passed)) = stream else { bail!("a stream of packets broke off") };
        ensure!(sent > 100 && passed == 0, "of {sent} packets of a banned source {passed} passed");
    }

    let doveblock = Doveblock::start(world, &log, &STRICT)?;
    let everybody = usize::try_from(2 * lines + 2)?;
    wait::until(LIMIT, "every ban", || {
        let list = doveblock.json(&["list"])?;
        Ok(list.as_array().is_some_and(|bans| bans.len() == everybody).then_some(()))
    })?;
    for attacker in &attackers {
        let ban = doveblock.listed(&subject(attacker.address()))?.unwrap_or_default();
        ensure!(ban["dropped_packets"].as_u64() >= Some(100), "{ban}");
        attacker.shut_out(4190)?;
    }
    no_pins_are_left_over(world)?;
    doveblock.stop()?;
    ensure!(verb(world, &["detach"])?.status.success() && !world.claim.pins().exists());
    Ok(())
}

/// Daemons that are killed while they grow, each a bit later than the one before, until both
/// maps have grown twice. Returns how many of each family the log tells of.
fn grow_and_kill(world: &World, log: &Path) -> Result<u32> {
    const STEPS: [u32; 2] = [FIRST, FIRST * FACTOR];
    let mut lines = 0;
    for step in STEPS {
        for (name, address) in [("bans_v4", v4 as fn(u32) -> IpAddr), ("bans_v6", v6)] {
            record(log, lines..step + 1, address)?;
            for delay in (0..200).step_by(4) {
                let mut doveblock = Doveblock::spawn(world, log, &STRICT)?;
                doveblock.wait_for(&["making room"])?;
                thread::sleep(Duration::from_millis(delay));
                doveblock.kill()?;
                if room(world, name)? > step {
                    break;
                }
            }
            ensure!(room(world, name)? == step * FACTOR, "{name} does not grow in 200 ms");
        }
        lines = step + 1;
    }
    Ok(lines)
}

fn followed(world: &World) -> Result<()> {
    let log = log(world)?;
    let _sieve = Greeter::start(world, 4190)?;
    let imap = Holder::listen(world, Ipv6Addr::UNSPECIFIED.into(), 143)?;
    let mut doveblock = Doveblock::start(world, &log, &[&STRICT[..], &["--trace"]].concat())?;
    let attackers = [Family::V4, Family::V6].map(|family| Client::new(world, ATTACKER, family));
    let [first, _] = attackers;
    doveblock.expect(&["ban", &first.address().to_string()])?;
    first.shut_out(4190)?;
    doveblock.expect(&["unban", &first.address().to_string()])?;
    let before = (threads(&doveblock)?, descriptors(&doveblock)?);
    for (lines, address) in [(0..FIRST + 1, v4 as fn(u32) -> IpAddr), (0..FIRST + 1, v6)] {
        record(&log, lines, address)?;
        doveblock.wait_for(&["there is more room"])?;
    }
    wait::until(LIMIT, "as many threads and descriptors as before", || {
        Ok((before == (threads(&doveblock)?, descriptors(&doveblock)?)).then_some(()))
    })
    .with_context(|| {
        format!("{before:?}, now {:?}", (threads(&doveblock), descriptors(&doveblock)))
    })?;
    for attacker in attackers {
        let ip = attacker.address().to_string();
        let mut held = imap.hold(&attacker)?;
        doveblock.expect(&["ban", &ip])?;
        held.expect_closed()?;
        attacker.shut_out(4190)?;
        let parts = ["first packet of banned", &ip];
        doveblock.wait_for(&parts)?;
        let ban = doveblock.listed(&subject(attacker.address()))?.unwrap_or_default();
        ensure!(ban["dropped_packets"].as_u64() >= Some(1), "{ban}");
    }
    ensure!(doveblock.whole_log().matches("to port 4190: drop").count() >= 3);
    Client::new(world, SECOND, Family::V4).probe(4190)?;
    ensure!(doveblock.json(&["list"])?.as_array().map(Vec::len) == Some(2 * 4097 + 2));

    // An interface that comes back is given the program that reads the larger maps.
    run(world.server.command("ip").args(["link", "delete", SERVER_LINK]))?;
    doveblock.wait_for(&["is gone"])?;
    world.connect()?;
    doveblock.wait_for(&["is back and guarded again"])?;
    attackers.iter().try_for_each(|attacker| attacker.shut_out(4190))
}

/// The names of its threads.
fn threads(doveblock: &Doveblock<'_>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for task in fs::read_dir(format!("/proc/{}/task", doveblock.id()))? {
        // One may end while it is looked at.
        names.extend(fs::read_to_string(task?.path().join("comm")));
    }
    names.sort();
    Ok(names)
}

fn descriptors(doveblock: &Doveblock<'_>) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", doveblock.id()))?.count())
}

fn taken_back(world: &World) -> Result<()> {
    let log = log(world)?;
    let _sieve = Greeter::start(world, 4190)?;
    let mut doveblock = Doveblock::start(world, &log, &STRICT)?;
    let attackers = [ATTACKER, SECOND].map(|host| Client::new(world, host, Family::V4));
    let [first, second] = attackers;
    // For longer than the others: it is not they that make room.
    doveblock.expect(&["ban", &first.address().to_string(), "--for", "1d"])?;
    // In the way of the last step, when the links run the new program already.
    let blocked = world.claim.pins().join("doveblock_next");
    fs::create_dir(&blocked)?;
    record(&log, 0..FIRST + 9, v4)?;
    doveblock.wait_for(&["there is no more room", "doveblock_next"])?;
    fs::remove_dir(&blocked)?;
    doveblock.wait_for(&["max_bans is reached"])?;
    first.shut_out(4190)?;
    second.probe(4190)?;
    // What is banned from now on is in the maps that the program reads.
    doveblock.expect(&["ban", &second.address().to_string(), "--for", "1d"])?;
    second.shut_out(4190)?;
    ensure!(doveblock.whole_log().matches("making room").count() == 1, "it tries again");
    ensure!(room(world, "bans_v4")? == FIRST);
    no_pins_are_left_over(world)
}
