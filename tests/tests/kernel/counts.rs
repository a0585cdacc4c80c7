//! What the kernel counts: for each ban, however many cores see its packets at once and however
//! long a verdict is remembered; and in total, by reason.

use std::{path::Path, thread};

use anyhow::{Context as _, Result, ensure};
use aya::{TestRun as _, TestRunOptions, programs::Xdp as Program};
use aya_obj::programs::XdpAttachType;
use blocker_user::{
    daemon::wall_clock,
    firewall::{Enforced, Firewall as _, Order, PortRange},
};
use etherparse::PacketBuilder;
use libtest_mimic::Trial;

use crate::{DROP, HOUR, Kernel, PASS, options, tcp, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("no_packet_is_lost_or_counted_twice_on_several_cores", concurrent),
        trial("a_new_ban_begins_with_nothing_of_an_earlier_one", anew),
        trial("a_verdict_is_forgotten_as_soon_as_it_changes", changes),
        trial("the_last_packet_of_a_ban_has_a_time", last_seen),
        trial("drops_are_told_apart_by_their_reason", reasons),
        trial("udp_is_guarded_where_it_is_asked_for", udp),
        trial("fragments_are_dropped_where_it_is_asked_for", fragments),
        trial("of_a_packet_in_several_buffers_all_bytes_count", jumbo),
        trial("first_packets_beyond_the_budget_are_counted", budget),
    ]
}

fn listed(kernel: &Kernel, subject: &str) -> Result<Enforced> {
    let bans = kernel.firewall.view()?.bans()?;
    let found = bans.iter().find(|ban| ban.order.subject.to_string() == subject);
    found.copied().with_context(|| format!("{subject} is not in {bans:?}"))
}

/// Linux 5.18 and later.
fn has_frags() -> bool {
    aya::util::KernelVersion::current()
        .is_ok_and(|it| it >= aya::util::KernelVersion::new(5, 18, 0))
}

/// The kernel puts into one buffer what fits into a page.
fn jumbo(pins: &Path) -> Result<()> {
    const LEN: usize = 9000;
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("192.0.2.7", HOUR)?;
    let mut packet = tcp("192.0.2.7".parse()?, 25)?;
    packet.resize(LEN, 0);
    let once = TestRunOptions { data_in: Some(&packet), ..TestRunOptions::new() };
    if !has_frags() {
        return Ok(());
    }
    let verdict = kernel.program.test_run(once)?.return_value;
    ensure!(verdict == DROP, "verdict {verdict}");
    let counted = listed(&kernel, "192.0.2.7/32")?.dropped_bytes;
    ensure!(counted == u64::try_from(LEN)?, "{counted} of {LEN} bytes were counted");
    Ok(())
}

/// Sources that share a ban, and so many that they drive each other out of what is remembered.
fn concurrent(pins: &Path) -> Result<()> {
    const REPEAT: u32 = 100;
    const ROUNDS: u64 = 10;
    let mut kernel = Kernel::open(pins, 64, false)?;
    let hosts: Vec<String> = (0..150).map(|n| format!("10.0.0.{n}")).collect();
    for host in &hosts {
        kernel.ban(host, HOUR)?;
    }
    kernel.ban("2001:db8::/64", HOUR)?;
    kernel.ban("198.51.100.0/24", HOUR)?;
    let shared = ["2001:db8::1", "2001:db8::2", "198.51.100.7", "198.51.100.8"].map(str::to_owned);
    let packets = hosts.iter().chain(&shared).map(|source| tcp(source.parse()?, 25));
    let packets = packets.collect::<Result<Vec<_>>>()?;
    let threads = 4_u64;
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let program = pins.join("doveblock");
                    let program = Program::from_pin(program, XdpAttachType::Interface)?;
                    for packet in (0..ROUNDS).flat_map(|_| &packets) {
                        let once = TestRunOptions { data_in: Some(packet), ..Default::default() };
                        program.test_run(TestRunOptions { repeat: REPEAT, ..once })?;
                    }
                    Ok(())
                })
            })
            .collect();
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => anyhow::bail!("a thread panicked"),
        })
    })?;
    let each = threads * ROUNDS * u64::from(REPEAT);
    let length = u64::try_from(packets.first().context("no packets")?.len())?;
    for host in &hosts {
        let ban = listed(&kernel, &format!("{host}/32"))?;
        let counted = (ban.dropped_packets, ban.dropped_bytes);
        ensure!(counted == (each, each * length), "{counted:?} of {each}: {ban:?}");
    }
    for network in ["2001:db8::/64", "198.51.100.0/24"] {
        let ban = listed(&kernel, network)?;
        ensure!(ban.dropped_packets == 2 * each, "{} of {}", ban.dropped_packets, 2 * each);
    }
    let total = each * u64::try_from(packets.len())?;
    ensure!(kernel.firewall.view()?.counters()?.dropped_tcp == total);
    Ok(())
}

