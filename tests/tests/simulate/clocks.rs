//! What the times mean: years that are not written, hours that come twice or not at all.

use anyhow::Result;
use blocker_tests::attempts::{Log, Seconds, Style, Version};
use jiff::{Timestamp, civil::date, tz::TimeZone};
use serde_json::{Value, json};

use crate::{Logs, adds_up, expect, time};

const ATTACKER: [u8; 4] = [203, 0, 113, 7];

/// Six guesses, a minute apart, the fifth of them at `fifth`, in the local time of `zone`.
fn around(fifth: Seconds, zone: &TimeZone) -> Result<Value> {
    let mut log = Log::new(Version::V2_3);
    for number in 0..6 {
        log.guess(fifth + 60 * (number - 4), ATTACKER, "root");
    }
    let logs = Logs::new()?;
    let mut reports = Vec::new();
    for style in [Style::Own(zone.clone()), Style::Syslog(zone.clone())] {
        logs.add("mail.log", log.text(&style)?)?;
        let name = zone.iana_name().unwrap_or("UTC");
        reports.push(logs.simulate(&["mail.log", "--no-sweep", "--timezone", name])?);
    }
    adds_up(&reports[0]);
    assert_eq!(reports[0]["bans"], reports[1]["bans"]);
    let report = reports.swap_remove(0);
    expect(
        &report,
        &json!({
            "read": {"from": time(fifth - 240)?, "to": time(fifth + 60)?},
            "effect": {"bans": 1, "prevented_failures": 1},
            "bans": [{"at": time(fifth)?, "expires": time(fifth + 600)?}],
        }),
    );
    Ok(report)
}

/// The last midnight between years.
fn new_year() -> Result<Seconds> {
    let now = Timestamp::now();
    let year = now.to_zoned_datetime(TimeZone::UTC).year();
    Ok(date(year, 1, 1).to_zoned_datetime(TimeZone::UTC)?.timestamp().as_second())
}

#[test]
fn a_year_that_is_not_written_changes_in_the_middle_of_an_attack() -> Result<()> {
    let midnight = new_year()?;
    // The log ends a minute after the fifth guess.
    if Timestamp::now().as_second() > midnight + 120 {
        around(midnight + 30, &TimeZone::UTC).map(drop)?;
    }
    Ok(())
}

/// The last one in Berlin before now in which the clocks were set; 25 October 2026, 01:00 UTC is
/// one of them.
fn clock_change(is_forward: bool) -> Result<(Seconds, TimeZone)> {
    let zone = TimeZone::get("Europe/Berlin")?;
    let mut changes = zone.preceding(Timestamp::now());
    let found = changes.find(|change| change.dst().is_dst() == is_forward);
    let change = found.ok_or_else(|| anyhow::anyhow!("the clocks are never set"))?;
    Ok((change.timestamp().as_second(), zone.clone()))
}

/// The fifth guess is at 02:00:30 for the second time, the fourth was at 02:59:30.
#[test]
fn an_hour_that_comes_twice_is_an_hour_each_time() -> Result<()> {
    let (change, zone) = clock_change(false)?;
    around(change + 30, &zone).map(drop)
}

/// The fifth guess is at 03:00:30, the fourth was at 01:59:30.
#[test]
fn an_hour_that_is_left_out_is_no_time() -> Result<()> {
    let (change, zone) = clock_change(true)?;
    around(change + 30, &zone).map(drop)
}

/// The hours of the day are those of the clock on the wall.
#[test]
fn hours_of_the_day_are_in_the_zone_that_was_asked_for() -> Result<()> {
    let noon = crate::START + 12 * crate::HOUR;
    let report = around(noon + 30, &TimeZone::get("Asia/Tokyo")?)?;
    assert_eq!(report["series"]["zone"], "Asia/Tokyo");
    let counts: Vec<u64> = report["hours"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|hour| hour["failures"].as_u64())
        .collect();
    // Four at 20:5x, two at 21:00 and 21:01.
    let mut wanted = vec![0; 24];
    (wanted[20], wanted[21]) = (4, 2);
    assert_eq!(counts, wanted);
    Ok(())
}
