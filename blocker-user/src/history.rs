//! What the daemon did, as a [`Report`]: from the chronicle of its database.

use std::collections::BTreeMap;

use ipnet::IpNet;
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    control::api::{History, PolicyShown},
    report::{
        Ban, Count, Drops, Effect, FORMAT, Hits, Hour, PolicyInForce, Read, Report, Series, Source,
        Top, UserHit, When,
    },
    store::{BAN, BYTES, Chronicle, FAILURE, LOGIN, PACKETS, PastBan},
    time::LogTime,
};

/// How a ban ends that took somebody in who logs in; see `daemon/pipeline.rs`.
pub(crate) const FORGIVEN: &str = "lifted: a user logged in";

const STEP: i64 = 3600;
/// Rows of the lists of clients and networks.
const MOST_TOPS: usize = 20;
/// Hours of a report, which nobody needs more of than are kept.
const MOST_STEPS: i64 = 24 * 91;

/// In the zone of whoever reads it.
#[must_use]
pub fn report(history: &History, zone: &TimeZone, made_at: LogTime) -> Report {
    let chronicle = &history.chronicle;
    let sum = |kind: &str| total(chronicle, kind);
    let hits = hits(&chronicle.bans);
    let clients_hit = hits.clients.len() as u64;
    let (failures, bans) = (sum(FAILURE), sum(BAN));
    Report {
        format: FORMAT,
        kind: Source::History,
        version: env!("CARGO_PKG_VERSION"),
        made_at: When(made_at),
        anonymized: false,
        read: Read {
            from: Some(chronicle.from),
            to: Some(chronicle.to),
            failures,
            logins: sum(LOGIN),
            ..Read::default()
        },
        policy: policy(&history.policy),
        effect: Effect {
            bans,
            banned_clients: chronicle.clients,
            clients_with_users_hit: clients_hit,
            users_hit: clients_hit,
            ..Effect::default()
        },
        bans: chronicle.bans.iter().map(ban).collect(),
        bans_left_out: chronicle.bans_left_out,
        hits,
        recognised: Vec::new(),
        modes: Vec::new(),
        sweep: None,
        recommendation: None,
        series: series(chronicle, zone),
        hours: hours(chronicle, zone),
        top_sources: tops(&chronicle.bans, |ip| Some(ip.to_owned())),
        top_networks: tops(&chronicle.bans, network),
        rules: rules(chronicle),
        drops: Some(Drops { packets: sum(PACKETS), bytes: sum(BYTES) }),
        notes: notes(chronicle, bans),
    }
}

fn notes(chronicle: &Chronicle, bans: u64) -> Vec<String> {
    let mut notes = vec![
        "Failures and logins count in the hour their line was written, dropped packets in the hour \
         they were counted, bans in the hour they began. What is older than 90 days is forgotten."
            .to_owned(),
        "Of clients that failed and were not banned the daemon keeps no list: sources and networks \
         are those of bans, with the failures that led to them."
            .to_owned(),
    ];
    let listed = (chronicle.bans.len() as u64).saturating_add(chronicle.bans_left_out);
    if bans != listed {
        notes.push(format!(
            "{bans} bans were counted and {listed} are known one by one: the others had ended before \
             their line was read, or were prolonged, or are no longer kept."
        ));
    }
    notes
}

fn policy(policy: &PolicyShown) -> PolicyInForce {
    PolicyInForce {
        mode: if policy.mode == "aggressive" { "aggressive" } else { "normal" },
        maxretry: policy.maxretry,
        maxretry_probe: policy.maxretry_probe,
        findtime: policy.findtime_secs,
        bantime: policy.bantime_secs,
        increment: policy.increment,
        ignore_authenticated: policy.ignore_authenticated_secs,
        ipv6_prefix: policy.ipv6_prefix,
        ignoreip: Vec::new(),
    }
}

fn total(chronicle: &Chronicle, kind: &str) -> u64 {
    let of_kind = chronicle.counts.iter().filter(|counted| counted.kind == kind);
    of_kind.fold(0, |sum: u64, counted| sum.saturating_add(counted.count))
}

fn ban(ban: &PastBan) -> Ban {
    Ban {
        subject: ban.ip.clone(),
        at: ban.banned_at,
        // When it was over indeed, where somebody lifted it.
        expires: ban.ended_at.or(ban.expires_at),
        rules: Vec::new(),
        cause: match &ban.ended_how {
            Some(how) if how.starts_with("lifted") => format!("{} ({how})", ban.cause),
            _ => ban.cause.clone(),
        },
        attempts: ban.attempts,
        earlier_bans: ban.earlier_bans,
        prevented_failures: None,
    }
}

