//! Pins of another version and of another `max_bans`, and what a full map does.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use aya::{
    maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, PerCpuValues, lpm_trie::Key},
    util::nr_cpus,
};
use blocker_user::{
    daemon::wall_clock,
    firewall::{self, Firewall as _, FirewallError, Order, Xdp},
};
use ipnet::IpNet;
use libtest_mimic::Trial;
use rustix::time::{ClockId, clock_gettime};

use crate::{DROP, HOUR, Kernel, PASS, options, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("another_max_bans_keeps_bans_counters_and_settings", other_size),
        trial("fewer_max_bans_than_bans_keep_those_that_end_last", fewer),
        trial("pins_of_the_first_layout_are_taken_over", first_layout),
        trial("pins_of_a_layout_nobody_knows_are_refused_and_stay", unknown_layout),
        trial("a_start_that_fails_leaves_the_other_layout_as_it_was", not_committed),
        trial("when_full_the_ban_that_ends_soonest_makes_room", full),
        trial("many_bans_at_once_are_as_good_as_one_by_one", many),
    ]
}

fn open(pins: &Path, max_bans: u32) -> Result<Kernel> {
    let mut options = options(pins, 64, false);
    options.max_bans = max_bans.try_into()?;
    Ok(Kernel::open_with(&options)?)
}

fn other_size(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("192.0.2.7", HOUR)?;
    kernel.ban("2001:db8:0:1::/64", None)?;
    kernel.ban("198.51.100.0/24", HOUR)?;
    kernel.firewall.allow(&["198.51.100.9/32".parse()?])?;
    for _ in 0..3 {
        kernel.expect(DROP, "192.0.2.7", 25)?;
    }
    let bans = |kernel: &Kernel| -> Result<_> {
        let mut bans = kernel.firewall.view()?.bans()?;
        bans.sort_by_key(|ban| ban.order.subject);
        Ok((bans, kernel.firewall.view()?.counters()?))
    };
    let before = bans(&kernel)?;
    for max_bans in [100, 5000] {
        drop(kernel);
        kernel = open(pins, max_bans)?;
        ensure!(bans(&kernel)? == before, "{before:?} became {:?}", bans(&kernel)?);
        ensure!(!pins.join("bans_v4_next").exists(), "the new map has not taken its place");
    }
    kernel.expect(DROP, "192.0.2.7", 25)?;
    kernel.expect(DROP, "2001:db8:0:1::9", 25)?;
    kernel.expect(DROP, "198.51.100.8", 25)?;
    // The next start writes the allow list anew; until then the old one holds.
    kernel.expect(PASS, "198.51.100.9", 25)
}

fn fewer(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    for n in 1..=20 {
        kernel.ban(&format!("192.0.2.{n}"), Some(std::time::Duration::from_secs(1000 + n)))?;
    }
    drop(kernel);
    let kernel = open(pins, 5)?;
    kernel.expect(DROP, "192.0.2.16", 25)?;
    kernel.expect(PASS, "192.0.2.15", 25)?;
    ensure!(kernel.firewall.view()?.bans()?.len() == 5);
    Ok(())
}

/// A ban as the first version wrote it.
fn ban_v1(expires_ns: u64, packets: u64, attempts: u32, prefix_len: u32) -> [u8; 40] {
    let words = [expires_ns, packets, packets * 60, 1_795_539_600];
    let halves = [attempts, prefix_len];
    let mut bytes = [0; 40];
    let value = words.iter().flat_map(|word| word.to_ne_bytes());
    let value = value.chain(halves.iter().flat_map(|half| half.to_ne_bytes()));
    bytes.iter_mut().zip(value).for_each(|(byte, value)| *byte = value);
    bytes
}

fn trie_key(net: &str) -> Result<Key<[u8; 24]>> {
    let net: IpNet = net.parse()?;
    let mut data = [0; 24];
    let (family, address) = match net {
        IpNet::V4(v4) => (4_u64, v4.addr().octets().to_vec()),
        IpNet::V6(v6) => (6, v6.addr().octets().to_vec()),
    };
    let bytes = family.to_ne_bytes().into_iter().chain(address);
    data.iter_mut().zip(bytes).for_each(|(byte, value)| *byte = value);
    Ok(Key::new(64 + u32::from(net.prefix_len()), data))
}

