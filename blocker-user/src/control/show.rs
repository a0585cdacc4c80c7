//! What can be seen without asking the pipeline: the status, the metrics, the view for `top`.

use std::cmp::Reverse;

use super::{
    answer::Refusal,
    api::{Listed, MAX_SHOWN, Running, Status, Top},
    context::{Context, Shown},
};
use crate::{
    daemon::{show, wall_clock},
    firewall::{Enforced, View},
    jail::Bantime,
    metrics::{self, Snapshot},
};

/// How many of each kind `top` is told of.
const MOST_IN_TOP: usize = 50;

/// The bans in force, soonest end first.
pub(super) fn in_force(view: &dyn View) -> Result<Vec<Enforced>, Refusal> {
    let now = wall_clock();
    let mut bans = view.bans()?;
    bans.retain(|ban| ban.order.expires.is_none_or(|end| end > now));
    bans.sort_unstable_by_key(|ban| {
        (ban.order.expires.is_none(), ban.order.expires, ban.order.subject)
    });
    Ok(bans)
}

pub(super) fn status(context: &Context) -> Result<Status, Refusal> {
    let view = context.view();
    let bans = in_force(view.as_ref())?;
    summary(context, view.as_ref(), &bans)
}

fn summary(context: &Context, view: &dyn View, bans: &[Enforced]) -> Result<Status, Refusal> {
    let shown = context.shown();
    let last = bans.iter().rev().take(MAX_SHOWN);
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        jail: context.jail.to_owned(),
        mode: shown.mode,
        maxretry: shown.policy.maxretry.get(),
        findtime_secs: shown.policy.findtime.as_secs(),
        bantime_secs: match shown.policy.bantime {
            Bantime::For(span) => Some(span.as_secs()),
            Bantime::Forever => None,
        },
        dry_run: context.dry_run,
        interfaces: view.interfaces(),
        logs: shown.logs,
        lines: context.stats.lines(),
        lag_secs: context.stats.lag_secs(),
        currently_failed: context.stats.currently_failed(),
        total_failed: context.stats.total_failed(),
        currently_banned: bans.len(),
        total_banned: context.stats.total_banned(),
        total_evicted: context.stats.total_evicted(),
        banned: last.map(|ban| show(&ban.order.subject)).collect(),
        counters: view.counters()?.into(),
        running: running(context),
    })
}

fn running(context: &Context) -> Running {
    let Shown { files, read_at, pin_dir, ports, protocol, max_bans, .. } = context.shown();
    Running {
        started_at: context.started_at.to_string(),
        configured_at: read_at.to_string(),
        configuration: files,
        pin_dir,
        wanted: context.wanted.clone(),
        ports,
        protocol,
        max_bans,
        undated: context.stats.undated(),
        last_line_at: context.stats.last_line().map(|at| at.to_string()),
        bytes_behind: context.stats.bytes_behind(),
    }
}

pub(super) fn top(context: &Context) -> Result<Top, Refusal> {
    let view = context.view();
    let mut bans = in_force(view.as_ref())?;
    let status = summary(context, view.as_ref(), &bans)?;
    let first = |bans: &[Enforced]| -> Vec<Listed> {
        bans.iter().take(MOST_IN_TOP).map(|ban| Listed::new(context.jail, ban)).collect()
    };
    let ending = first(&bans);
    bans.sort_unstable_by_key(|ban| Reverse((ban.order.banned_at, ban.order.subject)));
    let newest = first(&bans);
    bans.sort_unstable_by_key(|ban| Reverse((ban.dropped_packets, ban.order.subject)));
    Ok(Top { status, newest, ending, dropped: first(&bans) })
}

pub(super) fn metrics(context: &Context) -> Result<String, Refusal> {
    // Once, and not for each ban while others wait for the view: it is a copy.
    let Shown { policy, max_bans, mode, .. } = context.shown();
    let view = context.view();
    let mut entries = metrics::Entries::default();
    for ban in view.bans()? {
        entries.add(&ban.order.subject, policy.ipv6_prefix);
    }
    let snapshot = Snapshot {
        stats: &context.stats,
        counters: view.counters()?,
        entries,
        max_bans,
        attachments: view.attachments(),
        wanted: context.wanted.len(),
        dry_run: context.dry_run,
        mode,
        started_at: context.started_at,
    };
    metrics::text(&snapshot).map_err(|error| Refusal::Failed(error.to_string()))
}
