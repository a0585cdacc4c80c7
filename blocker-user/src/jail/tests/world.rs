//! A seeded world: clients that probe, guess and log in over several lines per connection, a
//! clock that jumps, restarts, and a log that is read at once or late.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::{GUESS, PROBE, a_client, address, ip, policy, secs, with};
use crate::{
    dovecot::{Failure, Guesses, Login, Name, Passdb, Session},
    jail::{Increment, LoginOutcome, Outcome, Policy, Spared},
    time::LogTime,
};

#[derive(Clone, Debug)]
enum Step {
    Probe {
        client: u8,
        waited: u16,
    },
    Guess {
        client: u8,
        /// None on a line of PAM's own.
        connection: Option<u64>,
        passdb: u16,
        name: &'static str,
    },
    End {
        client: u8,
        connection: u64,
        guesses: u32,
        waited: u16,
        name: &'static str,
    },
    Login {
        client: u8,
        connection: u64,
        name: &'static str,
    },
    MasterLogin {
        name: &'static str,
    },
    /// What is written at that time is dated to this long before it.
    Stray(u16),
    Wait(u16),
    /// Not in the replay: somebody sweeps.
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (client, connection) = (0_u8..5, 0_u64..30);
    let name = proptest::sample::select(&["alice", "alice@example.org", "mallory", ""][..]);
    let step = prop_oneof![
        3 => (client.clone(), 0_u16..200).prop_map(|(client, waited)| Step::Probe { client, waited }),
        5 => (client.clone(), proptest::option::weighted(0.7, connection.clone()), 0_u16..2, name.clone()).prop_map(
            |(client, connection, passdb, name)| Step::Guess { client, connection, passdb, name }),
        2 => (client.clone(), connection.clone(), 1_u32..6, 0_u16..200, name.clone()).prop_map(
            |(client, connection, guesses, waited, name)| {
                Step::End { client, connection, guesses, waited, name }
            }),
        2 => (client, connection, name.clone())
            .prop_map(|(client, connection, name)| Step::Login { client, connection, name }),
        1 => name.prop_map(|name| Step::MasterLogin { name }),
        1 => (0_u16..900).prop_map(Step::Stray),
        4 => (0_u16..900).prop_map(Step::Wait),
        2 => Just(Step::Sweep),
    ];
    proptest::collection::vec(step, 0..150)
}

fn world() -> Policy {
    Policy {
        // A probe within a day of a login is forgiven; let some count.
        ignore_authenticated: Duration::from_secs(900),
        increment: Increment {
            enabled: true,
            rndtime: Duration::from_secs(60),
            ..Increment::default()
        },
        ..policy()
    }
}

/// The empty name is a master's on the line of a guess.
fn named(name: &str) -> Option<Name> {
    Some(Name::new(name.as_bytes()).unwrap_or(Name::MASTER))
}

/// Ends of bans in force by client, and what was said.
type Diary = (BTreeMap<u8, Option<LogTime>>, Vec<String>);

