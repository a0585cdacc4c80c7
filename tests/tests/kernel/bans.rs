//! Who is dropped: addresses, prefixes, networks, and for how long.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use blocker_user::firewall::{self, Firewall as _};
use libtest_mimic::Trial;

use crate::{DROP, HOUR, Kernel, PASS, tcp, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_banned_source_is_dropped_on_guarded_ports_only", verdicts),
        trial("a_ban_ends_at_its_deadline_by_itself", deadlines),
        trial("an_ended_ban_does_not_hide_a_wider_one", ended_inside_wider),
        trial("the_allow_list_beats_every_ban", allow_list),
        trial("a_ban_of_an_ipv6_prefix_covers_it_and_nothing_else", prefixes),
        trial("networks_of_any_length_are_dropped_and_lifted", networks),
        trial("a_network_of_one_family_is_none_of_the_other", families),
        trial("drops_are_counted_for_the_ban_and_in_total", counters),
    ]
}

fn verdicts(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    for source in ["192.0.2.7", "2001:db8::7"] {
        kernel.expect(PASS, source, 4190)?;
    }
    kernel.ban("192.0.2.7", HOUR)?;
    kernel.ban("2001:db8::/64", None)?;
    for source in ["192.0.2.7", "2001:db8::7"] {
        for port in [25, 110, 143, 465, 587, 993, 995, 4190] {
            kernel.expect(DROP, source, port)?;
        }
        for port in [22, 80, 443, 144, 4189, 65535, 0] {
            kernel.expect(PASS, source, port)?;
        }
    }
    kernel.expect(PASS, "192.0.2.8", 4190)?;
    kernel.firewall.unban(&"192.0.2.7/32".parse()?)?;
    kernel.expect(PASS, "192.0.2.7", 4190)
}

fn deadlines(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    // Deadlines are rounded up to whole seconds: this one lies one to two seconds ahead.
    kernel.ban("192.0.2.7", Some(Duration::from_secs(1)))?;
    kernel.expect(DROP, "192.0.2.7", 25)?;
    kernel.wait_for_the_end("192.0.2.7")?;
    ensure!(kernel.firewall.view()?.counters()?.passed_expired >= 1);
    Ok(())
}

const SOON: Option<Duration> = Some(Duration::from_secs(1));

/// With the daemon dead nobody removes the ended entry; nobody does here either.
fn ended_inside_wider(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    // Ended: an address, a prefix, networks; each inside one that is in force.
    for (ended, wider, inside) in [
        ("192.0.2.7/32", "192.0.2.0/24", "192.0.2.7"),
        ("2001:db8:1::/64", "2001:db8:1::/48", "2001:db8:1::7"),
        ("198.51.100.6/31", "198.51.100.0/24", "198.51.100.7"),
        ("2001:db8:2:3::/80", "2001:db8:2::/48", "2001:db8:2:3::7"),
    ] {
        kernel.ban(ended, SOON)?;
        kernel.wait_for_the_end(inside)?;
        kernel.expect(PASS, inside, 25)?;
        kernel.ban(wider, HOUR)?;
        kernel.expect(DROP, inside, 25)?;
    }
    // Several ended ones on the way, and nothing in force behind them.
    for ended in ["203.0.113.0/31", "203.0.113.0/30", "203.0.113.0/24", "0.0.0.0/0"] {
        kernel.ban(ended, SOON)?;
    }
    kernel.wait_for_the_end("203.0.113.1")?;
    let before = kernel.firewall.view()?.counters()?.passed_expired;
    kernel.expect(PASS, "203.0.113.1", 25)?;
    ensure!(kernel.firewall.view()?.counters()?.passed_expired == before + 1);
    kernel.ban("203.0.113.0/25", HOUR)?;
    kernel.expect(DROP, "203.0.113.1", 25)?;
    kernel.expect(PASS, "203.0.113.200", 25)
}

