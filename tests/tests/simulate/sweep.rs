//! Other settings than the ones asked for, and which of them is recommended.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use blocker_tests::attempts::{Log, Version};
use serde_json::{Value, json};

use crate::{
    AGGRESSIVE, Logs, START, adds_up, expect,
    model::{Answer, Deed, Event, Policy, flags, log, would_have_been},
    simulate,
};

const GUESSERS: u8 = 30;

/// Guessers from hasty to patient, each with another pace and stamina, and users who log in and
/// mistype once in a while.
fn events() -> Vec<Event> {
    let mut events = Vec::new();
    for client in 0..GUESSERS {
        let (number, pace) = (i64::from(client), [7, 31, 127, 301, 1013][usize::from(client) % 5]);
        for guess in 0..(3 + number * 7) {
            // Not quite regular.
            let at = START + 11 * number + pace * guess + (guess * guess) % 5;
            events.push(Event { at, client, deed: Deed::Guess, waited: 0 });
        }
    }
    for client in GUESSERS..GUESSERS + 10 {
        for day in 0..4 {
            let at = START + 20_000 * day + 997 * i64::from(client);
            events.push(Event { at, client, deed: Deed::Login, waited: 0 });
            // Who mistypes three times in a row is two of them.
            for typo in 0..i64::from(client % 4) {
                events.push(Event { at: at - 60 + 9 * typo, client, deed: Deed::Guess, waited: 0 });
            }
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

fn policy_of(cell: &Value) -> Result<Policy> {
    let seconds = |name: &str| cell[name].as_i64().with_context(|| format!("{name} of {cell}"));
    Ok(Policy {
        maxretry: u32::try_from(seconds("maxretry")?)?,
        findtime: seconds("findtime")?,
        // For ever is longer than the log.
        bantime: cell["bantime"].as_i64().unwrap_or(1 << 40),
    })
}

fn effect(answer: &Answer, events: &[Event]) -> Value {
    let banned = answer.banned();
    let users: BTreeSet<u8> =
        events.iter().filter(|it| it.deed == Deed::Login).map(|it| it.client).collect();
    let hit = banned.iter().filter(|client| users.contains(client)).count();
    json!({
        "bans": answer.bans.len(), "banned_clients": banned.len(),
        "attackers": GUESSERS, "attackers_caught": banned.len() - hit,
        "prevented_failures": answer.prevented_failures(),
        "prevented_connections": answer.prevented_connections,
        "clients_with_users_hit": hit, "users_hit": hit, "logins_locked_out": answer.locked_out,
    })
}

fn cells(report: &Value) -> Result<Vec<Value>> {
    let list = |name: &str| report["sweep"][name].as_array().with_context(|| format!("no {name}"));
    Ok([list("cells")?.as_slice(), list("bantimes")?].concat())
}

#[test]
fn every_cell_is_what_the_model_says_and_what_a_run_of_its_own_says() -> Result<()> {
    let events = events();
    let log = log(Version::V2_4, &events);
    let logs = Logs::of(&log)?;
    let report = logs.simulate(&["mail.log", "--bantime", "3607"])?;
    adds_up(&report);
    let sweep = &report["sweep"];
    let axis = |name: &str| -> Result<Vec<i64>> {
        let list = sweep[name].as_array().with_context(|| format!("no {name}"))?;
        Ok(list.iter().filter_map(Value::as_i64).collect())
    };
    let (columns, rows) = (axis("maxretry")?, axis("findtime")?);
    assert!(columns.len() >= 4 && rows.len() >= 4, "{columns:?} {rows:?}");
    assert!(columns.is_sorted() && rows.is_sorted());
    assert!(columns.contains(&5) && rows.contains(&600), "what was asked for is not in it");
    let places = rows.iter().flat_map(|row| columns.iter().map(move |column| (*column, *row)));
    let all = cells(&report)?;
    for (place, cell) in places.zip(&all) {
        assert_eq!(
            (cell["maxretry"].as_i64(), cell["findtime"].as_i64()),
            (Some(place.0), Some(place.1))
        );
        assert_eq!(cell["bantime"], 3607);
    }
    for cell in &all {
        let policy = policy_of(cell)?;
        let wanted = effect(&would_have_been(policy, &events), &events);
        expect(cell, &json!({"effect": wanted}));
        let mut flags = flags(policy);
        if cell["bantime"].is_null() {
            flags[5] = "-1".to_owned();
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let alone = logs.simulate(&[&["mail.log", "--no-sweep"], &flags[..]].concat())?;
        assert_eq!(alone["effect"], cell["effect"], "{flags:?}");
    }
    // The cell of what was asked for is the run itself.
    let asked = all.iter().find(|cell| cell["maxretry"] == 5 && cell["findtime"] == 600);
    assert_eq!(asked.map(|cell| &cell["effect"]), Some(&report["effect"]));
    Ok(())
}

fn number(effect: &Value, name: &str) -> u64 {
    effect[name].as_u64().unwrap_or_default()
}

/// No cell that catches as much hits fewer users; what is to be pasted does what it says.
fn recommends_well(logs: &Logs, flags: &[&str]) -> Result<Value> {
    let report = logs.simulate(&[&["mail.log"], flags].concat())?;
    adds_up(&report);
    let best = &report["recommendation"];
    let effect = &best["effect"];
    for cell in cells(&report)? {
        let other = &cell["effect"];
        let is_as_good = number(other, "attackers_caught") >= number(effect, "attackers_caught")
            && number(other, "prevented_failures") >= number(effect, "prevented_failures");
        let is_kinder =
            number(other, "clients_with_users_hit") < number(effect, "clients_with_users_hit");
        assert!(
            best["mode"] != report["sweep"]["mode"] || !(is_as_good && is_kinder),
            "{cell} is better than {best}"
        );
    }
    let snippet = best["snippet"].as_str().context("no snippet")?;
    logs.add("d.conf", snippet)?;
    let words = [&["mail.log", "--no-sweep", "--config", "d.conf"], kept(flags)].concat();
    let pasted = logs.simulate(&words)?;
    assert_eq!(pasted["effect"], *effect, "{snippet}");
    for name in ["mode", "maxretry", "findtime", "bantime"] {
        assert_eq!(pasted["policy"][name], best[name], "{name}");
    }
    for change in best["changes"].as_array().into_iter().flatten() {
        assert_ne!(change["from"], change["to"]);
        let option = change["option"].as_str().context("no option")?;
        assert!(snippet.contains(option), "{option} is not in {snippet}");
    }
    assert!(best["reason"].as_str().is_some_and(|reason| reason.len() > 20), "{best}");
    Ok(report)
}

/// Flags that a recommendation does not speak of stay as they are.
fn kept<'f>(flags: &'f [&'f str]) -> &'f [&'f str] {
    let at = flags.iter().position(|flag| *flag == "--ignore-authenticated");
    at.and_then(|at| flags.get(at..at + 2)).unwrap_or_default()
}

#[test]
fn what_is_recommended_can_be_pasted_and_hits_nobody_it_need_not() -> Result<()> {
    let logs = Logs::of(&log(Version::V2_4, &events()))?;
    for flags in [&[][..], &["--maxretry", "1"], &["--maxretry", "50", "--findtime", "1m"]] {
        let report = recommends_well(&logs, flags)?;
        // Thirty guessers, some of them with more than twenty guesses in a minute.
        assert!(number(&report["recommendation"]["effect"], "attackers_caught") >= 20);
    }
    Ok(())
}

/// Phones that probe, and scanners: the aggressive mode hits users where logins are not looked at.
#[test]
fn aggressive_is_recommended_only_where_it_hits_no_more_users() -> Result<()> {
    let mut log = Log::new(Version::V2_4);
    for phone in 0..20 {
        for round in 0..60 {
            let at = START + 601 * round + 13 * i64::from(phone);
            log.probe(at, [192, 0, 2, phone], 0).probe(at + 2, [192, 0, 2, phone], 0);
            log.login(at + 40, [192, 0, 2, phone], &format!("user{phone}"));
        }
    }
    for scanner in 0..20 {
        for probe in 0..200 {
            let late = (probe * probe) % 9;
            log.probe(START + 23 * probe + late, [203, 0, 113, scanner], 0);
        }
    }
    let logs = Logs::of(&log)?;
    let spared = recommends_well(&logs, &AGGRESSIVE)?;
    expect(
        &spared["recommendation"],
        &json!({"mode": "aggressive", "effect": {"clients_with_users_hit": 0, "attackers_caught": 20}}),
    );
    let modes = simulate(&log, &[])?;
    expect(&modes["modes"][0], &json!({"effect": {"attackers_caught": 0}}));
    expect(
        &modes["modes"][1],
        &json!({"effect": {"attackers_caught": 20, "clients_with_users_hit": 0}}),
    );
    recommends_well(&logs, &[&AGGRESSIVE[..], &["--ignore-authenticated", "0"]].concat())?;
    Ok(())
}

#[test]
fn nothing_is_swept_where_that_is_not_wanted() -> Result<()> {
    let report = simulate(&log(Version::V2_3, &events()), &[])?;
    expect(&report, &json!({"sweep": null}));
    Ok(())
}
