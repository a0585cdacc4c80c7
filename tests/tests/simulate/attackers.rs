//! Who is banned, when, for how long, how often, and what that would have prevented.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use blocker_tests::attempts::{Log, Seconds, Version};
use serde_json::json;

use crate::{AGGRESSIVE, HOUR, Logs, MINUTE, START, adds_up, expect, simulate, time};

const ATTACKER: [u8; 4] = [203, 0, 113, 7];

/// The times of a scanner that comes every ten seconds or so: 0, 14, 17, 30, 44, 47, 60, ….
fn about_every_ten(number: Seconds) -> Seconds {
    START + 10 * number + [0, 4, -3][usize::try_from(number % 3).unwrap_or(0)]
}

/// Sixty-six probes are a cycle: five that are one too many at 44 s, then a ban up to 649 s in
/// which 61 more come, the last at 647 s; the next, at 660 s, is the first of the next cycle.
#[test]
fn a_scanner_is_banned_again_each_time_its_ban_has_ended() -> Result<()> {
    let mut log = Log::new(Version::V2_4);
    for number in 0..360 {
        log.probe(about_every_ten(number), ATTACKER, 1);
    }
    let report = simulate(&log, &["--mode", "aggressive", "--bantime", "605"])?;
    adds_up(&report);
    // 5 cycles of 66, and 30 of the sixth.
    let prevented = 5 * 61 + 25;
    let effect = json!({
        "bans": 6, "banned_clients": 1,
        "prevented_failures": prevented, "prevented_connections": prevented,
        "prevented_login_process_seconds": prevented,
        "clients_with_users_hit": 0, "users_hit": 0, "logins_locked_out": 0,
    });
    let nothing = json!({"bans": 0, "banned_clients": 0, "attackers_caught": 0, "prevented_failures": 0,
        "prevented_connections": 0, "prevented_login_process_seconds": 0});
    let ban = |cycle: u32| -> Result<_> {
        let at = START + 660 * i64::from(cycle) + 44;
        Ok(json!({
            "subject": "203.0.113.7", "at": time(at)?, "expires": time(at + 605)?,
            "rules": ["no-auth-attempts"], "cause": "no-auth-attempts", "attempts": 5,
            "earlier_bans": cycle, "prevented_failures": if cycle < 5 { 61 } else { 25 },
        }))
    };
    expect(
        &report,
        &json!({
            "kind": "simulation",
            "read": {"lines": 360, "failures": 360, "connections": 360, "login_process_seconds": 360,
                "logins": 0, "clients": 1, "undated": 0, "from": time(START)?,
                "to": time(about_every_ten(359))?},
            "policy": {"mode": "aggressive", "maxretry": 5, "findtime": 600, "bantime": 605},
            "effect": effect, "bans": (0..6).map(ban).collect::<Result<Vec<_>>>()?,
            "modes": [{"mode": "normal", "effect": nothing}, {"mode": "aggressive", "effect": effect}],
            "rules": [{"name": "no-auth-attempts", "count": 360}],
            "top_sources": [{"subject": "203.0.113.7", "failures": 360, "bans": 6, "logins": 0,
                "clients": 1, "first": time(START)?, "last": time(about_every_ten(359))?}],
            "top_networks": [{"subject": "203.0.113.0/24", "failures": 360, "bans": 6, "clients": 1}],
        }),
    );
    Ok(())
}

/// Nobody's monitoring is that hasty: whoever is to be ignored has to be asked about first.
#[test]
fn a_scanner_that_keeps_time_to_the_second_is_still_an_attacker() -> Result<()> {
    let mut log = Log::new(Version::V2_3);
    for number in 0..360 {
        log.probe(START + 10 * number, ATTACKER, 0);
    }
    let report = simulate(&log, &AGGRESSIVE)?;
    adds_up(&report);
    expect(&report, &json!({"effect": {"attackers": 1, "attackers_caught": 1}, "recognised": []}));
    Ok(())
}

#[test]
fn a_guesser_is_banned_by_either_version_and_on_any_port() -> Result<()> {
    for version in [Version::V2_3, Version::V2_4] {
        let mut log = Log::new(version);
        let services = ["imap-login", "pop3-login", "managesieve-login", "submission-login"];
        for (number, service) in (0..40).zip(services.iter().cycle()) {
            log.serve(service).guesses(START + 31 * number, ATTACKER, "info", 1, 3);
        }
        let report = simulate(&log, &["--bantime", "1h"])?;
        adds_up(&report);
        let at = START + 4 * 31;
        expect(
            &report,
            &json!({
                "policy": {"mode": "normal"},
                "effect": {"bans": 1, "banned_clients": 1, "attackers": 1, "attackers_caught": 1,
                    "prevented_failures": 35, "prevented_connections": 35,
                    "prevented_login_process_seconds": 35 * 3},
                "bans": [{"subject": "203.0.113.7", "at": time(at)?, "expires": time(at + HOUR)?,
                    "rules": ["auth-failed"], "attempts": 5, "earlier_bans": 0}],
            }),
        );
    }
    Ok(())
}