/// Lives through `steps`. A live daemon sweeps all the time; a replay never does.
fn live(steps: &[Step], sweeps: bool) -> Result<Diary, TestCaseError> {
    let mut jail = with(world());
    let mut bans: BTreeMap<u8, Option<LogTime>> = BTreeMap::new();
    let mut diary = Vec::new();
    let (mut now, mut stray) = (1_000_000_i64, 0);
    for step in steps {
        let at = secs(now - stray);
        let read = secs(now);
        let mut fail = |client: u8, failure: Failure| {
            let outcome = jail.failure(&failure, at, read);
            diary.push(format!("{client} at {now}: {outcome:?}"));
            match outcome {
                Outcome::Banned(ban) => {
                    let in_force = bans.insert(client, ban.expires).flatten();
                    prop_assert!(in_force.is_none_or(|end| end < read), "{diary:?}");
                }
                Outcome::Prolonged(ban) => {
                    let before = bans.insert(client, ban.expires).flatten();
                    prop_assert!(before.is_some_and(|end| ban.expires.unwrap() > end), "{diary:?}");
                }
                Outcome::Counted { attempts, maxretry, .. } => prop_assert!(attempts < maxretry),
                Outcome::Spared(Spared::TooOld) => prop_assert!(stray > 600),
                Outcome::AlreadyBanned { .. } | Outcome::Spared(_) => {}
            }
            Ok(())
        };
        let on = |ip, rule, connection: Option<u64>, name, guesses, waited: u16| Failure {
            session: connection.map(Session::from_number),
            guesses,
            name: named(name),
            waited: Duration::from_secs(waited.into()),
            ..super::failure(ip, rule)
        };
        match *step {
            Step::Wait(span) => (now, stray) = (now + i64::from(span), 0),
            Step::Stray(span) => stray = i64::from(span),
            Step::Probe { client, waited } => {
                let (client, ip) = a_client(client);
                fail(client, on(ip, &PROBE, None, "", Guesses::Total(1), waited))?;
            }
            Step::Guess { client, connection, passdb, name } => {
                let (client, ip) = a_client(client);
                let guesses = Guesses::One { passdb: Passdb::from_number(passdb) };
                fail(client, on(ip, &GUESS, connection, name, guesses, 0))?;
            }
            Step::End { client, connection, guesses, waited, name } => {
                let (client, ip) = a_client(client);
                let guesses = Guesses::Total(guesses);
                fail(client, on(ip, &GUESS, Some(connection), name, guesses, waited))?;
            }
            Step::Login { client, connection, name } => {
                let (client, ip) = a_client(client);
                let session = Some(Session::from_number(connection));
                let login = Login { ip, session, name: named(name) };
                let outcome = jail.login(&login, at, read);
                diary.push(format!("{client} at {now}: {outcome:?}"));
                if let LoginOutcome::Lifted { .. } = outcome {
                    let end = bans.remove(&client).flatten();
                    prop_assert!(end.is_some_and(|end| end >= read), "{diary:?}");
                }
            }
            Step::MasterLogin { name } => {
                named(name).into_iter().for_each(|name| jail.master_login(name, at));
            }
            Step::Sweep if sweeps => {
                jail.expire(secs(now));
                let in_force = bans.values().filter(|end| end.is_none_or(|end| end >= secs(now)));
                prop_assert_eq!(jail.currently_banned(), in_force.count(), "{:?}", diary);
            }
            Step::Sweep => {}
        }
    }
    bans.retain(|_, end| end.is_none_or(|end| end >= secs(now)));
    Ok((bans, diary))
}

proptest! {
    #[test]
    fn a_replay_gives_what_it_gave_live(steps in steps()) {
        prop_assert_eq!(live(&steps, true)?, live(&steps, false)?);
    }

    /// Bans survive a restart; who is on the ignore list is not banned before it or after.
    #[test]
    fn a_restart_changes_no_end(ends in proptest::collection::vec(0_i64..5000, 1..20), now in 0_i64..5000) {
        let mut jail = with(world());
        for (client, &end) in (0..).zip(&ends) {
            jail.adopt(world().subject(address(client)), Some(secs(end)));
        }
        let ended = jail.expire(secs(now)).len();
        prop_assert_eq!(ended, ends.iter().filter(|&&end| end < now).count());
        prop_assert_eq!(jail.currently_banned(), ends.len() - ended);
        for _ in 0..20 {
            let spared = jail.failure(&super::failure(ip("198.51.100.7"), &GUESS), secs(now), secs(now));
            prop_assert_eq!(spared, Outcome::Spared(Spared::Ignored));
        }
    }

    /// Only failures that no login excuses make bans, and enough of them do: while all of
    /// them are within findtime the count is exact. On each connection alice and mallory may
    /// be guessed at, and either may log in.
    #[test]
    fn a_ban_is_there_exactly_when_enough_failed(
        events in proptest::collection::vec((0_u64..8, 0_usize..2, any::<bool>()), 1..60)
    ) {
        let mut jail = with(policy());
        let names = ["alice", "mallory"].map(named);
        let mut failed = BTreeMap::<u64, [u32; 2]>::new();
        let mut got_in = BTreeMap::new();
        for (connection, who, logs_in) in events {
            let session = Some(Session::from_number(connection));
            let name = names[who];
            if logs_in {
                jail.login(&Login { ip: address(1), session, name }, secs(0), secs(0));
                got_in.entry(connection).or_insert(who);
            } else {
                let guesses = Guesses::One { passdb: Passdb::from_number(0) };
                let line = Failure { session, guesses, name, ..super::failure(address(1), &GUESS) };
                jail.failure(&line, secs(0), secs(0));
                failed.entry(connection).or_default()[who] += 1;
            }
            let guilt = |(id, guesses): (&u64, &[u32; 2])| match got_in.get(id) {
                Some(&who) if guesses.iter().sum::<u32>() <= 3 => guesses[1 - who],
                _ => guesses.iter().sum(),
            };
            let guilty = failed.iter().map(guilt).sum::<u32>() >= 3;
            prop_assert_eq!(jail.currently_banned() == 1, guilty, "{:?} {:?}", failed, got_in);
        }
    }
}
