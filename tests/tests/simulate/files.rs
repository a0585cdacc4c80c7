//! Where the lines come from: rotated, packed, merged, damaged, or not there.

use std::io::Write as _;

use anyhow::Result;
use blocker_tests::{
    attempts::{Log, Style, Version},
    simulation,
};
use serde_json::{Value, json};

use crate::{AGGRESSIVE, HOUR, Logs, START, adds_up, expect, time};

const DAY: i64 = 24 * HOUR;

/// Four days of somebody who guesses every 20 minutes, across every midnight, and of users.
fn days() -> Log {
    let mut log = Log::new(Version::V2_4);
    for number in 0..(4 * 72) {
        let at = START + 20 * 60 * number;
        log.guess(at, [203, 0, 113, 7], "root").login(at + 1, [192, 0, 2, 7], "alice");
        log.probe(at + 2, [198, 51, 100, 7], 3);
    }
    log
}

const FLAGS: [&str; 7] =
    ["--mode", "aggressive", "--findtime", "2h", "--bantime", "25000", "--no-sweep"];

fn day(log: &Log, number: i64) -> Result<String> {
    log.between(START + DAY * number, START + DAY * (number + 1)).text(&Style::Iso)
}

fn gzip(text: &str) -> Result<Vec<u8>> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes())?;
    Ok(packer.finish()?)
}

fn zstd(text: &str) -> Vec<u8> {
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    ruzstd::encoding::compress_to_vec(text.as_bytes(), level)
}

/// Without what is allowed to differ.
fn essence(mut report: Value) -> Value {
    report["read"]["logs"].take();
    report["made_at"].take();
    report
}

#[test]
fn rotated_and_packed_logs_in_any_order_are_read_in_the_order_of_time() -> Result<()> {
    let log = days();
    let logs = Logs::of(&log)?;
    let whole = logs.simulate(&[&["mail.log"], &FLAGS[..]].concat())?;
    adds_up(&whole);
    // The guess every 1,200 s is one too many the fifth time.
    let first = &whole["bans"][0];
    expect(first, &json!({"subject": "203.0.113.7", "at": time(START + 4 * 1200)?}));
    let rotated = Logs::new()?;
    rotated.add("mail.log", day(&log, 3)?)?;
    rotated.add("mail.log.1", day(&log, 2)?)?;
    rotated.add("mail.log.2.gz", gzip(&day(&log, 1)?)?)?;
    rotated.add("mail.log.3.zst", zstd(&day(&log, 0)?))?;
    for order in [
        ["mail.log", "mail.log.1", "mail.log.2.gz", "mail.log.3.zst"],
        ["mail.log.2.gz", "mail.log", "mail.log.3.zst", "mail.log.1"],
    ] {
        let report = rotated.simulate(&[&order[..], &FLAGS].concat())?;
        let read = &report["read"]["logs"];
        assert_eq!(*read, json!(["mail.log.3.zst", "mail.log.2.gz", "mail.log.1", "mail.log"]));
        assert_eq!(essence(report), essence(whole.clone()), "{order:?}");
    }
    Ok(())
}

#[test]
fn the_log_may_come_through_a_pipe() -> Result<()> {
    let logs = Logs::of(&days())?;
    let whole = logs.simulate(&[&["mail.log"], &FLAGS[..]].concat())?;
    let piped = simulation::simulate_input(logs.0.path(), &logs.path("mail.log"), &FLAGS)?;
    assert_eq!(essence(piped), essence(whole));
    Ok(())
}

