//! Single failures against a model that keeps everything for ever and searches it each time.

use std::net::IpAddr;

use proptest::prelude::*;

use super::{GUESS, PROBE, address, failure, is_ban, log_in, policy, secs, with};
use crate::jail::{Outcome, Policy, Spared};

#[derive(Clone, Debug)]
enum Step {
    Failure { client: u8, probe: bool },
    Login { client: u8 },
    Wait(u16),
    Pardon { client: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0_u8..4;
    let step = prop_oneof![
        6 => (client.clone(), any::<bool>())
            .prop_map(|(client, probe)| Step::Failure { client, probe }),
        1 => client.clone().prop_map(|client| Step::Login { client }),
        3 => (0_u16..700).prop_map(Step::Wait),
        1 => client.prop_map(|client| Step::Pardon { client }),
    ];
    proptest::collection::vec(step, 0..200)
}

/// Everything that happened, kept for ever and searched from the start each time.
#[derive(Default)]
struct Model {
    failures: Vec<(u8, i64)>,
    logins: Vec<(u8, i64)>,
    bans: Vec<(u8, i64)>,
}

impl Model {
    fn banned(&self, client: u8, now: i64) -> bool {
        self.bans.iter().any(|&(who, end)| who == client && end >= now)
    }
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
                        let IpAddr::V4(ended) = ended.addr() else { unreachable!() };
                        prop_assert!(!model.banned(ended.octets()[3], now));
                    }
                }
                Step::Login { client } => {
                    log_in(&mut jail, address(client), now);
                    model.logins.push((client, now));
                }
                Step::Pardon { client } => {
                    jail.pardon(&policy().subject(address(client)));
                    model.failures.retain(|&(who, _)| who != client);
                    model.bans.retain(|&(who, _)| who != client);
                }
                Step::Failure { client, probe } => {
                    let rule = if probe { &PROBE } else { &GUESS };
                    let outcome = jail.failure(&failure(address(client), rule), secs(now), secs(now));
                    let known = model.logins.iter().any(|&(who, at)| who == client && at >= now - 86_400);
                    if probe && known {
                        prop_assert_eq!(outcome, Outcome::Spared(Spared::Authenticated));
                        continue;
                    }
                    model.failures.push((client, now));
                    let since = |from: i64| {
                        let counts = |&&(who, at): &&(u8, i64)| who == client && at >= from;
                        model.failures.iter().filter(counts).count()
                    };
                    let (ever, lately) = (since(i64::MIN), since(now - 600));
                    match outcome {
                        Outcome::Counted { attempts, .. } => {
                            // Once a failure has slipped out of findtime, fail2ban estimates;
                            // up to then its count is exact.
                            prop_assert!(lately < ever || ever < 3, "{ever} failures, no ban");
                            prop_assert!(attempts as usize <= ever);
                        }
                        Outcome::Banned(ban) | Outcome::Prolonged(ban) => {
                            prop_assert!(ever >= 3);
                            prop_assert_eq!(is_ban(outcome), !model.banned(client, now));
                            prop_assert_eq!(ban.expires, Some(secs(now + 3600)));
                            model.bans.push((client, now + 3600));
                            model.failures.retain(|&(who, _)| who != client);
                        }
                        Outcome::AlreadyBanned { .. } => {
                            prop_assert!(model.banned(client, now));
                            model.failures.retain(|&(who, _)| who != client);
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
