//! What a start finds, and what it makes of it.

use std::{fs, num::NonZeroU32, time::Duration};

use ipnet::IpNet;

use super::{Host, START, address, is_aside};
use crate::{
    daemon::feed::Feed,
    jail::{Bantime, Policy},
    source::Spec,
    time::LogTime,
};

fn policy() -> Policy {
    Policy {
        maxretry: NonZeroU32::new(3).unwrap(),
        bantime: Bantime::For(Duration::from_secs(3600)),
        ..Policy::default()
    }
}

/// A client fails until it is banned, all of which is kept.
fn banned(client: u8) -> Host {
    let mut host = Host::new(policy(), true);
    (0..3).for_each(|connection| host.guess(client, connection, "alice"));
    assert_eq!(host.seen().enforced.len(), 1);
    host.keep();
    host
}

fn left(host: &mut Host, client: u8) -> Option<i64> {
    let now = host.now().as_secs();
    let seen = host.seen();
    let subject = IpNet::from(address(client));
    let end = seen.enforced.get(&subject).and_then(|(end, _)| *end).map(|end| end.as_secs() - now);
    assert_eq!(seen.decided.contains_key(&subject), end.is_some());
    end
}

#[test]
fn after_a_reboot_bans_are_in_force_again_for_what_is_left() {
    let mut host = banned(1);
    host.wait(600);
    host.reboot();
    host.start();
    assert_eq!(left(&mut host, 1), Some(3000));
    assert_eq!(host.seen().enforced.values().next().unwrap().1, 3);
    host.reboot();
    host.wait(3000);
    host.start();
    assert_eq!(left(&mut host, 1), None);
}

#[test]
fn a_kernel_that_takes_no_ban_back_does_not_end_the_start() {
    let mut host = banned(1);
    host.reboot();
    host.kernel.is_full = true;
    host.start();
    assert_eq!(left(&mut host, 1), None);
    // And what it did not take is no ban at the next boot.
    host.keep();
    host.reboot();
    host.start();
    assert_eq!(left(&mut host, 1), None);
}

#[test]
fn a_clock_that_is_wrong_after_a_boot_makes_no_ban_longer() {
    let mut host = banned(1);
    host.reboot();
    let right = host.ahead.get();
    host.ahead.set(0);
    host.start();
    assert_eq!(left(&mut host, 1), Some(3600));
    // The time comes from the network.
    host.set_clock(right);
    assert_eq!(left(&mut host, 1), Some(3600));
    host.wait(3601);
    assert_eq!(left(&mut host, 1), None);
}

#[test]
fn who_sets_the_clock_moves_no_end() {
    for by in [7200, -7200] {
        let mut host = banned(1);
        host.set_clock(host.ahead.get() + by * 1_000_000);
        host.wait(3590);
        let subject = IpNet::from(address(1));
        assert!(host.seen().decided.contains_key(&subject), "{by}: lifted too soon");
        // And not in what is kept, either.
        host.keep();
        host.reboot();
        host.start();
        assert_eq!(left(&mut host, 1), Some(10), "{by}");
        host.wait(11);
        assert_eq!(left(&mut host, 1), None, "{by}");
    }
}

#[test]
fn what_was_lifted_in_the_maps_is_not_enforced_again() {
    let mut host = banned(1);
    host.kill();
    let subject = IpNet::from(address(1));
    crate::firewall::Firewall::unban(&mut host.kernel, &subject).unwrap();
    host.start();
    assert_eq!(left(&mut host, 1), None);
    host.keep();
    host.reboot();
    host.start();
    assert_eq!(left(&mut host, 1), None);
}

#[test]
fn a_ban_lifted_by_hand_stays_lifted() {
    let mut host = banned(1);
    host.unban(IpNet::from(address(1)));
    host.kill();
    host.start();
    assert_eq!(left(&mut host, 1), None);
    // One failure is one.
    host.guess(1, 9, "alice");
    assert_eq!(left(&mut host, 1), None);
}

#[test]
fn lines_of_a_time_without_a_daemon_ban_for_what_is_left() {
    let mut host = banned(1);
    host.kill();
    (0..3).for_each(|connection| host.guess(2, connection, "alice"));
    host.wait(1800);
    (0..2).for_each(|connection| host.guess(3, connection, "alice"));
    host.start();
    assert_eq!(left(&mut host, 2), Some(1800));
    assert_eq!(left(&mut host, 3), None);
    host.guess(3, 3, "alice");
    assert_eq!(left(&mut host, 3), Some(3600));
}

#[test]
fn a_damaged_database_costs_no_ban() {
    let mut host = banned(1);
    host.kill();
    for name in ["doveblock.sqlite3", "doveblock.sqlite3-wal"] {
        let path = host.state().join(name);
        let Ok(mut bytes) = fs::read(&path) else { continue };
        bytes.iter_mut().step_by(3).for_each(|byte| *byte ^= 0x5a);
        fs::write(path, bytes).unwrap();
    }
    host.start();
    assert!(is_aside(&host.state()));
    assert_eq!(left(&mut host, 1), Some(3600));
    host.keep();
    host.reboot();
    host.start();
    assert_eq!(left(&mut host, 1), Some(3600), "the new one knows what is in force");
}

#[test]
fn several_logs_are_caught_up_with_in_the_order_of_their_lines() {
    const LINES: i64 = 20_000;
    let mut host = Host::new(policy(), false);
    host.kill();
    let logs = [("wordy.log", 1000), ("terse.log", 50)].map(|(name, width)| {
        let path = host.dir.path().join(name);
        let line = |n| {
            let at = jiff::Timestamp::from_second(START - 2 * LINES + n).unwrap();
            format!("{at} mail dovecot: imap-login: Info: {}\n", "x".repeat(width))
        };
        fs::write(&path, (0..LINES).map(line).collect::<String>()).unwrap();
        Spec::File(path)
    });
    host.logs = logs.to_vec();
    host.open();
    let daemon = host.daemon.as_mut().unwrap();
    let (mut most_apart, mut rounds) = (0, 0);
    while daemon.read_all() {
        let reached: Vec<i64> =
            daemon.feeds.iter().filter_map(Feed::old).map(LogTime::as_secs).collect();
        if let &[one, other] = &reached[..] {
            most_apart = most_apart.max((one - other).abs());
            rounds += 1;
        }
    }
    // A chunk of the terse one is some 700 lines.
    assert!(rounds > 10 && most_apart < 2000, "{rounds} {most_apart}");
    let lines = host.seen().totals.lines;
    assert_eq!(lines, 2 * u64::try_from(LINES).unwrap());
}
