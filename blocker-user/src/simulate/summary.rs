//! The report on what a replay saw.

use std::{cmp::Reverse, collections::BTreeMap, fmt::Write as _, time::Duration};

use jiff::tz::TimeZone;

use super::{
    bits::Bits,
    clients::Clients,
    detail::Detail,
    entry::Reading,
    people,
    plan::{Grid, Plan},
    recommend,
    replay::{Role, Totals, other},
    timeline::Timeline,
    top,
    trial::Verdict,
};
use crate::{
    config::show_span,
    daemon::show,
    dovecot::Mode,
    jail::{Bantime, Policy},
    report::{
        Ban, Cell, Change, Count, Effect, FORMAT, Hits, ModeEffect, PolicyInForce, Read,
        Recognised, Recommendation, Report, Source, Sweep,
    },
    time::LogTime,
};

/// An attacker failed more often than this.
const ONCE: u32 = 1;

/// All but what the trials say.
pub(super) struct Seen {
    pub(super) plan: Plan,
    pub(super) clients: Clients,
    pub(super) totals: Totals,
    pub(super) timeline: Timeline,
    pub(super) rules: BTreeMap<&'static str, u64>,
    pub(super) reading: Reading,
}

/// The clients that each trial's bans are held against.
struct Groups {
    attackers: Bits,
    with_users: Bits,
}

type Trials = Vec<(Role, Verdict)>;
/// Clients that are better not banned, and are not on ignoreip.
type Spared<'r> = Vec<&'r (u32, Recognised)>;

impl Seen {
    pub(super) fn report(mut self, mut trials: Trials, made_at: LogTime) -> Report {
        let asked = take(&mut trials, Role::Asked).unwrap_or_default();
        let unforgiving = take(&mut trials, Role::Unforgiving);
        let Self { plan, clients, .. } = &self;
        let recognised = people::recognised(clients, &asked.banned, &plan.ignore);
        let groups = groups(clients, &recognised);
        let effect = |verdict: &Verdict| groups.effect(verdict, clients);
        let asked_effect = effect(&asked);
        let detail = asked.detail.unwrap_or_default();

        let modes = modes(plan.mode, &asked_effect, &trials, effect);
        let (hit, clients_left_out) = people::hits(&detail, clients);
        let (without, without_left_out) = match unforgiving.and_then(|verdict| verdict.detail) {
            Some(detail) => people::hits(&detail, clients),
            None => (hit.clone(), clients_left_out),
        };
        let sweep = plan.sweep.then(|| sweep(plan, &asked_effect, &trials, effect));
        let spared: Spared = recognised.iter().filter(|(_, found)| !found.ignored).collect();
        let banned = |cell: &Cell| {
            let findtime = Duration::from_secs(cell.findtime);
            let role = Role::Cell { maxretry: cell.maxretry, findtime };
            find(&trials, role).map_or(&asked.banned, |verdict| &verdict.banned)
        };
        let recommendation =
            sweep.as_ref().and_then(|sweep| recommendation(&self, sweep, &spared, banned));
        let recognised: Vec<Recognised> = recognised.into_iter().map(|(_, found)| found).collect();
        let bans = bans(&detail, clients);
        let notes = self.notes();
        self.timeline.merge(&detail.timeline);
        let Self { plan, clients, timeline, rules, .. } = &self;
        // Hours are told by a zone that has a name to tell.
        let has_name = plan.zone.iana_name().is_some();
        let zone = if has_name { plan.zone.clone() } else { TimeZone::UTC };
        Report {
            format: FORMAT,
            kind: Source::Simulation,
            version: env!("CARGO_PKG_VERSION"),
            made_at: made_at.into(),
            anonymized: false,
            read: self.read(),
            policy: in_force(plan),
            effect: asked_effect,
            bans,
            bans_left_out: detail.left_out,
            hits: Hits {
                clients: hit,
                clients_left_out,
                without_ignore_authenticated: without,
                without_ignore_authenticated_left_out: without_left_out,
            },
            recognised,
            modes,
            sweep,
            recommendation,
            series: timeline.series(&zone),
            hours: timeline.hours(&zone),
            top_sources: top::sources(clients, &detail),
            top_networks: top::networks(clients, &detail),
            rules: counts(rules),
            drops: None,
            notes,
        }
    }

