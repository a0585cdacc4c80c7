//! What a Prometheus server is told: numbers in, text of the OpenMetrics format out. Everything
//! is read when somebody asks, so that nothing is counted twice for it, and nobody pays for what
//! nobody asks for.

use std::{
    fmt,
    sync::atomic::{AtomicI64, AtomicU64},
};

use ipnet::IpNet;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{
    daemon::Stats,
    firewall::{Attachment, Counters},
    time::LogTime,
};

pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// As many banned networks as there is room for in the kernel's trie.
const MAX_NETWORKS: u32 = 65_536;

/// Everything that is told.
pub struct Snapshot<'a> {
    pub stats: &'a Stats,
    pub counters: Counters,
    pub entries: Entries,
    /// Of each family.
    pub max_bans: u32,
    pub attachments: Vec<Attachment>,
    /// How many interfaces are to be guarded.
    pub wanted: usize,
    pub dry_run: bool,
    pub mode: String,
    pub started_at: LogTime,
}

/// How full the maps of bans are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    v4: u32,
    v6: u32,
    networks: u32,
}

impl Entries {
    /// Counts the map that holds a ban of `subject`.
    pub fn add(&mut self, subject: &IpNet, ipv6_prefix: u8) {
        let map = match subject {
            IpNet::V4(v4) if v4.prefix_len() == 32 => &mut self.v4,
            IpNet::V6(v6) if v6.prefix_len() == ipv6_prefix => &mut self.v6,
            IpNet::V4(_) | IpNet::V6(_) => &mut self.networks,
        };
        *map = map.saturating_add(1);
    }
}

type Labels = Vec<(&'static str, String)>;

/// One metric after the other, each with its help.
struct Page(Registry);

impl Page {
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64, AtomicU64>::default();
        counter.inc_by(value);
        self.0.register(name, help, counter);
    }

    fn gauge(&mut self, name: &str, help: &str, value: i64) {
        let gauge = Gauge::<i64, AtomicI64>::default();
        gauge.set(value);
        self.0.register(name, help, gauge);
    }

    fn seconds(&mut self, name: &str, help: &str, micros: i64) {
        let gauge = Gauge::<f64, AtomicU64>::default();
        #[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit")]
        gauge.set(micros as f64 / 1e6);
        self.0.register_with_unit(name, help, Unit::Seconds, gauge);
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    fn gauges(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u32)>) {
        let family = Family::<Labels, Gauge>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value.into());
        }
        self.0.register(name, help, family);
    }
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

/// The text that Prometheus reads.
pub fn text(of: &Snapshot<'_>) -> Result<String, fmt::Error> {
    let mut page = Page(Registry::with_prefix("doveblock"));
    let build = [("version", env!("CARGO_PKG_VERSION").to_owned()), ("mode", of.mode.clone())];
    let help = "The version that runs, and which lines count";
    // A gauge, since Prometheus's older text format, which promtool reads, has no type for it.
    page.gauges("build_info", help, [(build.to_vec(), 1)]);
    let help = "When the daemon started, in Unix time";
    page.seconds("start_time", help, of.started_at.as_micros());
    logs(&mut page, of);
    bans(&mut page, of);
    kernel(&mut page, of);
    let mut text = String::new();
    encode(&mut text, &page.0)?;
    Ok(text)
}

fn logs(page: &mut Page, of: &Snapshot<'_>) {
    let stats = of.stats;
    page.counter("lines", "Lines read, since there has been a database", stats.lines());
    let help = "Lines that no timestamp leads that doveblock knows";
    page.counter("lines_undated", help, stats.undated());
    let help = "Bytes in the log files that have not been read yet";
    page.0.register_with_unit("log_behind", help, Unit::Bytes, {
        let gauge = Gauge::<i64, AtomicI64>::default();
        gauge.set(i64::try_from(stats.bytes_behind()).unwrap_or(i64::MAX));
        gauge
    });
    let last = stats.last_line().map_or(0, LogTime::as_micros);
    let help = "When the last line was written, in Unix time; 0 before there was any";
    page.seconds("last_line_timestamp", help, last);
    let behind = i64::try_from(stats.lag_secs()).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    page.seconds("log_lag", "How old the last line is that was read, while there are more", behind);
    let help = "Failures that counted, since the daemon started";
    let failures = stats.by_rule().map(|(rule, service, count)| {
        (vec![("rule", rule.to_owned()), ("service", service.to_owned())], count)
    });
    page.counters("failures", help, failures.filter(|(_, count)| *count > 0));
    let help = "Clients with failures inside findtime";
    page.gauge("clients_failing", help, i64::try_from(stats.currently_failed()).unwrap_or(0));
}

fn bans(page: &mut Page, of: &Snapshot<'_>) {
    let stats = of.stats;
    let help = "Bans set, since the daemon started";
    let kinds = [("log", stats.bans_by_log()), ("hand", stats.bans_by_hand())];
    page.counters("bans", help, kinds.map(|(kind, count)| (label("kind", kind), count)));
    let help = "Bans that ended before their time because max_bans was reached";
    page.counter("bans_evicted", help, stats.total_evicted());
    let help = "Times the database could not be written or read";
    page.counter("database_errors", help, stats.database_errors());
    let Entries { v4, v6, networks } = of.entries;
    let entries = [("bans_v4", v4), ("bans_v6", v6), ("bans_net", networks)];
    let help = "Bans in the kernel's maps, ended ones included until they are removed";
    page.gauges("map_entries", help, entries.map(|(map, count)| (label("map", map), count)));
    let max = of.max_bans;
    let room = [("bans_v4", max), ("bans_v6", max), ("bans_net", MAX_NETWORKS)];
    let help = "Most bans that the kernel's maps hold";
    page.gauges("map_capacity", help, room.map(|(map, count)| (label("map", map), count)));
}

fn kernel(page: &mut Page, of: &Snapshot<'_>) {
    let counters = &of.counters;
    let help = "Packets dropped, since the program was first attached, by what they were";
    let dropped = [
        ("tcp", counters.dropped_tcp),
        ("udp", counters.dropped_udp),
        ("fragment", counters.dropped_fragment),
        ("hidden", counters.dropped_hidden),
    ];
    let by = |(reason, count)| (label("reason", reason), count);
    page.counters("dropped_packets", help, dropped.map(by));
    page.counter("dropped_bytes", "Bytes of these packets", counters.dropped_bytes);
    let help = "Dropped TCP packets that were answered with a reset";
    page.counter("answered_resets", help, counters.answered_reset);
    let help = "Packets passed on, since the program was first attached, and why";
    let passed = [
        ("clean", counters.passed_clean),
        ("expired", counters.passed_expired),
        ("allowed", counters.passed_allowed),
        ("port", counters.passed_port),
        ("other", counters.passed_other),
    ];
    page.counters("passed_packets", help, passed.map(by));
    let help = "Interfaces that the XDP program is attached to, and how";
    let attached = of.attachments.iter().map(|at| {
        let mode = if at.is_generic { "generic" } else { "native" };
        (vec![("interface", at.interface.clone()), ("mode", mode.to_owned())], 1)
    });
    page.gauges("attached", help, attached);
    let count = i64::try_from(of.attachments.len()).unwrap_or(i64::MAX);
    page.gauge("attached_interfaces", "How many these are", count);
    let wanted = i64::try_from(of.wanted).unwrap_or(i64::MAX);
    page.gauge("wanted_interfaces", "How many interfaces it is to be attached to", wanted);
    page.gauge("dry_run", "1 where nothing is dropped, by intention", i64::from(of.dry_run));
}

#[cfg(test)]
mod tests;