/// One guess can be two lines; twelve can be one.
#[test]
fn guesses_are_counted_and_not_lines() -> Result<()> {
    let mut log = Log::new(Version::V2_4);
    for number in 0..4 {
        log.verbose_guess(START + 60 * number, [203, 0, 113, 1], "alice");
    }
    for number in 0..5 {
        log.verbose_guess(START + 60 * number, [203, 0, 113, 2], "alice");
    }
    log.guesses(START + 400, [203, 0, 113, 3], "alice", 12, 171);
    let report = simulate(&log, &[])?;
    adds_up(&report);
    expect(
        &report,
        &json!({
            "read": {"lines": 19, "connections": 10},
            "effect": {"bans": 2, "banned_clients": 2},
            "bans": [
                {"subject": "203.0.113.2", "at": time(START + 240)?, "attempts": 5},
                {"subject": "203.0.113.3", "at": time(START + 400)?, "attempts": 12},
            ],
        }),
    );
    Ok(())
}

/// 65 guesses are a cycle of 65 minutes: five, and 60 in the hour and a half minute of a ban.
#[test]
fn who_comes_back_for_hours_is_banned_each_time() -> Result<()> {
    let mut log = Log::new(Version::V2_3);
    for number in 0..600 {
        log.guess(START + MINUTE * number, ATTACKER, "root");
    }
    let report = simulate(&log, &["--bantime", "3630"])?;
    adds_up(&report);
    let bans = (0..10).map(|cycle| -> Result<_> {
        let at = START + (65 * cycle + 4) * MINUTE;
        // 600 are nine cycles and 15 more.
        let prevented = if cycle < 9 { 60 } else { 10 };
        Ok(json!({"at": time(at)?, "expires": time(at + 3630)?, "earlier_bans": cycle,
            "prevented_failures": prevented}))
    });
    expect(
        &report,
        // By the clock, and for all that no monitoring: it guesses.
        &json!({"effect": {"bans": 10, "prevented_failures": 550, "attackers": 1}, "recognised": [],
            "bans": bans.collect::<Result<Vec<_>>>()?}),
    );
    Ok(())
}

/// As fail2ban has it: a ban of 603 s, then one of twice that, then one of four times that; after
/// one ban each failure counts for two, after two bans for three.
#[test]
fn bans_that_grow_longer_are_told_with_their_true_ends() -> Result<()> {
    let mut log = Log::new(Version::V2_3);
    for number in 0..400 {
        log.guess(START + 10 * number, ATTACKER, "root");
    }
    let logs = Logs::of(&log)?;
    logs.add("d.conf", "[dovecot]\nbantime.increment = true\nbantime = 603\n")?;
    let report = logs.simulate(&["mail.log", "--no-sweep", "--config", "d.conf"])?;
    adds_up(&report);
    // From 40 s to 643 s; 650, 660, 670 make six: to 1876 s; 1880, 1890 make six again: to 4302 s.
    let ban = |number: u32, from: Seconds, to: Seconds, prevented: u32| -> Result<_> {
        Ok(json!({"at": time(START + from)?, "expires": time(START + to)?,
            "earlier_bans": number, "prevented_failures": prevented}))
    };
    expect(
        &report,
        &json!({"policy": {"increment": true}, "bans":
            [ban(0, 40, 643, 60)?, ban(1, 670, 1876, 120)?, ban(2, 1890, 4302, 210)?]}),
    );
    Ok(())
}

/// Two hundred addresses, each with a probe every 260 s or so, at least 170 s apart and four of
/// them never within ten minutes: fail2ban's estimate, at most three, and the one that comes are
/// four at most.
#[test]
fn a_slow_distributed_scan_stays_below_maxretry_and_is_said_to() -> Result<()> {
    let mut log = Log::new(Version::V2_4);
    for round in 0..36 {
        for host in 0..200 {
            // Not on the second, or it would look like monitoring.
            let late = (round * round * 37 + round * Seconds::from(host) * 11) % 90;
            log.probe(START + round * 260 + late, [198, 51, 100, host], 0);
        }
    }
    let caught_by = |maxretry| simulate(&log, &["--mode", "aggressive", "--maxretry", maxretry]);
    let report = caught_by("5")?;
    adds_up(&report);
    expect(
        &report,
        &json!({
            "read": {"failures": 7200, "clients": 200},
            "effect": {"bans": 0, "attackers": 200, "attackers_caught": 0, "prevented_failures": 0},
            "top_networks": [{"subject": "198.51.100.0/24", "failures": 7200, "clients": 200}],
        }),
    );
    let report = caught_by("2")?;
    expect(
        &report,
        &json!({"effect": {"banned_clients": 200, "attackers": 200, "attackers_caught": 200}}),
    );
    Ok(())
}