/// The maps that the first version pins, with bans in them. Every size is spelt out: it must
/// not follow the types that this version has.
fn pin_first_layout(pins: &Path, max_bans: u32) -> Result<()> {
    const ON_DEMAND: u32 = 1;
    fs::create_dir_all(pins)?;
    let now = clock_gettime(ClockId::Monotonic);
    let in_an_hour = u64::try_from(now.tv_sec)? * 1_000_000_000 + 3_600_000_000_000;
    let mut v4 = HashMap::<MapData, [u8; 4], [u8; 40]>::create(max_bans, ON_DEMAND)?;
    v4.insert(&[192, 0, 2, 7], &ban_v1(in_an_hour, 42, 5, 32), 0)?;
    v4.pin(pins.join("bans_v4"))?;
    let mut v6 = HashMap::<MapData, [u8; 16], [u8; 40]>::create(max_bans, ON_DEMAND)?;
    let mut prefix = [0; 16];
    prefix[..8].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1]);
    v6.insert(&prefix, &ban_v1(u64::MAX, 7, 0, 64), 0)?;
    v6.pin(pins.join("bans_v6"))?;
    let mut net = LpmTrie::<MapData, [u8; 24], [u8; 40]>::create(65_536, ON_DEMAND)?;
    net.insert(&trie_key("198.51.100.0/24")?, &ban_v1(in_an_hour, 1, 0, 24), 0)?;
    net.pin(pins.join("bans_net"))?;
    let mut allow = LpmTrie::<MapData, [u8; 24], [u8; 4]>::create(65_536, ON_DEMAND)?;
    allow.insert(&trie_key("198.51.100.9/32")?, &1_u32.to_ne_bytes(), 0)?;
    allow.pin(pins.join("allow"))?;
    let mut settings = [0_u8; 136];
    settings[..4].copy_from_slice(&[25, 0, 25, 0]);
    settings[128] = 1;
    settings[132] = 1;
    let mut ports = Array::<MapData, [u8; 136]>::create(1, 0)?;
    ports.set(0, &settings, 0)?;
    ports.pin(pins.join("ports"))?;
    let mut counted = [0_u8; 56];
    counted[..8].copy_from_slice(&100_u64.to_ne_bytes());
    let cpus = usize::try_from(nr_cpus().map_err(|(_, error)| error)?.get())?;
    let mut counters = PerCpuArray::<MapData, [u8; 56]>::create(1, 0)?;
    counters.set(0, PerCpuValues::try_from(vec![counted; cpus])?, 0)?;
    counters.pin(pins.join("counters"))?;
    Ok(())
}

fn first_layout(pins: &Path) -> Result<()> {
    // Once with the size that this start wants as well, and once with another.
    for size in [1 << 20, 1000] {
        firewall::detach(pins)?;
        pin_first_layout(pins, size)?;
        let kernel = Kernel::open(pins, 64, false)?;
        let view = kernel.firewall.view()?;
        let mut bans = view.bans()?;
        bans.sort_by_key(|ban| ban.order.subject);
        let found: Vec<_> = bans
            .iter()
            .map(|ban| {
                let Order { subject, attempts, expires, .. } = ban.order;
                (subject.to_string(), attempts, expires.is_some(), ban.dropped_packets)
            })
            .collect();
        let expected = [
            ("192.0.2.7/32".to_owned(), 5, true, 42),
            ("198.51.100.0/24".to_owned(), 0, true, 1),
            ("2001:db8:0:1::/64".to_owned(), 0, false, 7),
        ];
        ensure!(found == expected, "{found:?}");
        let left = bans[0].order.expires.context("no end")?.as_secs() - wall_clock().as_secs();
        ensure!((3590..=3601).contains(&left), "{left} s are left of an hour");
        ensure!(bans[0].order.banned_at.as_secs() == 1_795_539_600, "{bans:?}");
        ensure!(bans[0].dropped_bytes == 42 * 60, "{bans:?}");
        let counters = view.counters()?.dropped_packets;
        ensure!(counters >= 100 && counters % 100 == 0, "{counters} packets in total");
        kernel.expect(DROP, "192.0.2.7", 25)?;
        kernel.expect(DROP, "2001:db8:0:1::9", 25)?;
        kernel.expect(DROP, "198.51.100.8", 25)?;
        kernel.expect(PASS, "198.51.100.9", 25)?;
    }
    Ok(())
}

fn unknown_layout(pins: &Path) -> Result<()> {
    drop(Kernel::open(pins, 64, false)?);
    fs::remove_file(pins.join("bans_v6"))?;
    let unknown = HashMap::<MapData, [u8; 16], [u8; 72]>::create(10, 1)?;
    unknown.pin(pins.join("bans_v6"))?;
    let before = names(pins)?;
    let error = Xdp::open(&options(pins, 64, false)).err().context("taken for ours")?;
    ensure!(matches!(error, FirewallError::IncompatiblePins { .. }), "{error}");
    ensure!(error.to_string().contains("bans_v6") && error.is_usage(), "{error}");
    ensure!(names(pins)? == before, "{before:?} became {:?}", names(pins)?);
    Ok(())
}

