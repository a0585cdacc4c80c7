//! Maps that grow while their bans are in force, and kernels that do not let them.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use aya::maps::MapInfo;
use blocker_user::{
    daemon::wall_clock,
    firewall::{self, Enforced, Firewall as _, Options, Order, Xdp},
};
use libtest_mimic::Trial;

use crate::{
    DROP, HOUR, Kernel, PASS, options,
    refused::{
        self, EINVAL, EMFILE, ENOMEM, MAP_CREATE, MAP_LOOKUP_BATCH, MAP_UPDATE_BATCH, OBJ_GET,
        PROG_LOAD,
    },
    trial,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_full_map_grows_and_keeps_bans_counters_and_verdicts", one_more),
        trial("at_max_bans_maps_grow_no_further_and_the_soonest_makes_room", to_the_end),
        trial("many_bans_at_once_find_room_before_they_are_written", many),
        trial("a_start_that_bans_before_it_is_committed_grows_too", before_commit),
        trial("a_start_keeps_a_map_in_use_and_gives_back_what_is_not", restarted),
        trial("without_memory_for_a_larger_map_the_soonest_makes_room", no_memory),
        trial("growing_that_fails_at_its_last_step_is_taken_back", taken_back),
        trial("a_detached_daemon_grows_nothing", detached),
        trial("one_by_one_bans_are_the_same_as_at_once", one_by_one),
    ]
}

/// What a map has before it has grown.
const FIRST: u32 = 4096;

fn with_max_bans(pins: &Path, max_bans: u32) -> Result<Options> {
    firewall::detach(pins)?;
    let mut options = options(pins, 64, false);
    options.max_bans = max_bans.try_into()?;
    Ok(options)
}

/// The id of a pinned map, and how many entries it can have.
fn map(pins: &Path, name: &str) -> Result<(u32, u32)> {
    let info = MapInfo::from_pin(pins.join(name)).with_context(|| name.to_owned())?;
    Ok((info.id(), info.max_entries()))
}

fn v4(number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    format!("10.{a}.{b}.{c}")
}

fn v6(number: u32) -> String {
    format!("2001:db8:{:x}:{:x}::/64", number >> 16, number & 0xffff)
}

/// Bans of the numbers in `numbers`, the higher ones for longer.
fn orders(numbers: std::ops::Range<u32>, subject: fn(u32) -> String) -> Result<Vec<Order>> {
    let now = wall_clock();
    let order = |number| {
        let subject = subject(number);
        let subject = subject.parse().or_else(|_| subject.parse().map(firewall::host))?;
        let lasts = Duration::from_secs(3600 + u64::from(number));
        Ok(Order { subject, banned_at: now, expires: Some(now.after(lasts)), attempts: 3 })
    };
    numbers.map(order).collect()
}

fn ban_all(firewall: &mut Xdp, orders: &[Order]) -> Result<()> {
    Ok(orders.iter().try_for_each(|order| firewall.ban(order))?)
}

fn sorted(mut bans: Vec<Enforced>) -> Vec<Enforced> {
    bans.sort_by_key(|ban| ban.order.subject);
    bans
}