    fn read(&self) -> Read {
        let Self { totals, reading, clients, .. } = self;
        let (from, to) = reading.period.unzip();
        Read {
            logs: reading.logs.clone(),
            lines: reading.lines,
            undated: reading.undated,
            from: from.map(Into::into),
            to: to.map(Into::into),
            failures: totals.failures,
            logins: totals.logins,
            connections: totals.connections,
            login_process_seconds: totals.login_process_seconds,
            clients: clients.len(),
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.clients.left_out > 0 {
            notes.push(format!(
                "There are more clients than fit into memory: {} events are of further ones, which \
                 are in the totals and in no list.",
                self.clients.left_out
            ));
        }
        if self.clients.unnamed > 0 {
            notes.push(format!(
                "There are more users than fit into memory: those of {} logins are not among the \
                 users that are counted.",
                self.clients.unnamed
            ));
        }
        if self.plan.as_logged {
            notes.push(
                "Every line counts, also those that a ban would have prevented, as when the daemon \
                 catches up with this log."
                    .to_owned(),
            );
        }
        if self.reading.undated > 0 {
            notes.push(format!(
                "{} lines have no time that is understood; they are as old as the line before.",
                self.reading.undated
            ));
        }
        if self.totals.late > 0 {
            notes.push(format!(
                "{} failures are older, by more than findtime, than lines before them, and count for \
                 nothing, as for a daemon: is a clock wrong, or is a log of another year?",
                self.totals.late
            ));
        }
        if self.reading.future > 0 {
            notes.push(format!(
                "{} lines are dated to the future: a clock was wrong.",
                self.reading.future
            ));
        }
        if self.totals.logins == 0 && self.totals.failures > 0 {
            notes.push(
                "No login is in these logs, so nobody can be told for a real user, and nothing is \
                 recommended. Read the log that has the lines of logins too (login \
                 processes write them at the level info)."
                    .to_owned(),
            );
        }
        notes
    }
}

fn take(trials: &mut Trials, role: Role) -> Option<Verdict> {
    let at = trials.iter().position(|(other, _)| *other == role)?;
    Some(trials.swap_remove(at).1)
}

fn find(trials: &Trials, role: Role) -> Option<&Verdict> {
    trials.iter().find(|(other, _)| *other == role).map(|(_, verdict)| verdict)
}

fn groups(clients: &Clients, recognised: &[(u32, Recognised)]) -> Groups {
    let mut better_not = Bits::default();
    recognised.iter().for_each(|(number, _)| better_not.insert(*number));
    let (mut attackers, mut with_users) = (Bits::default(), Bits::default());
    for (number, client) in clients.iter() {
        if client.logins.is_some() {
            with_users.insert(number);
        } else if client.failures > ONCE && !better_not.contains(number) {
            attackers.insert(number);
        }
    }
    Groups { attackers, with_users }
}

impl Groups {
    fn effect(&self, verdict: &Verdict, clients: &Clients) -> Effect {
        let hit = self.with_users.intersection(&verdict.banned);
        Effect {
            attackers: self.attackers.len(),
            attackers_caught: self.attackers.common(&verdict.banned),
            clients_with_users_hit: hit.len(),
            users_hit: clients.users_of(&hit),
            ..verdict.counts.clone()
        }
    }
}

fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Normal => "normal",
        Mode::Aggressive => "aggressive",
    }
}

fn modes(
    asked: Mode,
    effect: &Effect,
    trials: &Trials,
    effect_of: impl Fn(&Verdict) -> Effect,
) -> Vec<ModeEffect> {
    let of_other = find(trials, Role::OtherMode).map(effect_of).unwrap_or_default();
    let mut modes = vec![(asked, effect.clone()), (other(asked), of_other)];
    modes.sort_by_key(|(mode, _)| *mode);
    modes.into_iter().map(|(mode, effect)| ModeEffect { mode: name(mode), effect }).collect()
}

fn sweep(
    plan: &Plan,
    asked: &Effect,
    trials: &Trials,
    effect: impl Fn(&Verdict) -> Effect,
) -> Sweep {
    let Grid { maxretry: columns, findtime: rows, bantimes } = plan.grid();
    let Policy { maxretry, findtime, bantime, .. } = &plan.policy;
    // What was not tried by itself is what was asked for.
    let effect_of = |role| find(trials, role).map_or_else(|| asked.clone(), &effect);
    let cells = rows.iter().flat_map(|row| columns.iter().map(move |column| (*column, *row)));
    let cells = cells.map(|(maxretry, findtime)| Cell {
        maxretry,
        findtime: findtime.as_secs(),
        bantime: secs(*bantime),
        effect: effect_of(Role::Cell { maxretry, findtime }),
    });
    let bantimes = bantimes.iter().map(|bantime| Cell {
        maxretry: maxretry.get(),
        findtime: findtime.as_secs(),
        bantime: secs(*bantime),
        effect: effect_of(Role::Bantime(*bantime)),
    });
    Sweep {
        mode: name(plan.mode),
        cells: cells.collect(),
        bantimes: bantimes.collect(),
        maxretry: columns,
        findtime: rows.iter().map(Duration::as_secs).collect(),
    }
}

