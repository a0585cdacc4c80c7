//! What a start takes over, and what one that fails leaves behind: nothing.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use blocker_user::firewall::{self, Firewall as _, PortRange, Xdp};
use libtest_mimic::Trial;

use crate::{DROP, HOUR, Kernel, PASS, options, tcp, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_prefix_banned_under_another_ipv6_prefix_stays_banned", other_prefix),
        trial("with_no_room_for_networks_it_starts_all_the_same", full),
        trial("a_start_that_is_not_committed_changes_nothing", not_committed),
        trial("a_first_start_that_is_not_committed_leaves_no_pin", first_not_committed),
        trial("a_stop_that_detaches_takes_nothing_of_its_successor", successor),
        trial("what_is_no_pin_of_ours_stops_neither_a_start_nor_a_detach", strangers),
    ]
}

fn successor(pins: &Path) -> Result<()> {
    let mut first = Kernel::open(pins, 64, false)?;
    first.ban("192.0.2.7", HOUR)?;
    first.firewall.detach()?;
    ensure!(!pins.exists(), "pins are left");
    let mut second = Kernel::open(pins, 64, false)?;
    second.expect(PASS, "192.0.2.7", 25)?;
    second.ban("192.0.2.7", HOUR)?;
    first.firewall.detach()?;
    drop(first);
    ensure!(Kernel::open(pins, 64, false).is_err(), "the second one's lock does not hold");
    drop(second);
    Kernel::open(pins, 64, false)?.expect(DROP, "192.0.2.7", 25)
}

fn other_prefix(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("2001:db8:0:1::/64", HOUR)?;
    drop(kernel);
    let mut kernel = Kernel::open(pins, 48, false)?;
    kernel.expect(DROP, "2001:db8:0:1::9", 25)?;
    kernel.expect(PASS, "2001:db8:0:2::9", 25)?;
    ensure!(kernel.firewall.unban(&"2001:db8:0:1::/64".parse()?)?);
    kernel.expect(PASS, "2001:db8:0:1::9", 25)
}

fn full(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    for net in 0..65_535_u32 {
        let [_, a, b, c] = (net * 2).to_be_bytes();
        kernel.ban(&format!("10.{a}.{b}.{c}/31"), HOUR)?;
    }
    for prefix in ["2001:db8:0:1::/64", "2001:db8:0:2::/64"] {
        kernel.ban(prefix, HOUR)?;
    }
    drop(kernel);
    // One of the two finds room.
    let kernel = Kernel::open(pins, 48, false)?;
    let packet = |net| tcp(format!("2001:db8:0:{net}::9").parse()?, 25);
    let dropped = [kernel.verdict(&packet(1)?)?, kernel.verdict(&packet(2)?)?];
    ensure!(dropped.contains(&DROP) && dropped.contains(&PASS), "{dropped:?}");
    drop(kernel);
    let kernel = Kernel::open(pins, 64, false)?;
    kernel.expect(DROP, "2001:db8:0:1::9", 25)?;
    kernel.expect(DROP, "2001:db8:0:2::9", 25)
}

fn not_committed(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("192.0.2.7", HOUR)?;
    kernel.ban("2001:db8:0:1::/64", HOUR)?;
    kernel.ban("198.51.100.9", HOUR)?;
    kernel.firewall.allow(&["198.51.100.0/24".parse()?])?;
    let Kernel { firewall, program, .. } = kernel;
    drop(firewall);
    let names = || -> Result<Vec<_>> {
        let mut names: Vec<_> =
            fs::read_dir(pins)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
        names.sort();
        Ok(names)
    };
    // In the way of the very last step.
    let blocked = pins.join("doveblock_next");
    fs::create_dir(&blocked)?;
    let before = names()?;

    let mut other = options(pins, 48, false);
    other.ports = vec![PortRange { first: 80, last: 80 }];
    for committed in [false, true] {
        let mut failing = Xdp::open(&other)?;
        failing.allow(&["192.0.2.0/24".parse()?])?;
        if committed {
            ensure!(failing.commit().is_err(), "pinned through a directory");
        }
        drop(failing);
        ensure!(names()? == before, "{before:?} became {:?}", names()?);
    }
    fs::remove_dir(&blocked)?;
    let firewall = Xdp::open(&options(pins, 64, false))?;
    // The maps as that start found them, looked at by the program that ran before it.
    let kernel = Kernel { firewall, program, pins: pins.to_owned() };
    for source in ["192.0.2.7", "2001:db8:0:1::9"] {
        kernel.expect(DROP, source, 25)?;
        kernel.expect(PASS, source, 80)?;
    }
    kernel.expect(PASS, "198.51.100.9", 25)?;
    ensure!(kernel.firewall.view()?.bans()?.len() == 3);
    Ok(())
}

fn first_not_committed(pins: &Path) -> Result<()> {
    firewall::detach(pins)?;
    let below = pins.join("a/b");
    drop(Xdp::open(&options(&below, 64, false))?);
    ensure!(!pins.exists(), "{} is left", pins.display());
    // In a directory that was there before it stays, empty.
    fs::create_dir(pins)?;
    drop(Xdp::open(&options(pins, 64, false))?);
    let left: Vec<_> = fs::read_dir(pins)?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(left.is_empty(), "{left:?} is left");
    Ok(())
}

fn strangers(pins: &Path) -> Result<()> {
    drop(Kernel::open(pins, 64, false)?);
    let stranger = pins.join("link_foo");
    fs::create_dir(&stranger)?;
    drop(Kernel::open(pins, 64, false)?);
    let detached = firewall::detach(pins)?.context("nothing to detach")?;
    ensure!(detached.interfaces.is_empty(), "{detached:?}");
    ensure!(fs::read_dir(pins)?.count() == 1, "more than the stranger is left");
    fs::remove_dir(&stranger)?;

    // One name that cannot be removed does not keep the others.
    drop(Kernel::open(pins, 64, false)?);
    let blocked = pins.join("doveblock_next");
    fs::create_dir(&blocked)?;
    let error = firewall::detach(pins).err().context("removed a directory")?;
    ensure!(error.to_string().contains("doveblock_next"), "{error}");
    ensure!(fs::read_dir(pins)?.count() == 1, "the detach left pins");
    // Nor does a start that fails because of it leave anything.
    let error = Kernel::open(pins, 64, false).err().context("pinned through a directory")?;
    ensure!(error.to_string().contains("pin the kernel program"), "{error}");
    ensure!(fs::read_dir(pins)?.count() == 1, "the failed start left pins");
    fs::remove_dir(&blocked)?;
    Ok(())
}
