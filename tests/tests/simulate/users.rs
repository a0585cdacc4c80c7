//! Real users: who would have been locked out, who is spared, who is recognised.

use anyhow::{Context as _, Result};
use blocker_tests::attempts::{Log, Seconds, Version};
use serde_json::{Value, json};

use crate::{AGGRESSIVE, HOUR, MINUTE, START, adds_up, expect, simulate, time};

const GATEWAY: [u8; 4] = [203, 0, 113, 1];
const USERS: Seconds = 40;
const ROUNDS: Seconds = 36;

/// A company behind one address: each of its phones logs in every ten minutes, and five minutes
/// later connects without logging in.
fn phones() -> Log {
    let mut log = Log::new(Version::V2_4);
    for round in 0..ROUNDS {
        for user in 0..USERS {
            let at = START + 600 * round + 7 * user;
            log.login(at, GATEWAY, &format!("user{user}")).probe(at + 300, GATEWAY, 0);
        }
    }
    log
}

/// The number of users that a hit or something recognised tells of.
fn users(hit: &Value) -> u64 {
    let listed = hit["users"].as_array().map_or(0, Vec::len) as u64;
    listed + hit["users_left_out"].as_u64().unwrap_or_default()
}

#[test]
fn phones_behind_one_address_are_spared_for_their_logins() -> Result<()> {
    let report = simulate(&phones(), &AGGRESSIVE)?;
    adds_up(&report);
    expect(
        &report,
        &json!({
            "read": {"logins": USERS * ROUNDS, "failures": USERS * ROUNDS, "clients": 1},
            "effect": {"bans": 0, "attackers": 0, "users_hit": 0},
            "hits": {"clients": []},
            "recognised": [{"subject": "203.0.113.1", "kind": "gateway", "users": USERS,
                "logins": USERS * ROUNDS, "banned": false, "ignored": false, "interval_secs": null}],
        }),
    );
    let line = report["recognised"][0]["ignoreip"].as_str().context("no line")?;
    assert!(line.starts_with("ignoreip = ") && line.contains("203.0.113.1"), "{line}");
    // What is saved is told, whatever was asked for.
    let saved = &report["hits"]["without_ignore_authenticated"];
    assert_eq!(saved.as_array().map(Vec::len), Some(1), "{saved:#}");
    expect(&saved[0], &json!({"subject": "203.0.113.1", "first_ban": time(START + 328)?}));
    assert_eq!(users(&saved[0]), 40);
    Ok(())
}

/// The fifth probe of a round comes at 328 s and is one too many, for 605 s. The next probe is at
/// 935 s, and at 963 s there is the next ban: every 635 s one, eight of them until those of a round
/// have all come while the eighth is in force. So it begins anew after nine rounds.
#[test]
fn without_ignore_authenticated_all_of_them_are_locked_out() -> Result<()> {
    let flags = ["--mode", "aggressive", "--ignore-authenticated", "0", "--bantime", "605"];
    let report = simulate(&phones(), &flags)?;
    adds_up(&report);
    let bans: Vec<Seconds> =
        (0..4).flat_map(|cycle| (0..8).map(move |n| 328 + 5400 * cycle + 635 * n)).collect();
    let during = |at: Seconds| bans.iter().any(|&ban| ban < at && at <= ban + 605);
    let all = (0..ROUNDS).flat_map(|round| (0..USERS).map(move |user| 600 * round + 7 * user));
    let locked_out = all.clone().filter(|&at| during(at)).count();
    let prevented = all.filter(|&at| during(at + 300)).count();
    let begin = |ban: &Seconds| time(START + ban).map(|at| json!({"at": at}));
    expect(
        &report,
        &json!({
            "policy": {"ignore_authenticated": 0},
            "effect": {"bans": 32, "banned_clients": 1, "attackers": 0, "attackers_caught": 0,
                "clients_with_users_hit": 1, "users_hit": USERS, "logins_locked_out": locked_out,
                "prevented_failures": prevented, "prevented_connections": prevented + locked_out},
            "bans": bans.iter().map(begin).collect::<Result<Vec<_>>>()?,
            "hits": {"clients": [{"subject": "203.0.113.1", "bans": 32, "logins": USERS * ROUNDS,
                "first_login": time(START)?, "first_ban": time(START + 328)?,
                "locked_out": locked_out}]},
        }),
    );
    assert_eq!(users(&report["hits"]["clients"][0]), 40);
    let recognised = json!({"recognised": [{"kind": "gateway", "banned": true}]});
    expect(&report, &recognised);
    Ok(())
}