fn recommendation<'b>(
    seen: &Seen,
    sweep: &Sweep,
    spared: &[&(u32, Recognised)],
    banned: impl Fn(&Cell) -> &'b Bits,
) -> Option<Recommendation> {
    let Seen { plan, totals, .. } = seen;
    // Without logins nothing is known of users, and the strictest setting would be the best.
    let cells = (totals.logins > 0).then_some(&sweep.cells)?;
    let Policy { maxretry, findtime, .. } = &plan.policy;
    let among = |bans: &Bits| spared.iter().filter(|(number, _)| bans.contains(*number)).count();
    let spared_by = |cell: &Cell| u64::try_from(among(banned(cell))).unwrap_or(u64::MAX);
    let best = recommend::best(cells, maxretry.get(), spared_by)?;
    let span = |secs| show_span(Duration::from_secs(secs));
    let mut changes = Vec::new();
    if best.maxretry != maxretry.get() {
        let (from, to) = (maxretry.to_string(), best.maxretry.to_string());
        changes.push(Change { option: "maxretry", from, to });
    }
    if best.findtime != findtime.as_secs() {
        let (from, to) = (show_span(*findtime), span(best.findtime));
        changes.push(Change { option: "findtime", from, to });
    }
    let bantime = best.bantime.map_or_else(|| "-1".to_owned(), span);
    let mut snippet = format!(
        "[dovecot]\nmode = {}\nmaxretry = {}\nfindtime = {}\nbantime = {bantime}\n",
        sweep.mode,
        best.maxretry,
        span(best.findtime)
    );
    others(&plan.policy, &mut snippet);
    if !plan.ignoreip.is_empty() {
        let _ = writeln!(snippet, "ignoreip = {}", plan.ignoreip.join(" "));
    }
    // A log cannot tell the admin's own from a scanner that keeps time, so nobody is spared by
    // pasting this alone.
    for (_, found) in spared.iter().filter(|(number, _)| banned(best).contains(*number)) {
        let ours = plan.ignoreip.iter().map(|ip| format!("{ip} ")).collect::<String>();
        let _ = writeln!(snippet, "# if that is yours: ignoreip = {ours}{}", found.subject);
    }
    Some(Recommendation {
        mode: sweep.mode,
        maxretry: best.maxretry,
        findtime: best.findtime,
        bantime: best.bantime,
        reason: recommend::reason(best, &sweep.cells, totals.failures),
        changes,
        snippet,
        effect: best.effect.clone(),
    })
}

/// The settings that were tried too and are none of the defaults.
fn others(policy: &Policy, snippet: &mut String) {
    let defaults = Policy::default();
    if let Some(probe) = policy.maxretry_probe {
        let _ = writeln!(snippet, "maxretry.probe = {probe}");
    }
    if policy.increment.enabled {
        snippet.push_str("bantime.increment = true\n");
    }
    if policy.ignore_authenticated != defaults.ignore_authenticated {
        let span = show_span(policy.ignore_authenticated);
        let _ = writeln!(snippet, "ignore_authenticated = {span}");
    }
    if policy.ipv6_prefix != defaults.ipv6_prefix {
        let _ = writeln!(snippet, "ipv6_prefix = {}", policy.ipv6_prefix);
    }
}

fn secs(bantime: Bantime) -> Option<u64> {
    match bantime {
        Bantime::For(span) => Some(span.as_secs()),
        Bantime::Forever => None,
    }
}

fn in_force(plan: &Plan) -> PolicyInForce {
    let Policy { maxretry, maxretry_probe, findtime, bantime, .. } = &plan.policy;
    PolicyInForce {
        mode: name(plan.mode),
        maxretry: maxretry.get(),
        maxretry_probe: maxretry_probe.map(std::num::NonZeroU32::get),
        findtime: findtime.as_secs(),
        bantime: secs(*bantime),
        increment: plan.policy.increment.enabled,
        ignore_authenticated: plan.policy.ignore_authenticated.as_secs(),
        ipv6_prefix: plan.policy.ipv6_prefix,
        ignoreip: plan.ignoreip.clone(),
    }
}

fn bans(detail: &Detail, clients: &Clients) -> Vec<Ban> {
    let named = detail.bans.iter().filter_map(|noted| {
        let client = clients.get(noted.client)?;
        Some(Ban {
            subject: show(&client.subject),
            at: noted.ban.at.into(),
            expires: noted.ban.expires.map(Into::into),
            rules: noted.rules.iter().map(|rule| (*rule).to_owned()).collect(),
            cause: noted.ban.cause.to_owned(),
            attempts: noted.ban.attempts,
            earlier_bans: noted.earlier,
            prevented_failures: Some(noted.prevented),
        })
    });
    let mut bans: Vec<Ban> = named.collect();
    bans.sort_by_key(|ban| ban.at);
    bans
}

fn counts(rules: &BTreeMap<&'static str, u64>) -> Vec<Count> {
    let mut counts: Vec<Count> = rules
        .iter()
        .map(|(name, count)| Count { name: (*name).to_owned(), count: *count })
        .collect();
    counts.sort_by_key(|count| Reverse(count.count));
    counts
}
