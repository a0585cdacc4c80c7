//! Single failures against a model that keeps everything for ever and searches it each time.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;

use super::{GUESS, PROBE, a_client, failure, is_ban, policy, secs, with};
use crate::{
    dovecot::Login,
    jail::{LoginOutcome, Outcome, Policy, Spared},
};

#[derive(Clone, Debug)]
enum Step {
    Failure { client: u8, probe: bool },
    Login { client: u8 },
    Wait(u16),
    Pardon { client: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0_u8..5;
    let step = prop_oneof![
        6 => (client.clone(), any::<bool>())
            .prop_map(|(client, probe)| Step::Failure { client, probe }),
        1 => client.clone().prop_map(|client| Step::Login { client }),
        3 => (0_u16..700).prop_map(Step::Wait),
        1 => client.prop_map(|client| Step::Pardon { client }),
    ];
    proptest::collection::vec(step, 0..200)
}

/// One failure of `who`.
#[derive(Clone, Copy)]
struct Failed {
    who: u8,
    at: i64,
    probe: bool,
    /// It counts no more.
    forgiven: bool,
}

/// Everything that happened, kept for ever and searched from the start each time.
#[derive(Default)]
struct Model {
    failures: Vec<Failed>,
    /// Those that led to the ban in force, or to none longer.
    behind: Vec<Failed>,
    logins: Vec<(u8, i64)>,
    bans: Vec<(u8, i64)>,
}

impl Model {
    fn banned(&self, client: u8, now: i64) -> bool {
        self.bans.iter().any(|&(who, end)| who == client && end >= now)
    }

    /// The failures of `client` were too many.
    fn were_too_many(&mut self, client: u8) {
        self.behind.extend(self.failures.iter().filter(|failed| failed.who == client));
        self.failures.retain(|failed| failed.who != client);
    }

    fn forget(&mut self, client: u8) {
        self.failures.retain(|failed| failed.who != client);
        self.behind.retain(|failed| failed.who != client);
        self.bans.retain(|&(who, _)| who != client);
    }

    /// A login: no probe counts any more, before it or behind a ban. Returns how many guesses
    /// are left of a ban that there were probes behind.
    fn log_in(&mut self, client: u8, now: i64) -> Option<usize> {
        self.logins.push((client, now));
        let counts = |it: &Failed| it.who == client && it.probe && !it.forgiven;
        let was_probed = self.banned(client, now) && self.behind.iter().any(counts);
        let all = self.behind.iter_mut().chain(&mut self.failures);
        let all = all.filter(|failed| failed.who == client);
        let left = all.map(|failed| {
            failed.forgiven |= failed.probe;
            usize::from(!failed.forgiven)
        });
        let left = left.sum();
        was_probed.then_some(left)
    }
}

fn subject(who: u8) -> IpNet {
    policy().subject(a_client(who).1)
}

proptest! {
    /// Whatever happens: a ban needs at least maxretry failures since the last ban or pardon,
    /// comes with the last of them when all lie within findtime, and ends bantime later.
    #[test]
    fn agrees_with_the_model(steps in steps()) {
        let mut jail = with(policy());
        let mut model = Model::default();
        let mut now = 1_000_000;
        for step in steps {
            match step {
                Step::Wait(span) => {
                    now += i64::from(span);
                    for ended in jail.expire(secs(now)) {
                        let is_it = |&(who, _): &(u8, i64)| subject(who) == ended;
                        let ends = model.bans.iter().filter(|ban| is_it(ban)).map(|ban| ban.1);
                        prop_assert!(ends.max().is_some_and(|end| end < now));
                    }
                }
                Step::Login { client } => {
                    let (who, ip) = a_client(client);
                    let login = Login { ip, session: None, name: None };
                    let outcome = jail.login(&login, secs(now), secs(now));
                    let left = model.log_in(who, now);
                    let is_lifted = matches!(outcome, LoginOutcome::Lifted { .. });
                    // Where failures have slipped out of findtime, not all that is left counts.
                    prop_assert!(!is_lifted || left.is_some());
                    prop_assert!(is_lifted || left.is_none_or(|left| left >= 3));
                    if is_lifted {
                        model.bans.retain(|&(banned, _)| banned != who);
                        let (back, behind) = model.behind.iter().partition(|it| it.who == who);
                        model.behind = behind;
                        let back: Vec<Failed> = back;
                        model.failures.extend(back);
                    }
                }
                Step::Pardon { client } => {
                    let (who, _) = a_client(client);
                    jail.pardon(&subject(who));
                    model.forget(who);
                }
                Step::Failure { client, probe } => {
                    let rule = if probe { &PROBE } else { &GUESS };
                    let (client, ip) = a_client(client);
                    let outcome = jail.failure(&failure(ip, rule), secs(now), secs(now));
                    let known = model.logins.iter().any(|&(who, at)| who == client && at >= now - 86_400);
                    if probe && known {
                        prop_assert_eq!(outcome, Outcome::Spared(Spared::Authenticated));
                        continue;
                    }
                    model.failures.push(Failed {
                        who: client,
                        at: now,
                        probe,
                        forgiven: false,
                    });
                    let counts = |it: &&Failed| it.who == client && !it.forgiven;
                    let ever = model.failures.iter().filter(counts).count();
                    let has_slipped = model.failures.iter()
                        .any(|it| it.who == client && it.at < now - 600);
                    match outcome {
                        Outcome::Counted { attempts, .. } => {
                            // Once a failure has slipped out of findtime, fail2ban estimates,
                            // up to then its count is exact. One that was forgiven can do that.
                            prop_assert!(has_slipped || ever < 3, "{ever} failures, no ban");
                            prop_assert!(attempts as usize <= ever);
                        }
                        Outcome::Banned(ban) | Outcome::Prolonged(ban) => {
                            prop_assert!(ever >= 3);
                            prop_assert_eq!(is_ban(outcome), !model.banned(client, now));
                            if is_ban(outcome) {
                                model.behind.retain(|failed| failed.who != client);
                            }
                            prop_assert_eq!(ban.expires, Some(secs(now + 3600)));
                            model.bans.push((client, now + 3600));
                            model.were_too_many(client);
                        }
                        Outcome::AlreadyBanned { .. } => {
                            prop_assert!(model.banned(client, now));
                            model.were_too_many(client);
                        }
                        Outcome::Spared(why) => prop_assert!(false, "{why:?}"),
                    }
                }
            }
            let in_force = (0..4).filter(|&client| model.banned(client, now)).count();
            let _ended = jail.expire(secs(now));
            prop_assert_eq!(jail.currently_banned(), in_force);
        }
    }

    /// With room for few clients, memory stays bounded whatever comes.
    #[test]
    fn never_tracks_more_than_it_may(clients in proptest::collection::vec(any::<[u8; 4]>(), 0..300)) {
        let policy = Policy { max_tracked: 8, ..policy() };
        let mut jail = with(policy);
        for (at, client) in (0..).zip(clients) {
            jail.failure(&failure(IpAddr::from(client), &PROBE), secs(at), secs(at));
            prop_assert!(jail.currently_failed() <= 8);
        }
    }
}