#[test]
fn typos_that_are_mended_ban_nobody() -> Result<()> {
    for version in [Version::V2_3, Version::V2_4] {
        let mut log = Log::new(version);
        for user in 0..30 {
            log.typo_and_login(START + 10 * user, GATEWAY, &format!("user{user}"));
        }
        let report = simulate(&log, &[])?;
        adds_up(&report);
        expect(&report, &json!({"read": {"failures": 30, "logins": 30}, "effect": {"bans": 0}}));
    }
    Ok(())
}

#[test]
fn monitoring_every_minute_is_recognised_and_is_no_attacker() -> Result<()> {
    let mut log = Log::new(Version::V2_3);
    for minute in 0..360 {
        // A second late now and then.
        let late = Seconds::from(minute % 7 == 0);
        log.probe(START + MINUTE * minute + late, [198, 51, 100, 5], 0);
        // Somebody who guesses, so that there is an attacker as well.
        if minute < 20 {
            log.guess(START + 17 * minute * (minute + 1) / 2, [203, 0, 113, 66], "root");
        }
    }
    let report = simulate(&log, &AGGRESSIVE)?;
    adds_up(&report);
    expect(
        &report,
        &json!({
            "effect": {"attackers": 1, "attackers_caught": 1, "banned_clients": 2},
            "recognised": [{"subject": "198.51.100.5", "kind": "monitoring", "failures": 360,
                "logins": 0, "banned": true, "ignored": false}],
        }),
    );
    let interval = report["recognised"][0]["interval_secs"].as_f64().context("no interval")?;
    assert!((59.0..=61.0).contains(&interval), "{interval}");
    let flags = [&AGGRESSIVE[..], &["--ignoreip", "198.51.100.5"]].concat();
    expect(&simulate(&log, &flags)?, &json!({"effect": {"banned_clients": 1}}));
    Ok(())
}

/// One of the users behind an address guesses, or has a virus that does.
fn shared() -> Log {
    let mut log = Log::new(Version::V2_4);
    for number in 0..5 {
        log.guess(START + 10 * number, GATEWAY, "root");
    }
    for (at, user) in [(100, "alice"), (200, "bob"), (3000, "bob"), (4000, "alice")] {
        log.login(START + at, GATEWAY, user);
    }
    log
}

#[test]
fn users_who_are_locked_out_are_named_and_counted() -> Result<()> {
    let report = simulate(&shared(), &["--bantime", "1h"])?;
    adds_up(&report);
    expect(
        &report,
        &json!({
            "read": {"failures": 5, "logins": 4, "connections": 9},
            "effect": {"bans": 1, "attackers": 0, "clients_with_users_hit": 1, "users_hit": 2,
                "logins_locked_out": 3, "prevented_failures": 0, "prevented_connections": 3},
            "hits": {"clients": [{
                "subject": "203.0.113.1", "users": ["alice", "bob"], "users_left_out": 0,
                "logins": 4, "first_login": time(START + 100)?, "last_login": time(START + 4000)?,
                "bans": 1, "first_ban": time(START + 40)?, "failures": 5, "locked_out": 3,
            }], "clients_left_out": 0},
        }),
    );
    Ok(())
}