/// Three guesses at each of two servers, in turn: the fifth of all is one too many.
#[test]
fn the_logs_of_two_servers_are_one_attack() -> Result<()> {
    let [mut one, mut other] = [Log::new(Version::V2_3), Log::new(Version::V2_4)];
    for number in 0..3 {
        one.guess(START + 60 * number, [203, 0, 113, 7], "root");
        other.guess(START + 60 * number + 30, [203, 0, 113, 7], "root");
    }
    // So that one log ends long before the other.
    other.login(START + HOUR, [192, 0, 2, 7], "alice");
    let logs = Logs::new()?;
    logs.add("mx1.log", one.text(&Style::Iso)?)?;
    logs.add("mx2.log", other.text(&Style::Iso)?)?;
    let alone = logs.simulate(&["mx1.log", "--no-sweep"])?;
    expect(&alone, &json!({"effect": {"bans": 0}}));
    for order in [["mx1.log", "mx2.log"], ["mx2.log", "mx1.log"]] {
        let report = logs.simulate(&[&order[..], &["--no-sweep"]].concat())?;
        adds_up(&report);
        expect(
            &report,
            &json!({
                "read": {"lines": 7, "failures": 6, "from": time(START)?, "to": time(START + HOUR)?},
                "effect": {"bans": 1, "prevented_failures": 1},
                "bans": [{"subject": "203.0.113.7", "at": time(START + 120)?}],
            }),
        );
    }
    Ok(())
}

/// As with `regex`: the lines before the damage count, and the exit code tells.
#[test]
fn of_a_damaged_archive_what_can_be_read_is_read_and_the_rest_is_told() -> Result<()> {
    let log = days();
    let logs = Logs::new()?;
    let packed = gzip(&day(&log, 0)?)?;
    logs.add("mail.log.1.gz", packed.get(..packed.len() / 2).unwrap_or_default())?;
    logs.add("mail.log", day(&log, 1)?)?;
    let words = [&["mail.log", "mail.log.1.gz", "--format", "json"], &FLAGS[..]].concat();
    let ended = simulation::simulate_output(logs.0.path(), &words)?;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("mail.log.1.gz"), "{said}");
    let report: Value = serde_json::from_slice(&ended.stdout)?;
    adds_up(&report);
    let lines = report["read"]["lines"].as_u64().unwrap_or_default();
    assert!((217..432).contains(&lines), "{lines}");
    assert_eq!(report["read"]["from"], time(START)?);
    Ok(())
}

#[test]
fn an_empty_log_is_no_error_and_holds_nothing() -> Result<()> {
    let logs = Logs::new()?;
    logs.add("mail.log", "")?;
    for sweep in [&["--no-sweep"][..], &[]] {
        let report = logs.simulate(&[&["mail.log"], &AGGRESSIVE[..], sweep].concat())?;
        adds_up(&report);
        expect(
            &report,
            &json!({
                "read": {"lines": 0, "from": null, "to": null, "failures": 0, "clients": 0},
                "effect": {"bans": 0, "attackers": 0}, "bans": [], "recognised": [],
                "recommendation": null, "top_sources": [], "rules": [],
            }),
        );
    }
    Ok(())
}

#[test]
fn a_log_that_is_not_there_is_named() -> Result<()> {
    let logs = Logs::new()?;
    let ended = simulation::simulate_output(logs.0.path(), &["none.log"])?;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("none.log"), "{ended:?}");
    Ok(())
}

#[test]
fn lines_of_others_and_without_a_time_change_nothing_but_their_number() -> Result<()> {
    let mut log = days();
    let before = Logs::of(&log)?.simulate(&[&["mail.log"], &FLAGS[..]].concat())?;
    for number in 0..100 {
        log.other(
            START + 997 * number,
            "lmtp(7)",
            "Disconnect from local: Logged out (state=READY)",
        );
    }
    let logs = Logs::new()?;
    let noise = "  continued by a program that writes several lines\n";
    logs.add(
        "mail.log",
        log.text(&Style::Iso)?.replace("state=READY)\n", &format!("state=READY)\n{noise}")),
    )?;
    let after = logs.simulate(&[&["mail.log"], &FLAGS[..]].concat())?;
    expect(&after, &json!({"read": {"lines": 3 * 288 + 200, "undated": 100}}));
    for same in ["effect", "bans", "rules", "top_sources", "hits"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    Ok(())
}
