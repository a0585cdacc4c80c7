//! What is told, what the dashboard and the alerts ask for, and what the documentation says
//! there is.

use std::{collections::BTreeSet, fs};

use super::{Attachment, Counters, Entries, Snapshot, Stats, text};

/// With something in everything that is told only then.
fn page() -> String {
    let stats = Stats::example();
    let mut entries = Entries::default();
    for subject in ["192.0.2.7/32", "2001:db8::/64", "2001:db8::/32", "198.51.100.0/24"] {
        entries.add(&subject.parse().unwrap(), 64);
    }
    let snapshot = Snapshot {
        stats: &stats,
        counters: Counters { dropped_tcp: 7, ..Counters::default() },
        entries,
        max_bans: 1000,
        attachments: vec![Attachment { interface: "eth0".to_owned(), is_generic: true }],
        wanted: 2,
        dry_run: false,
        mode: "aggressive".to_owned(),
        started_at: crate::time::LogTime::from_secs(1_795_530_000),
    };
    text(&snapshot).unwrap()
}

/// The names on the samples of `page`.
fn names(page: &str) -> BTreeSet<&str> {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

/// The names in `text` that are of our metrics.
fn named(text: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_name(c)).filter(|word| word.starts_with("doveblock_")).collect()
}

fn file(path: &str) -> String {
    fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn tells_every_number_and_ends() {
    let page = page();
    for line in [
        r#"doveblock_build_info{version="0.1.0",mode="aggressive"} 1"#,
        r#"doveblock_failures_total{rule="no-auth-attempts",service="managesieve"} 1"#,
        r#"doveblock_bans_total{kind="hand"} 0"#,
        r#"doveblock_dropped_packets_total{reason="tcp"} 7"#,
        r#"doveblock_map_entries{map="bans_v4"} 1"#,
        r#"doveblock_map_entries{map="bans_v6"} 1"#,
        r#"doveblock_map_entries{map="bans_net"} 2"#,
        r#"doveblock_map_capacity{map="bans_v4"} 1000"#,
        r#"doveblock_attached{interface="eth0",mode="generic"} 1"#,
        "doveblock_attached_interfaces 1",
        "doveblock_wanted_interfaces 2",
        "doveblock_start_time_seconds 1795530000.0",
        "doveblock_log_behind_bytes 512",
        "doveblock_log_lag_seconds 12.0",
        "doveblock_last_line_timestamp_seconds 1795539600.0",
        "# EOF",
    ] {
        assert!(page.lines().any(|of| of == line), "no {line} in\n{page}");
    }
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_what_there_is() {
    let page = page();
    let there_are = names(&page);
    for path in ["packaging/grafana/doveblock.json", "packaging/prometheus/doveblock.rules.yml"] {
        let text = file(path);
        let asked = named(&text);
        assert!(asked.len() >= 5, "{path} asks for {asked:?} only");
        let unknown: Vec<_> = asked.difference(&there_are).collect();
        assert!(unknown.is_empty(), "{path} asks for {unknown:?}, there are {there_are:#?}");
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&file("packaging/grafana/doveblock.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let shown = panels.iter().filter(|panel| panel["type"] != "row");
    for panel in shown {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty() && targets.iter().all(|target| target["expr"].is_string()));
    }
}

#[test]
fn the_table_of_metrics_is_what_there_is() {
    let page = page();
    let docs = file("docs/control.md");
    let table = docs.split("## Metrics").nth(1).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `doveblock_"));
    let listed: BTreeSet<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    assert_eq!(listed, names(&page));
}