/// A login that a ban would have prevented lifts no ban, and one that came in spite of it does.
#[test]
fn logins_lift_bans_only_where_they_were_possible() -> Result<()> {
    let mut log = Log::new(Version::V2_4);
    for number in 0..5 {
        log.probe(START + 10 * number, GATEWAY, 0);
    }
    log.login(START + 100, GATEWAY, "alice");
    for number in 0..10 {
        log.probe(START + 200 + 10 * number, GATEWAY, 0);
    }
    let would_have_been = simulate(&log, &AGGRESSIVE)?;
    adds_up(&would_have_been);
    expect(
        &would_have_been,
        &json!({"effect": {"bans": 1, "logins_locked_out": 1, "prevented_failures": 10,
            "users_hit": 1}}),
    );
    let as_logged = simulate(&log, &[&AGGRESSIVE[..], &["--as-logged"]].concat())?;
    expect(&as_logged, &json!({"bans": [{"at": time(START + 40)?}]}));
    Ok(())
}

/// For a day, and not for ever.
#[test]
fn a_login_forgives_probes_for_as_long_as_it_says() -> Result<()> {
    let mut log = Log::new(Version::V2_3);
    log.login(START, GATEWAY, "alice");
    for number in 0..6 {
        log.probe(START + HOUR + 10 * number, GATEWAY, 0);
        log.probe(START + 25 * HOUR + 10 * number, GATEWAY, 0);
    }
    let report = simulate(&log, &AGGRESSIVE)?;
    adds_up(&report);
    expect(
        &report,
        &json!({"effect": {"bans": 1, "clients_with_users_hit": 1, "users_hit": 1},
            "bans": [{"at": time(START + 25 * HOUR + 40)?}]}),
    );
    let longer = simulate(&log, &[&AGGRESSIVE[..], &["--ignore-authenticated", "2d"]].concat())?;
    expect(&longer, &json!({"effect": {"bans": 0}}));
    let never = simulate(&log, &[&AGGRESSIVE[..], &["--ignore-authenticated", "0"]].concat())?;
    expect(&never, &json!({"effect": {"bans": 2}}));
    Ok(())
}

/// More users than anybody wants to read: they are counted, and the first of them named.
#[test]
fn an_office_of_twenty_thousand_is_counted_whole() -> Result<()> {
    const OFFICE: Seconds = 20_000;
    let mut log = Log::new(Version::V2_4);
    for user in 0..OFFICE {
        log.login(START + user, GATEWAY, &format!("user{user}"));
    }
    // Five that forgot their passwords, at noon.
    for user in 0..5 {
        log.guess(START + 12 * HOUR + user, GATEWAY, &format!("user{user}"));
    }
    let report = simulate(&log, &[])?;
    adds_up(&report);
    expect(
        &report,
        &json!({
            "effect": {"bans": 1, "users_hit": OFFICE, "logins_locked_out": 0, "attackers": 0},
            "hits": {"clients": [{"logins": OFFICE, "locked_out": 0}]},
            "recognised": [{"kind": "gateway", "users": OFFICE, "banned": true}],
        }),
    );
    assert_eq!(users(&report["hits"]["clients"][0]), 20_000);
    assert_eq!(report["hits"]["clients"][0]["users"][0], "user0");
    Ok(())
}

/// Nobody is told from what is left that was not meant to be.
#[test]
fn an_anonymized_report_says_the_same_and_names_nobody() -> Result<()> {
    let plain = simulate(&shared(), &["--bantime", "1h"])?;
    let report = simulate(&shared(), &["--bantime", "1h", "--anonymize"])?;
    adds_up(&report);
    assert_eq!(report["effect"], plain["effect"]);
    assert_eq!(report["anonymized"], true);
    let text = report.to_string();
    for secret in ["alice", "bob", "203.0.113"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let hit = &report["hits"]["clients"][0];
    assert_eq!(hit["subject"], report["bans"][0]["subject"]);
    assert_eq!(users(hit), 2);
    Ok(())
}
