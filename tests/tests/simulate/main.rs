//! What `doveblock simulate` says, against what is known: each log here was made up, and its
//! answer worked out from how it was made, by hand or by a few lines of arithmetic. Nothing here
//! shares code with the simulator.
//!
//! Times are chosen so that no line falls on the very second in which a ban ends.

mod attackers;
mod clocks;
mod files;
mod model;
mod sweep;
mod users;

use std::{fs, path::PathBuf};

use anyhow::Result;
use blocker_tests::{
    attempts::{Log, Seconds, Style, shown},
    simulation,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// 2026-11-02T00:00:00Z, a Monday.
const START: Seconds = 1_793_577_600;
const MINUTE: Seconds = 60;
const HOUR: Seconds = 3600;

const AGGRESSIVE: [&str; 2] = ["--mode", "aggressive"];

/// A directory with logs in it.
struct Logs(TempDir);

impl Logs {
    fn new() -> Result<Self> {
        Ok(Self(TempDir::new()?))
    }

    /// With `log` as mail.log.
    fn of(log: &Log) -> Result<Self> {
        let logs = Self::new()?;
        logs.add("mail.log", log.text(&Style::Iso)?)?;
        Ok(logs)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn add(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        Ok(fs::write(self.path(name), content)?)
    }

    fn simulate(&self, words: &[&str]) -> Result<Value> {
        simulation::simulate(self.0.path(), words)
    }
}

/// What is found in `log`, without the sweep.
fn simulate(log: &Log, flags: &[&str]) -> Result<Value> {
    Logs::of(log)?.simulate(&[&["mail.log", "--no-sweep"], flags].concat())
}

/// `report` says `wanted`.
#[track_caller]
fn expect(report: &Value, wanted: &Value) {
    let differences = simulation::differences(report, wanted);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A time as it stands in a report.
fn time(at: Seconds) -> Result<Value> {
    Ok(Value::from(shown(at)?))
}

/// What every report has to be in itself, whatever it is about.
#[track_caller]
fn adds_up(report: &Value) {
    let sum = |list: &Value, of: fn(&Value) -> &Value| {
        list.as_array().into_iter().flatten().filter_map(|it| of(it).as_u64()).sum::<u64>()
    };
    let of_series = |name: &str| sum(&report["series"][name], |it| it);
    let effect = &report["effect"];
    assert_eq!(
        report["series"]["bans"].as_array().map(Vec::len),
        report["series"]["failures"].as_array().map(Vec::len)
    );
    for (found, wanted) in [
        (of_series("failures"), &report["read"]["failures"]),
        (of_series("logins"), &report["read"]["logins"]),
        (of_series("bans"), &effect["bans"]),
        (of_series("prevented"), &effect["prevented_failures"]),
        (sum(&report["rules"], |it| &it["count"]), &report["read"]["failures"]),
        (sum(&report["hours"], |it| &it["failures"]), &report["read"]["failures"]),
        (sum(&report["hours"], |it| &it["logins"]), &report["read"]["logins"]),
        (sum(&report["hours"], |it| &it["bans"]), &effect["bans"]),
    ] {
        assert_eq!(json!(found), *wanted, "{report:#}");
    }
    let mode = report["policy"]["mode"].as_str();
    let modes = report["modes"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(
        modes.iter().map(|it| it["mode"].as_str()).collect::<Vec<_>>(),
        [Some("normal"), Some("aggressive")]
    );
    for it in modes.iter().filter(|it| it["mode"].as_str() == mode) {
        assert_eq!(it["effect"], *effect);
    }
    if report["bans_left_out"] == 0 {
        assert_eq!(json!(report["bans"].as_array().map(Vec::len)), effect["bans"]);
        let prevented = sum(&report["bans"], |it| &it["prevented_failures"]);
        assert_eq!(json!(prevented), effect["prevented_failures"]);
    }
}