fn names(pins: &Path) -> Result<Vec<std::ffi::OsString>> {
    let mut names: Vec<_> =
        fs::read_dir(pins)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

fn not_committed(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("192.0.2.7", HOUR)?;
    drop(kernel);
    let before = names(pins)?;
    let mut other = options(pins, 64, false);
    other.max_bans = 50.try_into()?;
    drop(Xdp::open(&other)?);
    ensure!(names(pins)? == before, "{before:?} became {:?}", names(pins)?);
    // What a killed start leaves is in nobody's way.
    let stale = HashMap::<MapData, [u8; 4], [u8; 8]>::create(3, 0)?;
    stale.pin(pins.join("bans_v4_next"))?;
    let kernel = open(pins, 50)?;
    kernel.expect(DROP, "192.0.2.7", 25)?;
    ensure!(names(pins)? == before, "{before:?} became {:?}", names(pins)?);
    Ok(())
}

fn full(pins: &Path) -> Result<()> {
    firewall::detach(pins)?;
    let mut kernel = open(pins, 8)?;
    let lasts = |secs| Some(std::time::Duration::from_secs(secs));
    kernel.ban("192.0.2.1", None)?;
    for n in 2..=8 {
        kernel.ban(&format!("192.0.2.{n}"), lasts(10_000 - n))?;
    }
    ensure!(kernel.firewall.evicted().is_empty());
    kernel.ban("203.0.113.1", HOUR)?;
    ensure!(kernel.firewall.evicted() == ["192.0.2.8/32".parse::<IpNet>()?]);
    kernel.expect(PASS, "192.0.2.8", 25)?;
    kernel.expect(DROP, "203.0.113.1", 25)?;
    // It ends sooner than all that the map was found to hold.
    kernel.ban("203.0.113.2", HOUR)?;
    ensure!(kernel.firewall.evicted() == ["203.0.113.1/32".parse::<IpNet>()?]);
    // A ban that is prolonged is not the one that ends soonest any more; nor is room needed.
    kernel.ban("203.0.113.2", lasts(20_000))?;
    ensure!(kernel.firewall.evicted().is_empty());
    for n in 3..=8 {
        kernel.ban(&format!("203.0.113.{n}"), None)?;
    }
    kernel.expect(DROP, "192.0.2.1", 25)?;
    kernel.expect(DROP, "203.0.113.2", 25)?;
    // Nothing but bans without end: one of them makes room for the next.
    kernel.ban("203.0.113.9", None)?;
    kernel.ban("203.0.113.10", None)?;
    kernel.expect(DROP, "203.0.113.10", 25)?;
    ensure!(kernel.firewall.view()?.bans()?.len() == 8);
    // IPv6 has room of its own.
    kernel.firewall.evicted();
    kernel.ban("2001:db8:0:1::/64", HOUR)?;
    ensure!(kernel.firewall.evicted().is_empty());
    Ok(())
}

fn many(pins: &Path) -> Result<()> {
    firewall::detach(pins)?;
    let mut kernel = open(pins, 50_000)?;
    kernel.ban("10.0.0.5", HOUR)?;
    kernel.expect(DROP, "10.0.0.5", 25)?;
    let now = wall_clock();
    let order = |subject: &str, lasts: u64| -> Result<Order> {
        let expires = Some(now.after(std::time::Duration::from_secs(lasts)));
        Ok(Order { subject: subject.parse()?, banned_at: now, expires, attempts: 3 })
    };
    let mut orders = vec![order("198.51.100.0/24", 3600)?];
    for n in 0..50_000_u64 {
        let [.., a, b, c] = n.to_be_bytes();
        orders.push(order(&format!("10.{a}.{b}.{c}/32"), 4000 + n)?);
        orders.push(order(&format!("2001:db8:{a:x}:{b:02x}{c:02x}::/64"), 4000)?);
    }
    kernel.firewall.ban_many(&orders)?;
    kernel.follow()?;
    let bans = kernel.firewall.view()?.bans()?;
    ensure!(bans.len() == 100_001, "{} bans", bans.len());
    let kept = bans.iter().find(|ban| ban.order.subject.to_string() == "10.0.0.5/32");
    ensure!(kept.is_some_and(|ban| ban.dropped_packets == 1), "{kept:?}");
    for source in ["10.0.0.5", "10.0.195.79", "2001:db8:0:c34f::1", "198.51.100.1"] {
        kernel.expect(DROP, source, 25)?;
    }
    // There is no room for half of these: they drive out those that end soonest.
    let more: Vec<Order> =
        (0..200_u32).map(|n| order(&format!("172.16.0.{n}/32"), 90_000)).collect::<Result<_>>()?;
    kernel.firewall.ban_many(&more)?;
    ensure!(kernel.firewall.evicted().len() == 200);
    kernel.expect(PASS, "10.0.0.199", 25)?;
    kernel.expect(DROP, "10.0.0.200", 25)?;
    kernel.expect(DROP, "172.16.0.199", 25)
}