fn anew(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    let packet = tcp("192.0.2.7".parse()?, 25)?;
    for subject in ["192.0.2.7/32", "192.0.2.0/24"] {
        for _ in 0..3 {
            kernel.ban(subject, HOUR)?;
            // Within a tick of each other, so that some are only remembered.
            let options = TestRunOptions { data_in: Some(&packet), ..TestRunOptions::new() };
            kernel.program.test_run(TestRunOptions { repeat: 1000, ..options })?;
            let counted = listed(&kernel, subject)?.dropped_packets;
            ensure!(counted == 1000, "{counted} of 1000 packets");
            ensure!(kernel.firewall.unban(&subject.parse()?)?);
        }
    }
    Ok(())
}

fn changes(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    for round in 0..200 {
        let change = |what: &str| format!("round {round}, after {what}");
        kernel.expect(PASS, "192.0.2.7", 25).with_context(|| change("the unban"))?;
        kernel.ban("192.0.2.0/24", HOUR)?;
        kernel.expect(DROP, "192.0.2.7", 25).with_context(|| change("the network's ban"))?;
        kernel.firewall.unban(&"192.0.2.0/24".parse()?)?;
        kernel.expect(PASS, "192.0.2.7", 25).with_context(|| change("the network's unban"))?;
        kernel.ban("192.0.2.7", HOUR)?;
        kernel.expect(DROP, "192.0.2.7", 25).with_context(|| change("the ban"))?;
        kernel.firewall.allow(&["192.0.2.7/32".parse()?])?;
        kernel.expect(PASS, "192.0.2.7", 25).with_context(|| change("being allowed"))?;
        kernel.firewall.allow(&[])?;
        kernel.expect(DROP, "192.0.2.7", 25).with_context(|| change("being allowed no more"))?;
        kernel.firewall.unban(&"192.0.2.7/32".parse()?)?;
    }
    let order = |subject: &str| -> Result<Order> {
        let now = wall_clock();
        Ok(Order { subject: subject.parse()?, banned_at: now, expires: None, attempts: 0 })
    };
    kernel.expect(PASS, "192.0.2.7", 25)?;
    let mut many =
        (0..100).map(|n| order(&format!("10.0.0.{n}/32"))).collect::<Result<Vec<_>>>()?;
    many.push(order("192.0.2.7/32")?);
    kernel.firewall.ban_many(&many)?;
    kernel.expect(DROP, "192.0.2.7", 25)
}

fn last_seen(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("192.0.2.7", HOUR)?;
    ensure!(listed(&kernel, "192.0.2.7/32")?.last_seen.is_none(), "seen before it was");
    kernel.expect(DROP, "192.0.2.7", 25)?;
    let seen = listed(&kernel, "192.0.2.7/32")?.last_seen.context("not seen")?;
    let late = wall_clock().as_secs() - seen.as_secs();
    ensure!((-1..=5).contains(&late), "seen {late} s ago");
    // A ban that is prolonged is the same ban.
    kernel.ban("192.0.2.7", None)?;
    ensure!(listed(&kernel, "192.0.2.7/32")?.last_seen.is_some(), "forgotten");
    Ok(())
}

/// A packet from a banned source whose header `change` has its way with.
fn changed(source: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<u8>> {
    let mut packet = tcp(source.parse()?, 25)?;
    change(&mut packet);
    Ok(packet)
}

fn datagram(port: u16) -> Result<Vec<u8>> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([192, 0, 2, 7], [192, 0, 2, 1], 9);
    builder.udp(1, port).write(&mut packet, b"x")?;
    Ok(packet)
}

/// Bits of a later fragment, where IPv4 has them.
fn later_fragment(packet: &mut [u8]) {
    packet[21] = 185;
}

fn reasons(pins: &Path) -> Result<()> {
    let mut options = options(pins, 64, false);
    options.udp_ports = vec![PortRange { first: 25, last: 25 }];
    let mut kernel = Kernel::open_with(&options)?;
    kernel.ban("192.0.2.7", HOUR)?;
    kernel.ban("2001:db8::/64", HOUR)?;
    let hidden = changed("2001:db8::7", |packet| {
        packet[20] = 60;
        packet[18..20].copy_from_slice(&(20 + 9 * 8_u16).to_be_bytes());
        packet.splice(54..54, [60, 0, 1, 4, 0, 0, 0, 0].repeat(9));
    })?;
    let fragment = changed("192.0.2.7", |packet| later_fragment(packet))?;
    let times =
        [(changed("192.0.2.7", |_| {})?, 1), (datagram(25)?, 2), (fragment, 3), (hidden, 4)];
    for (packet, times) in &times {
        for _ in 0..*times {
            ensure!(kernel.verdict(packet)? == DROP);
        }
    }
    ensure!(kernel.verdict(&datagram(26)?)? == PASS);
    let found = kernel.firewall.view()?.counters()?;
    let counted =
        [found.dropped_tcp, found.dropped_udp, found.dropped_fragment, found.dropped_hidden];
    ensure!(counted == [1, 2, 3, 4] && found.dropped_packets == 10, "{found:?}");
    ensure!(found.passed_port == 1 && found.answered_reset == 0, "{found:?}");
    Ok(())
}

