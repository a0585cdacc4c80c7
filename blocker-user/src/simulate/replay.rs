//! Events in, a report out.

use std::{collections::BTreeMap, time::Duration};

use super::{
    clients::Clients,
    crew::Crew,
    entry::{Entry, Reading, is_connection},
    plan::{Grid, Plan},
    summary,
    timeline::{Timeline, What},
    trial::{Step, Trial},
};
use crate::{
    dovecot::{Event, Mode},
    jail::{Bantime, Policy},
    report::Report,
    time::LogTime,
};

/// How much each of the trials remembers at most, where max_tracked is more: there are many of
/// them, and all are to fit into some 300 MB. Those whose bans are listed, and the others.
const TRACKED_IN_DETAIL: usize = 1 << 16;
const TRACKED: usize = 1 << 14;

/// One pass over a log.
pub struct Replay {
    pub(super) plan: Plan,
    crew: Crew,
    /// What each of the crew's trials is.
    pub(super) roles: Vec<Role>,
    pub(super) clients: Clients,
    pub(super) totals: Totals,
    pub(super) timeline: Timeline,
    pub(super) rules: BTreeMap<&'static str, u64>,
}

/// What was there, whatever a policy makes of it.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) failures: u64,
    pub(super) logins: u64,
    pub(super) connections: u64,
    pub(super) login_process_seconds: u64,
    /// Failures that are too old when they are read.
    pub(super) late: u64,
}

/// What a trial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The policy asked for.
    Asked,
    /// The same with `ignore_authenticated = 0`.
    Unforgiving,
    /// The same in the other mode.
    OtherMode,
    Cell {
        maxretry: u32,
        findtime: Duration,
    },
    Bantime(Bantime),
}

impl Replay {
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let roles = roles(&plan);
        let trials = roles.iter().map(|role| trial(&plan, *role)).collect();
        Self {
            crew: Crew::new(trials, plan.threads),
            roles,
            plan,
            clients: Clients::default(),
            totals: Totals::default(),
            timeline: Timeline::default(),
            rules: BTreeMap::new(),
        }
    }

    /// Entries come in the order in which a daemon would have read them.
    pub fn entry(&mut self, entry: &Entry) {
        let Entry { now, event, .. } = *entry;
        // As the daemon has it: a line without a time is as old as its reading.
        let at = entry.at.unwrap_or(now).min(now);
        let ip = match event {
            Event::Failure(failure) => failure.ip,
            Event::Login(login) => login.ip,
            Event::MasterLogin(_) => {
                let (client, is_connection, is_normal_only) = (None, false, false);
                self.crew.step(Step { client, now, at, event, is_connection, is_normal_only });
                return;
            }
        };
        let is_connection = is_connection(&event);
        let subject = self.plan.policy.subject(ip);
        let client = self.clients.number(subject, at);
        let is_normal_only = entry.is_normal_only;
        if !is_normal_only {
            self.note(client, entry, at, is_connection);
        }
        let step = Step { client, now, at, event, is_connection, is_normal_only };
        match (client, event) {
            (Some(client), Event::Login(_)) => {
                let step = self.clients.keep_back(client, step);
                step.into_iter().for_each(|step| self.crew.step(step));
            }
            (Some(client), Event::Failure(_)) => {
                let login = self.clients.fails(client);
                login.into_iter().chain([step]).for_each(|step| self.crew.step(step));
            }
            (None, _) | (_, Event::MasterLogin(_)) => self.crew.step(step),
        }
    }

    fn note(&mut self, client: Option<u32>, entry: &Entry, at: LogTime, is_connection: bool) {
        let totals = &mut self.totals;
        totals.connections += u64::from(is_connection);
        match entry.event {
            Event::Failure(failure) => {
                totals.failures += 1;
                totals.late += u64::from(at < entry.now.before(self.plan.policy.findtime));
                if is_connection {
                    totals.login_process_seconds += failure.waited.as_secs();
                }
                *self.rules.entry(failure.rule.name).or_default() += 1;
                self.timeline.count(What::Failure, at);
                if let Some(client) = client.and_then(|client| self.clients.get_mut(client)) {
                    client.failures = client.failures.saturating_add(1);
                    let is_guess = failure.rule.mode == Mode::Normal;
                    client.guesses = client.guesses.saturating_add(u32::from(is_guess));
                }
            }
            Event::Login(_) => {
                totals.logins += 1;
                self.timeline.count(What::Login, at);
                if let Some(client) = client {
                    self.clients.login(client, entry.user.as_deref(), at);
                }
            }
            Event::MasterLogin(_) => {}
        }
        if let Some(client) = client.and_then(|client| self.clients.get_mut(client)) {
            (client.first, client.last) = (client.first.min(at), client.last.max(at));
            if is_connection {
                client.rhythm.connection(at);
            }
        }
    }

    /// What came of it all. `made_at` is the time of today.
    #[must_use]
    pub fn finish(self, reading: Reading, made_at: LogTime) -> Report {
        let Self { plan, crew, roles, clients, totals, timeline, rules } = self;
        let verdicts = crew.finish();
        let trials = roles.into_iter().zip(verdicts).collect();
        let seen = summary::Seen { plan, clients, totals, timeline, rules, reading };
        seen.report(trials, made_at)
    }
}

/// The trials of a plan. What would be the same as another one is not tried twice.
fn roles(plan: &Plan) -> Vec<Role> {
    let Policy { maxretry, findtime, bantime, ignore_authenticated, .. } = &plan.policy;
    let mut roles = vec![Role::Asked, Role::OtherMode];
    if !ignore_authenticated.is_zero() {
        roles.push(Role::Unforgiving);
    }
    if plan.sweep {
        let Grid { maxretry: columns, findtime: rows, bantimes } = plan.grid();
        for row in rows {
            let cells = columns.iter().map(|column| (*column, row));
            let others = cells.filter(|cell| *cell != (maxretry.get(), *findtime));
            roles.extend(others.map(|(maxretry, findtime)| Role::Cell { maxretry, findtime }));
        }
        roles.extend(bantimes.into_iter().filter(|other| other != bantime).map(Role::Bantime));
    }
    roles
}

pub(super) const fn other(mode: Mode) -> Mode {
    match mode {
        Mode::Normal => Mode::Aggressive,
        Mode::Aggressive => Mode::Normal,
    }
}

fn trial(plan: &Plan, role: Role) -> Trial {
    let mut policy = plan.policy.clone();
    let mut mode = plan.mode;
    let is_detailed = matches!(role, Role::Asked | Role::Unforgiving);
    match role {
        Role::Asked => {}
        Role::Unforgiving => policy.ignore_authenticated = Duration::ZERO,
        Role::OtherMode => mode = other(mode),
        Role::Cell { maxretry, findtime } => {
            policy.maxretry = maxretry.try_into().unwrap_or(policy.maxretry);
            policy.findtime = findtime;
        }
        Role::Bantime(bantime) => policy.bantime = bantime,
    }
    let most = if is_detailed { TRACKED_IN_DETAIL } else { TRACKED };
    policy.max_tracked = policy.max_tracked.min(most);
    let trial = Trial::new(mode, policy, plan.ignore.clone(), plan.as_logged);
    if is_detailed { trial.in_detail() } else { trial }
}