fn no_pins_are_left_over(pins: &Path) -> Result<()> {
    let left: Vec<_> = fs::read_dir(pins)?
        .flatten()
        .map(|pin| pin.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with("_grown") || name.ends_with("_next"))
        .collect();
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

fn one_more(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open_with(&with_max_bans(pins, 100_000)?)?;
    let view = kernel.firewall.view()?;
    let prefixes = map(pins, "bans_v6")?;
    ensure!(map(pins, "bans_v4")?.1 == FIRST && prefixes.1 == FIRST);
    ban_all(&mut kernel.firewall, &orders(0..FIRST, v4)?)?;
    kernel.ban("198.51.100.0/24", HOUR)?;
    kernel.ban("2001:db8:0:1::/64", HOUR)?;
    kernel.firewall.allow(&["198.51.100.9/32".parse()?])?;
    for _ in 0..3 {
        kernel.expect(DROP, &v4(7), 25)?;
    }
    let before = sorted(view.bans()?);
    let totals = view.counters()?;
    ensure!(map(pins, "bans_v4")?.1 == FIRST, "it has grown too early");

    kernel.ban(&v4(FIRST), HOUR)?;
    ensure!(map(pins, "bans_v4")?.1 == 4 * FIRST, "{:?}", map(pins, "bans_v4")?);
    ensure!(map(pins, "bans_v6")? == prefixes, "the map of the other family is another one");
    no_pins_are_left_over(pins)?;
    kernel.follow()?;
    ensure!(kernel.firewall.evicted().is_empty(), "a ban had to make room");
    // Who read before reads on, in the new maps.
    let after = sorted(view.bans()?);
    let kept: Vec<_> = after.iter().filter(|ban| before.contains(ban)).collect();
    ensure!(kept.len() == before.len() && after.len() == before.len() + 1);
    ensure!(view.counters()? == totals);
    for source in [v4(0), v4(7), v4(FIRST), "198.51.100.8".into(), "2001:db8:0:1::9".into()] {
        kernel.expect(DROP, &source, 25)?;
    }
    kernel.expect(PASS, "198.51.100.9", 25)?;
    kernel.expect(PASS, &v4(FIRST + 1), 25)?;
    ensure!(kernel.firewall.unban(&format!("{}/32", v4(7)).parse()?)?);
    kernel.expect(PASS, &v4(7), 25)?;
    // The same of the other family, by the program that runs by now.
    kernel.firewall.ban_many(&orders(0..FIRST, v6)?)?;
    ensure!(map(pins, "bans_v6")? == prefixes, "it has grown too early");
    ban_all(&mut kernel.firewall, &orders(FIRST..FIRST + 1, v6)?)?;
    kernel.follow()?;
    ensure!(map(pins, "bans_v6")?.1 == 4 * FIRST);
    kernel.expect(DROP, "2001:db8:0:1000::1", 25)?;
    kernel.expect(DROP, &v4(FIRST), 25)
}

fn to_the_end(pins: &Path) -> Result<()> {
    let most = FIRST + 9;
    let mut kernel = Kernel::open_with(&with_max_bans(pins, most)?)?;
    kernel.firewall.ban_many(&orders(0..FIRST, v4)?)?;
    ban_all(&mut kernel.firewall, &orders(FIRST..most, v4)?)?;
    ensure!(map(pins, "bans_v4")?.1 == most, "{:?}", map(pins, "bans_v4")?);
    ensure!(kernel.firewall.evicted().is_empty());
    ban_all(&mut kernel.firewall, &orders(most..most + 2, v4)?)?;
    ensure!(map(pins, "bans_v4")?.1 == most);
    let evicted: Vec<_> = kernel.firewall.evicted().iter().map(ToString::to_string).collect();
    ensure!(evicted == [v4(0) + "/32", v4(1) + "/32"], "{evicted:?}");
    kernel.follow()?;
    kernel.expect(PASS, &v4(1), 25)?;
    kernel.expect(DROP, &v4(2), 25)?;
    kernel.expect(DROP, &v4(most + 1), 25)
}

fn many(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open_with(&with_max_bans(pins, 1 << 20)?)?;
    let (addresses, prefixes) = (orders(0..70_000, v4)?, orders(0..20_000, v6)?);
    kernel.firewall.ban_many(&addresses[..10])?;
    kernel.firewall.ban_many(&[addresses.clone(), prefixes].concat())?;
    ensure!((map(pins, "bans_v4")?.1, map(pins, "bans_v6")?.1) == (64 * FIRST, 16 * FIRST));
    ensure!(kernel.firewall.evicted().is_empty());
    kernel.follow()?;
    kernel.expect(DROP, &v4(69_999), 25)?;
    kernel.expect(DROP, "2001:db8:0:4e1f::1", 25)?;
    // All of them once more take no more room.
    kernel.firewall.ban_many(&addresses)?;
    ensure!(map(pins, "bans_v4")?.1 == 64 * FIRST);
    ensure!(kernel.firewall.view()?.bans()?.len() == 90_000);
    Ok(())
}

fn before_commit(pins: &Path) -> Result<()> {
    // As after a reboot: nothing is pinned.
    let options = with_max_bans(pins, 1 << 20)?;
    let bans = orders(0..5000, v4)?;
    let mut firewall = Xdp::open(&options)?;
    firewall.ban_many(&bans)?;
    drop(firewall);
    ensure!(!pins.exists(), "a start that is not committed leaves {pins:?}");
    let mut firewall = Xdp::open(&options)?;
    firewall.ban_many(&bans)?;
    firewall.commit()?;
    drop(firewall);
    no_pins_are_left_over(pins)?;
    ensure!(map(pins, "bans_v4")?.1 == 4 * FIRST);

    // Over the pins of an earlier daemon, whose program and maps stay until it is sure.
    let before = (map(pins, "bans_v4")?, map(pins, "bans_v6")?);
    let mut firewall = Xdp::open(&options)?;
    let (more, prefixes) = (orders(0..20_000, v4)?, orders(0..5000, v6)?);
    firewall.ban_many(&more)?;
    firewall.ban_many(&prefixes)?;
    ensure!(firewall.view()?.bans()?.len() == 25_000);
    drop(firewall);
    no_pins_are_left_over(pins)?;
    ensure!((map(pins, "bans_v4")?, map(pins, "bans_v6")?) == before, "other maps are pinned");

    // And where its maps are being replaced already.
    let mut smaller = options;
    smaller.max_bans = 10_000.try_into()?;
    let mut firewall = Xdp::open(&smaller)?;
    firewall.ban_many(&prefixes)?;
    firewall.commit()?;
    drop(firewall);
    no_pins_are_left_over(pins)?;
    let kernel = Kernel::open_with(&smaller)?;
    ensure!(kernel.firewall.view()?.bans()?.len() == 10_000);
    kernel.expect(DROP, &v4(4999), 25)?;
    kernel.expect(DROP, "2001:db8:0:1387::1", 25)
}

fn restarted(pins: &Path) -> Result<()> {
    let mut options = with_max_bans(pins, 1 << 20)?;
    let mut kernel = Kernel::open_with(&options)?;
    kernel.firewall.ban_many(&orders(0..20_000, v4)?)?;
    let grown = map(pins, "bans_v4")?;
    ensure!(grown.1 == 16 * FIRST);
    drop(kernel);
    kernel = Kernel::open_with(&options)?;
    ensure!(map(pins, "bans_v4")? == grown, "made anew, and was in use");
    // Less than a sixteenth of it is in use.
    for order in &orders(FIRST..20_000, v4)? {
        kernel.firewall.unban(&order.subject)?;
    }
    drop(kernel);
    kernel = Kernel::open_with(&options)?;
    ensure!(map(pins, "bans_v4")?.1 == FIRST, "{:?}", map(pins, "bans_v4")?);
    ensure!(kernel.firewall.view()?.bans()?.len() == usize::try_from(FIRST)?);
    kernel.expect(DROP, &v4(FIRST - 1), 25)?;
    // A lower limit holds at once, a higher one when it is needed.
    drop(kernel);
    options.max_bans = 100.try_into()?;
    kernel = Kernel::open_with(&options)?;
    ensure!(map(pins, "bans_v4")?.1 == 100 && kernel.firewall.view()?.bans()?.len() == 100);
    kernel.expect(DROP, &v4(FIRST - 1), 25)?;
    drop(kernel);
    options.max_bans = 200.try_into()?;
    kernel = Kernel::open_with(&options)?;
    ensure!(map(pins, "bans_v4")?.1 == 100);
    kernel.ban("192.0.2.7", HOUR)?;
    ensure!(map(pins, "bans_v4")?.1 == 200 && kernel.firewall.evicted().is_empty());
    kernel.follow()?;
    kernel.expect(DROP, "192.0.2.7", 25)
}

/// Whatever of it the kernel refuses, and however many bans come.
fn no_memory(pins: &Path) -> Result<()> {
    for (command, errno) in [(MAP_CREATE, ENOMEM), (PROG_LOAD, ENOMEM), (OBJ_GET, EMFILE)] {
        let options = with_max_bans(pins, 1 << 20)?;
        refused::with(&[command], errno, |refuse| {
            let mut kernel = Kernel::open_with(&options)?;
            kernel.firewall.ban_many(&orders(0..FIRST, v4)?)?;
            let before = map(pins, "bans_v4")?;
            refuse()?;
            ban_all(&mut kernel.firewall, &orders(FIRST..FIRST + 3, v4)?)?;
            kernel.firewall.ban_many(&orders(FIRST + 3..FIRST + 200, v4)?)?;
            ensure!(kernel.firewall.evicted().len() == 200, "command {command}");
            kernel.expect(PASS, &v4(199), 25)?;
            kernel.expect(DROP, &v4(200), 25)?;
            kernel.expect(DROP, &v4(FIRST + 199), 25)?;
            no_pins_are_left_over(pins)?;
            Ok(before)
        })
        .and_then(|before| {
            ensure!(map(pins, "bans_v4")? == before, "command {command}");
            Ok(())
        })?;
    }
    Ok(())
}

fn taken_back(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open_with(&with_max_bans(pins, 1 << 20)?)?;
    kernel.firewall.ban_many(&orders(0..FIRST, v4)?)?;
    let before = map(pins, "bans_v4")?;
    // In the way of the new program's pin.
    let blocked = pins.join("doveblock_next");
    fs::create_dir(&blocked)?;
    kernel.ban("192.0.2.7", HOUR)?;
    fs::remove_dir(&blocked)?;
    ensure!(kernel.firewall.evicted().len() == 1);
    ensure!(map(pins, "bans_v4")? == before);
    no_pins_are_left_over(pins)?;
    kernel.follow()?;
    kernel.expect(DROP, "192.0.2.7", 25)?;
    // Not every ban tries again, but every start may.
    kernel.ban("192.0.2.8", HOUR)?;
    ensure!(kernel.firewall.evicted().len() == 1);
    drop(kernel);
    let mut options = options(pins, 64, false);
    options.max_bans = (1 << 20).try_into()?;
    let mut kernel = Kernel::open_with(&options)?;
    kernel.ban("192.0.2.9", HOUR)?;
    ensure!(kernel.firewall.evicted().is_empty() && map(pins, "bans_v4")?.1 == 4 * FIRST);
    Ok(())
}

fn detached(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open_with(&with_max_bans(pins, 1 << 20)?)?;
    kernel.firewall.ban_many(&orders(0..FIRST, v4)?)?;
    firewall::detach(pins)?;
    kernel.ban("192.0.2.7", HOUR)?;
    ensure!(!pins.exists(), "pinned again");
    ensure!(kernel.firewall.evicted().len() == 1);
    Ok(())
}

/// All that is done with many bans, on a kernel that knows no calls for that.
fn one_by_one(pins: &Path) -> Result<()> {
    let first = [orders(0..4200, v4)?, orders(0..200, v6)?].concat();
    let more = orders(4200..4402, v4)?;
    let run = |refused: &[u64]| -> Result<Vec<(Order, u64)>> {
        let options = with_max_bans(pins, 4400)?;
        refused::with(refused, EINVAL, |refuse| {
            if !refused.is_empty() {
                refuse()?;
            }
            let mut kernel = Kernel::open_with(&options)?;
            kernel.firewall.ban_many(&first)?;
            kernel.follow()?;
            for _ in 0..2 {
                kernel.expect(DROP, &v4(4199), 25)?;
            }
            // Two more than there is room for, and another start, which copies what fits.
            kernel.firewall.ban_many(&more)?;
            ensure!(kernel.firewall.evicted().len() == 2);
            drop(kernel);
            let mut fewer = options;
            fewer.max_bans = 4200.try_into()?;
            let kernel = Kernel::open_with(&fewer)?;
            kernel.expect(DROP, &v4(4199), 25)?;
            kernel.expect(PASS, &v4(201), 25)?;
            kernel.expect(DROP, "2001:db8:0:c7::1", 25)?;
            let bans = sorted(kernel.firewall.view()?.bans()?).into_iter();
            Ok(bans.map(|ban| (ban.order, ban.dropped_packets)).collect())
        })
    };
    let at_once = run(&[])?;
    ensure!(at_once.len() == 4400, "{} bans", at_once.len());
    for refused in
        [&[MAP_UPDATE_BATCH][..], &[MAP_LOOKUP_BATCH], &[MAP_LOOKUP_BATCH, MAP_UPDATE_BATCH]]
    {
        ensure!(run(refused)? == at_once, "without the commands {refused:?} bans are others");
    }
    Ok(())
}