#[test]
fn an_ipv6_client_is_its_prefix() -> Result<()> {
    let host =
        |net: u16, host: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 7, net, 0, 0, 0, host));
    let mut log = Log::new(Version::V2_4);
    for number in 0..5 {
        log.probe(START + 10 * i64::from(number), host(1, 1 + number), 0);
        // Another network each time: no more can be told of it.
        log.probe(START + 10 * i64::from(number) + 3, host(100 + number, 1), 0);
    }
    let by_network = simulate(&log, &AGGRESSIVE)?;
    adds_up(&by_network);
    expect(
        &by_network,
        &json!({"read": {"clients": 6}, "effect": {"bans": 1}, "bans": [
            {"subject": "2001:db8:7:1::/64", "at": time(START + 40)?, "expires": time(START + 640)?},
        ]}),
    );
    let by_address = simulate(&log, &[&AGGRESSIVE[..], &["--ipv6-prefix", "128"]].concat())?;
    expect(&by_address, &json!({"read": {"clients": 10}, "effect": {"bans": 0}}));
    let wide = simulate(&log, &[&AGGRESSIVE[..], &["--ipv6-prefix", "48"]].concat())?;
    expect(
        &wide,
        &json!({"read": {"clients": 1}, "effect": {"bans": 1}, "bans": [
            {"subject": "2001:db8:7::/48", "at": time(START + 20)?},
        ]}),
    );
    Ok(())
}

#[test]
fn whoever_is_ignored_is_never_banned() -> Result<()> {
    let mut log = Log::new(Version::V2_3);
    for number in 0..20 {
        log.guess(START + 10 * number, [192, 0, 2, 7], "a");
        log.guess(START + 10 * number + 1, ATTACKER, "a");
    }
    let report = simulate(&log, &["--ignoreip", "192.0.2.0/24"])?;
    adds_up(&report);
    expect(
        &report,
        &json!({"effect": {"bans": 1, "prevented_failures": 15}, "bans": [{"subject": "203.0.113.7"}]}),
    );
    let both = simulate(&log, &[])?;
    expect(&both, &json!({"effect": {"bans": 2, "prevented_failures": 30}}));
    Ok(())
}

/// A ban without end prevents everything after it.
#[test]
fn a_ban_for_ever_is_one_ban() -> Result<()> {
    let mut log = Log::new(Version::V2_3);
    for number in 0..500 {
        log.guess(START + HOUR * number / 10, ATTACKER, "a");
    }
    let flags = ["--bantime", "-1", "--findtime", "1d"];
    let report = simulate(&log, &flags)?;
    adds_up(&report);
    expect(
        &report,
        &json!({"policy": {"bantime": null}, "effect": {"bans": 1, "prevented_failures": 495},
            "bans": [{"expires": null}]}),
    );
    Ok(())
}

/// Whatever a connection that began before the ban still says came in spite of it.
#[test]
fn connections_from_before_the_ban_are_not_prevented_by_it() -> Result<()> {
    let mut log = Log::new(Version::V2_3);
    for number in 0..5 {
        log.guess(START + 200 + number, ATTACKER, "a");
    }
    // The ban is at 204 s. Began at 150 s, 203 s, 206 s.
    log.probe(START + 330, ATTACKER, 180).probe(START + 210, ATTACKER, 7).probe(
        START + 216,
        ATTACKER,
        10,
    );
    let report = simulate(&log, &[])?;
    adds_up(&report);
    expect(
        &report,
        &json!({
            "read": {"failures": 8, "connections": 8, "login_process_seconds": 197},
            "effect": {"bans": 1, "prevented_failures": 1, "prevented_connections": 1,
                "prevented_login_process_seconds": 10},
        }),
    );
    Ok(())
}

/// What is kept of them is bounded, what is counted is not.
#[test]
fn ten_thousand_attackers_are_counted_where_not_all_are_listed() -> Result<()> {
    let mut log = Log::new(Version::V2_4);
    for number in 0..10_000_u32 {
        let ip = Ipv4Addr::from(0x0b00_0000 + number);
        for time in 0..6 {
            log.guess(START + Seconds::from(number) + time, ip, "a");
        }
    }
    let report = simulate(&log, &[])?;
    expect(
        &report,
        &json!({"effect": {"bans": 10_000, "banned_clients": 10_000, "attackers": 10_000,
            "attackers_caught": 10_000, "prevented_failures": 10_000}}),
    );
    let listed = report["bans"].as_array().map_or(0, Vec::len);
    assert_eq!(json!(10_000 - listed), report["bans_left_out"]);
    Ok(())
}