fn udp(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("192.0.2.7", HOUR)?;
    for port in [25, 53, 4190] {
        ensure!(kernel.verdict(&datagram(port)?)? == PASS, "UDP {port} is dropped unasked");
    }
    drop(kernel);
    let mut options = options(pins, 64, false);
    options.udp_ports = vec![PortRange { first: 50, last: 53 }];
    options.ports = Vec::new();
    let kernel = Kernel::open_with(&options)?;
    for (port, verdict) in [(49, PASS), (50, DROP), (53, DROP), (54, PASS)] {
        ensure!(kernel.verdict(&datagram(port)?)? == verdict, "UDP {port}");
    }
    kernel.expect(PASS, "192.0.2.7", 53)
}

fn fragments(pins: &Path) -> Result<()> {
    let later = |source: &str| changed(source, |packet| later_fragment(packet));
    let later_v6 = |protocol: u8| {
        changed("2001:db8::7", |packet| {
            packet[20] = 44;
            packet[19] += 8;
            packet.splice(54..54, [protocol, 0, 0, 9, 0, 0, 0, 1]);
        })
    };
    let later_udp = changed("192.0.2.7", |packet| {
        later_fragment(packet);
        packet[23] = 17;
    })?;
    for drop_fragments in [true, false] {
        let mut options = options(pins, 64, false);
        options.drop_fragments = drop_fragments;
        let mut kernel = Kernel::open_with(&options)?;
        kernel.ban("192.0.2.7", HOUR)?;
        kernel.ban("2001:db8::/64", HOUR)?;
        let expected = if drop_fragments { DROP } else { PASS };
        ensure!(kernel.verdict(&later("192.0.2.7")?)? == expected);
        ensure!(kernel.verdict(&later("192.0.2.8")?)? == PASS, "of a source that is not banned");
        // The fragment's own headers may go on: behind them may be TCP.
        for protocol in [6, 60] {
            ensure!(kernel.verdict(&later_v6(protocol)?)? == expected, "IPv6, {protocol}");
        }
        ensure!(kernel.verdict(&later_v6(58)?)? == PASS, "a fragment of ICMP");
        ensure!(kernel.verdict(&later_udp)? == PASS, "no UDP port is guarded");
        // The first one has a port.
        let first = |port| -> Result<Vec<u8>> {
            let mut packet = tcp("192.0.2.7".parse()?, port)?;
            packet[20] = 0x20;
            Ok(packet)
        };
        ensure!(kernel.verdict(&first(25)?)? == DROP && kernel.verdict(&first(80)?)? == PASS);
        drop(kernel);
        options.udp_ports = vec![PortRange { first: 53, last: 53 }];
        ensure!(Kernel::open_with(&options)?.verdict(&later_udp)? == expected);
    }
    Ok(())
}

fn budget(pins: &Path) -> Result<()> {
    let mut kernel = Kernel::open(pins, 64, false)?;
    kernel.ban("2001:db8::/64", HOUR)?;
    kernel.expect(DROP, "2001:db8::1", 25)?;
    kernel.expect(DROP, "2001:db8::2", 25)?;
    ensure!(kernel.firewall.view()?.counters()?.events_held_back == 0);
    let now = wall_clock();
    let order = |n: u16| -> Result<Order> {
        let [a, b] = n.to_be_bytes();
        let subject = format!("10.0.{a}.{b}/32").parse()?;
        Ok(Order { subject, banned_at: now, expires: None, attempts: 0 })
    };
    kernel.firewall.ban_many(&(0..3000).map(order).collect::<Result<Vec<_>>>()?)?;
    for n in 0..3000_u16 {
        let [a, b] = n.to_be_bytes();
        kernel.expect(DROP, &format!("10.0.{a}.{b}"), 25)?;
    }
    let counters = kernel.firewall.view()?.counters()?;
    ensure!(counters.events_held_back > 0 && counters.dropped_packets == 3002, "{counters:?}");
    Ok(())
}