/// Bans that a login lifted: somebody real was behind them.
fn hits(bans: &[PastBan]) -> Hits {
    let mut clients: BTreeMap<&str, UserHit> = BTreeMap::new();
    for ban in bans.iter().filter(|ban| ban.ended_how.as_deref() == Some(FORGIVEN)) {
        let at = ban.ended_at.unwrap_or(ban.banned_at);
        let hit = clients.entry(&ban.ip).or_insert_with(|| UserHit {
            subject: ban.ip.clone(),
            users: Vec::new(),
            users_left_out: 0,
            logins: 0,
            first_login: at,
            last_login: at,
            bans: 0,
            first_ban: ban.banned_at,
            failures: 0,
            locked_out: None,
        });
        hit.logins += 1;
        hit.bans += 1;
        hit.failures = hit.failures.saturating_add(u64::from(ban.attempts));
        hit.last_login = at;
    }
    Hits { clients: clients.into_values().collect(), ..Hits::default() }
}

fn series(chronicle: &Chronicle, zone: &TimeZone) -> Series {
    let (from, to) = (chronicle.from.0.as_secs(), chronicle.to.0.as_secs());
    let steps = (to.saturating_sub(from).div_euclid(STEP) + 1).clamp(0, MOST_STEPS);
    let steps = usize::try_from(steps).unwrap_or(0);
    let of = |kind: &str| {
        let mut counts = vec![0_u64; steps];
        for counted in chronicle.counts.iter().filter(|counted| counted.kind == kind) {
            let step = counted.hour.0.as_secs().saturating_sub(from).div_euclid(STEP);
            let place = usize::try_from(step).ok().and_then(|step| counts.get_mut(step));
            if let Some(count) = place {
                *count = count.saturating_add(counted.count);
            }
        }
        counts
    };
    Series {
        from: Some(chronicle.from),
        step_secs: STEP.unsigned_abs(),
        zone: zone.iana_name().unwrap_or("UTC").to_owned(),
        failures: of(FAILURE),
        prevented: Vec::new(),
        bans: of(BAN),
        logins: of(LOGIN),
        drops: of(PACKETS),
    }
}

fn hours(chronicle: &Chronicle, zone: &TimeZone) -> Vec<Hour> {
    let mut hours = vec![Hour::default(); 24];
    for counted in &chronicle.counts {
        let at = Timestamp::from_second(counted.hour.0.as_secs());
        let hour = at.ok().map(|at| at.to_zoned_datetime(zone.clone()).hour());
        let place = hour.and_then(|hour| usize::try_from(hour).ok());
        let Some(hour) = place.and_then(|hour| hours.get_mut(hour)) else { continue };
        let count = match counted.kind.as_str() {
            FAILURE => &mut hour.failures,
            BAN => &mut hour.bans,
            LOGIN => &mut hour.logins,
            _ => continue,
        };
        *count = count.saturating_add(counted.count);
    }
    hours
}

fn rules(chronicle: &Chronicle) -> Vec<Count> {
    let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
    for counted in chronicle.counts.iter().filter(|counted| counted.kind == FAILURE) {
        let count = rules.entry(&counted.name).or_default();
        *count = count.saturating_add(counted.count);
    }
    let mut rules: Vec<Count> =
        rules.into_iter().map(|(name, count)| Count { name: name.to_owned(), count }).collect();
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.count));
    rules
}

/// The /24 or /48 around it; a larger network is what it is.
fn network(ip: &str) -> Option<String> {
    let net: IpNet = ip.parse().or_else(|_| ip.parse().map(crate::firewall::host)).ok()?;
    let length = if net.addr().is_ipv4() { 24 } else { 48 };
    let around = IpNet::new(net.addr(), length.min(net.prefix_len())).ok()?;
    Some(around.trunc().to_string())
}

fn tops(bans: &[PastBan], name: impl Fn(&str) -> Option<String>) -> Vec<Top> {
    let mut tops: BTreeMap<String, (Top, Vec<&str>)> = BTreeMap::new();
    for ban in bans {
        let Some(subject) = name(&ban.ip) else { continue };
        let (top, clients) = tops.entry(subject.clone()).or_insert_with(|| {
            let (first, last) = (ban.banned_at, ban.banned_at);
            (Top { subject, failures: 0, bans: 0, logins: 0, clients: 0, first, last }, Vec::new())
        });
        top.failures = top.failures.saturating_add(u64::from(ban.attempts));
        top.bans += 1;
        top.last = ban.banned_at;
        clients.push(&ban.ip);
    }
    let counted = tops.into_values().map(|(top, mut clients)| {
        clients.sort_unstable();
        clients.dedup();
        Top { clients: clients.len() as u64, ..top }
    });
    let mut tops: Vec<Top> = counted.collect();
    tops.sort_by_key(|top| std::cmp::Reverse((top.failures, top.bans)));
    tops.truncate(MOST_TOPS);
    tops
}

#[cfg(test)]
mod tests;