fn allow_list(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("192.0.2.7", HOUR)?;
    kernel.ban("2001:db8::/64", HOUR)?;
    kernel.firewall.allow(&["192.0.2.0/24".parse()?, "2001:db8::1/128".parse()?])?;
    kernel.expect(PASS, "192.0.2.7", 25)?;
    kernel.expect(PASS, "2001:db8::1", 25)?;
    kernel.expect(DROP, "2001:db8::2", 25)?;
    kernel.firewall.allow(&["2001:db8::1/128".parse()?])?;
    kernel.expect(DROP, "192.0.2.7", 25)?;
    kernel.expect(PASS, "2001:db8::1", 25)
}

fn prefixes(pins: &Path) -> Result<()> {
    for (bits, inside, outside) in [
        (64, "2001:db8:0:1:ffff::9", "2001:db8:0:2::1"),
        (56, "2001:db8:0:ff::9", "2001:db8:0:100::1"),
        (128, "2001:db8:0:1::1", "2001:db8:0:1::2"),
    ] {
        firewall::detach(pins)?;
        let mut kernel = Kernel::open(pins, bits, false)?;
        kernel.ban(&format!("2001:db8:0:1::1/{bits}"), HOUR)?;
        kernel.expect(DROP, inside, 25)?;
        kernel.expect(PASS, outside, 25)?;
    }
    Ok(())
}

fn networks(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    for (network, inside, outside) in [
        ("198.51.100.0/24", "198.51.100.200", "198.51.101.1"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
        ("2001:db9::7/128", "2001:db9::7", "2001:db9::8"),
    ] {
        kernel.ban(network, HOUR)?;
        kernel.expect(DROP, inside, 25)?;
        kernel.expect(PASS, outside, 25)?;
        ensure!(kernel.firewall.unban(&network.parse()?)?, "{network} was not found");
        ensure!(!kernel.firewall.unban(&network.parse()?)?, "{network} was found twice");
        kernel.expect(PASS, inside, 25)?;
    }
    Ok(())
}

fn families(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    let (v4, v6) = ("192.0.2.7", "2001:db8::7");
    for (all, inside, outside) in [("::/0", v6, v4), ("0.0.0.0/0", v4, v6)] {
        kernel.ban(all, HOUR)?;
        kernel.expect(DROP, inside, 25)?;
        kernel.expect(PASS, outside, 25)?;
        let listed = kernel.firewall.view()?.bans()?;
        ensure!(listed.iter().any(|ban| ban.order.subject.to_string() == all), "{listed:?}");
        ensure!(kernel.firewall.unban(&all.parse()?)?, "{all} was not found");
    }
    kernel.ban(v4, HOUR)?;
    kernel.ban("2001:db8::/64", HOUR)?;
    for (all, spared, banned) in [("::/0", v6, v4), ("0.0.0.0/0", v4, v6)] {
        kernel.firewall.allow(&[all.parse()?])?;
        kernel.expect(PASS, spared, 25)?;
        kernel.expect(DROP, banned, 25)?;
    }
    Ok(())
}

fn counters(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("192.0.2.7", HOUR)?;
    let packet = tcp("192.0.2.7".parse()?, 25)?;
    for _ in 0..5 {
        kernel.verdict(&packet)?;
    }
    kernel.expect(PASS, "192.0.2.7", 22)?;
    kernel.expect(PASS, "192.0.2.8", 25)?;
    let view = kernel.firewall.view()?;
    let bytes = 5 * u64::try_from(packet.len())?;
    let totals = view.counters()?;
    ensure!((totals.dropped_packets, totals.dropped_bytes) == (5, bytes), "{totals:?}");
    ensure!((totals.passed_port, totals.passed_clean) == (1, 1), "{totals:?}");
    // A prolonged ban keeps what it has counted, also for another reader.
    kernel.ban("192.0.2.7", None)?;
    let bans = view.bans()?;
    let [ban] = bans.as_slice() else { anyhow::bail!("{bans:?}") };
    ensure!((ban.dropped_packets, ban.dropped_bytes) == (5, bytes), "{ban:?}");
    ensure!(ban.order.expires.is_none() && ban.order.attempts == 3, "{ban:?}");
    Ok(())
}
