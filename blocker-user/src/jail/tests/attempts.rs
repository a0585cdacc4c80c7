//! One guess, however many lines; and connections whose user got in after all.

use std::{num::NonZeroU32, time::Duration};

use proptest::prelude::*;

use super::{GUESS, PROBE, address, failure, is_ban, policy, secs, with};
use crate::{
    dovecot::{Failure, Guesses, Login, Name, Passdb, Session},
    jail::{Count, Jail, LoginOutcome, Outcome, Policy, Spared},
};

fn session(number: u64) -> Session {
    Session::from_number(number)
}

/// A login as the user whom the lines here name, unless they say otherwise.
fn log_in(jail: &mut Jail, connection: u64, at: i64) -> LoginOutcome {
    log_in_as(jail, "alice", connection, at)
}

fn log_in_as(jail: &mut Jail, name: &str, connection: u64, at: i64) -> LoginOutcome {
    let login = Login {
        ip: address(7),
        session: Some(session(connection)),
        name: Name::new(name.as_bytes()),
    };
    jail.login(&login, secs(at), secs(at))
}

fn named(name: &str, failure: Failure) -> Failure {
    Failure { name: Name::new(name.as_bytes()), ..failure }
}

fn one(connection: Option<u64>, passdb: u16) -> Failure {
    Failure {
        session: connection.map(session),
        name: Name::new(b"alice"),
        guesses: Guesses::One { passdb: Passdb::from_number(passdb) },
        ..failure(address(7), &GUESS)
    }
}

fn total(connection: Option<u64>, guesses: u32, waited: u64) -> Failure {
    Failure {
        session: connection.map(session),
        name: Name::new(b"alice"),
        guesses: Guesses::Total(guesses),
        waited: Duration::from_secs(waited),
        ..failure(address(7), &GUESS)
    }
}

fn times(number: u32, failure: Failure) -> Failure {
    Failure { repeated: NonZeroU32::new(number).unwrap(), ..failure }
}

fn lenient() -> Jail {
    with(Policy { maxretry: NonZeroU32::new(100).unwrap(), ..policy() })
}

/// What the lines come to, all of them at `at`.
fn read(jail: &mut Jail, lines: &[Failure], at: i64) -> u32 {
    let mut attempts = 0;
    for line in lines {
        if let Outcome::Counted { attempts: now, .. } = jail.failure(line, secs(at), secs(at)) {
            attempts = now;
        }
    }
    attempts
}

#[test]
fn the_lines_of_one_guess_count_once() {
    let guess = [one(Some(1), 1), one(Some(1), 2), total(Some(1), 1, 2)];
    assert_eq!(read(&mut lenient(), &guess, 0), 1);
    let mut lines =
        with(Policy { maxretry: NonZeroU32::new(100).unwrap(), count: Count::Lines, ..policy() });
    assert_eq!(read(&mut lines, &guess, 0), 3, "as fail2ban has it");
}

#[test]
fn the_last_line_counts_what_the_shorter_ones_did_not() {
    assert_eq!(read(&mut lenient(), &[total(Some(1), 12, 171)], 0), 12);
    let lines = [one(Some(1), 1), one(Some(1), 1), total(Some(1), 12, 171)];
    assert_eq!(read(&mut lenient(), &lines, 0), 12);
    let lines = [one(Some(1), 1), one(Some(1), 1), one(Some(2), 1), total(Some(1), 1, 5)];
    assert_eq!(read(&mut lenient(), &lines, 0), 3);
    assert_eq!(read(&mut lenient(), &[times(5, one(Some(1), 1)), total(Some(1), 6, 9)], 0), 6);
}

#[test]
fn a_second_end_is_another_connections_whatever_its_id() {
    assert_eq!(read(&mut lenient(), &[total(Some(1), 1, 0); 5], 0), 5);
    assert_eq!(read(&mut lenient(), &[times(5, total(Some(1), 1, 0))], 0), 5);
    let lines = [total(Some(1), 1, 0), one(Some(1), 1), total(Some(1), 1, 0), one(Some(1), 1)];
    assert_eq!(read(&mut lenient(), &lines, 0), 2, "the lines of the databases are told of");
}

#[test]
fn twelve_guesses_on_one_connection_ban_at_once() {
    let mut jail = with(policy());
    assert!(is_ban(jail.failure(&total(Some(1), 12, 171), secs(0), secs(0))));
}

#[test]
fn lines_without_an_id_are_tied_by_time() {
    // PAM's own line, the worker's, and the login process's at the end.
    let guess = [one(None, 1), one(None, 2), total(None, 1, 2)];
    assert_eq!(read(&mut lenient(), &guess, 0), 1);
    // PAM's line has no id where the others have one.
    let guess = [one(None, 1), one(Some(1), 2), total(Some(1), 1, 2)];
    assert_eq!(read(&mut lenient(), &guess, 0), 1);
    // Without any line but the last.
    assert_eq!(read(&mut lenient(), &[total(None, 2, 5), total(None, 3, 5)], 0), 5);
    assert_eq!(read(&mut lenient(), &[times(4, total(None, 1, 0))], 0), 4);
    // Each of one database's lines is a guess of its own.
    assert_eq!(read(&mut lenient(), &[one(None, 1), one(None, 1), one(None, 2)], 0), 2);
}

#[test]
fn a_guess_told_without_an_id_hides_no_later_one() {
    let mut jail = lenient();
    assert_eq!(read(&mut jail, &[one(None, 1)], 0), 1);
    assert_eq!(read(&mut jail, &[total(Some(1), 1, 2)], 20), 2);
    assert_eq!(read(&mut jail, &[one(None, 1)], 30), 3);
    assert_eq!(read(&mut jail, &[one(None, 2)], 40), 4);
}

#[test]
fn a_typo_before_the_right_password_is_taken_back() {
    let mut jail = lenient();
    assert_eq!(read(&mut jail, &[one(Some(1), 1), one(Some(2), 1)], 0), 2);
    let login = log_in(&mut jail, 1, 1);
    assert!(matches!(login, LoginOutcome::TakenBack { .. }), "{login:?}");
    assert_eq!(read(&mut jail, &[one(Some(2), 1)], 2), 2);
    // A line of the first connection that was overtaken by the login.
    let late = jail.failure(&one(Some(1), 1), secs(2), secs(2));
    assert_eq!(late, Outcome::Spared(Spared::LoggedIn));
    let again = log_in(&mut jail, 1, 3);
    assert_eq!(again, LoginOutcome::Noted, "nothing is taken back twice");
}

#[test]
fn a_login_excuses_three_guesses_on_its_connection() {
    let mut jail = lenient();
    // Each of them put to two databases, and told of once more at the end.
    let guess = [one(Some(1), 1), one(Some(1), 2)];
    let lines = [&guess[..], &guess, &guess, &[total(Some(1), 3, 9)]].concat();
    assert_eq!(read(&mut jail, &lines, 0), 3);
    let login = log_in(&mut jail, 1, 1);
    assert!(matches!(login, LoginOutcome::TakenBack { .. }), "{login:?}");
    assert_eq!(read(&mut jail, &[one(Some(2), 1)], 2), 1);
}

#[test]
fn a_valid_account_buys_no_guesses_at_those_of_others() {
    // Two wrong passwords of alice on each connection, and then mallory's own right one.
    for lines in [vec![one(Some(0), 1); 2], vec![total(Some(0), 2, 5)]] {
        let mut jail = with(Policy { maxretry: NonZeroU32::new(7).unwrap(), ..policy() });
        let mut banned = false;
        for connection in 0..4 {
            for line in &lines {
                let line = Failure { session: Some(session(connection)), ..*line };
                banned |= is_ban(jail.failure(&line, secs(0), secs(0)));
            }
            assert_eq!(log_in_as(&mut jail, "mallory", connection, 1), LoginOutcome::Noted);
        }
        assert!(banned, "{lines:?}");
        assert_eq!(jail.currently_banned(), 1);
    }
}

#[test]
fn of_guesses_for_several_names_a_login_excuses_those_for_its_own() {
    let mut jail = lenient();
    let mallory = named("mallory", one(Some(1), 1));
    assert_eq!(read(&mut jail, &[one(Some(1), 1), mallory, one(Some(1), 1)], 0), 3);
    let login = log_in_as(&mut jail, "mallory", 1, 1);
    assert!(matches!(login, LoginOutcome::TakenBack { .. }), "{login:?}");
    assert_eq!(read(&mut jail, &[one(Some(2), 1)], 1), 3, "two for alice stay");
    // Each of two databases knows one of them only, and has a line for the other.
    let mut jail = lenient();
    assert_eq!(read(&mut jail, &[one(Some(1), 1), named("mallory", one(Some(1), 2))], 0), 1);
    assert_eq!(log_in_as(&mut jail, "mallory", 1, 1), LoginOutcome::Noted);
    // A name that came too late to be kept, and one that is not there.
    let mut jail = lenient();
    let nobodys = Failure { name: None, ..one(Some(1), 1) };
    assert_eq!(read(&mut jail, &[nobodys], 0), 1);
    assert_eq!(log_in(&mut jail, 1, 1), LoginOutcome::Noted);
    assert_eq!(log_in(&mut jail, 2, 1), LoginOutcome::Noted);
    assert_eq!(read(&mut jail, &[Failure { session: Some(session(2)), ..nobodys }], 2), 2);
}

#[test]
fn an_end_names_somebody_for_its_last_guess_only() {
    let mut jail = lenient();
    assert_eq!(read(&mut jail, &[total(Some(1), 1, 2)], 0), 1);
    let login = log_in(&mut jail, 1, 1);
    assert!(matches!(login, LoginOutcome::TakenBack { .. }), "{login:?}");
    assert_eq!(read(&mut jail, &[total(Some(2), 3, 2)], 2), 3);
    let login = log_in(&mut jail, 2, 3);
    assert!(matches!(login, LoginOutcome::TakenBack { .. }), "{login:?}");
    assert_eq!(read(&mut jail, &[one(Some(3), 1)], 4), 3, "two of the three stay");
}

#[test]
fn a_name_with_its_domain_and_one_without_are_one_user() {
    let mut jail = lenient();
    assert_eq!(read(&mut jail, &[named("Alice", one(Some(1), 1))], 0), 1);
    let login = log_in_as(&mut jail, "alice@example.org", 1, 1);
    assert!(matches!(login, LoginOutcome::TakenBack { .. }), "{login:?}");
    assert_eq!(read(&mut jail, &[named("alice@example.net", one(Some(2), 1))], 2), 1);
    assert_eq!(log_in_as(&mut jail, "alice@example.org", 2, 3), LoginOutcome::Noted);
}

#[test]
fn a_masters_typo_is_taken_back_when_the_master_gets_in() {
    let guess = |connection| Failure { name: Some(Name::MASTER), ..one(Some(connection), 1) };
    let mut jail = lenient();
    assert_eq!(read(&mut jail, &[guess(1)], 0), 1);
    jail.master_login(Name::new(b"alice").unwrap(), secs(1));
    let login = log_in(&mut jail, 1, 1);
    assert!(matches!(login, LoginOutcome::TakenBack { .. }), "{login:?}");
    // That was one login's. Whoever has no master's password has guessed at it.
    assert_eq!(read(&mut jail, &[guess(2)], 2), 1);
    assert_eq!(log_in(&mut jail, 2, 2), LoginOutcome::Noted);
    jail.master_login(Name::new(b"alice").unwrap(), secs(3));
    assert_eq!(log_in_as(&mut jail, "mallory", 2, 3), LoginOutcome::Noted);
    assert_eq!(read(&mut jail, &[guess(3)], 4), 2);
    assert_eq!(log_in(&mut jail, 3, 60), LoginOutcome::Noted, "too late for it");
}

#[test]
fn a_login_excuses_nothing_on_a_connection_with_more_guesses() {
    let mut jail = lenient();
    assert_eq!(read(&mut jail, &vec![one(Some(1), 1); 4], 0), 4);
    let login = log_in(&mut jail, 1, 1);
    assert_eq!(login, LoginOutcome::Noted);
    assert_eq!(read(&mut jail, &[one(Some(1), 1)], 2), 5, "nor later ones");

    let mut jail = with(policy());
    assert!(is_ban(jail.failure(&total(Some(1), 4, 20), secs(0), secs(0))));
    log_in(&mut jail, 1, 1);
    assert_eq!(jail.currently_banned(), 1, "a valid account buys no guesses");
}

#[test]
fn guesses_that_a_login_overtook_count_once_they_are_too_many() {
    let mut jail = lenient();
    assert_eq!(read(&mut jail, &[one(Some(1), 1)], 0), 1);
    log_in(&mut jail, 1, 1);
    for _ in 2..=3 {
        let late = jail.failure(&one(Some(1), 1), secs(1), secs(1));
        assert_eq!(late, Outcome::Spared(Spared::LoggedIn));
    }
    assert_eq!(read(&mut jail, &[one(Some(1), 1)], 1), 4, "all four, each once");
    let again = log_in(&mut jail, 1, 2);
    assert_eq!(again, LoginOutcome::Noted);
}

#[test]
fn a_ban_that_only_logins_made_is_lifted() {
    let mut jail = with(policy());
    let lines = (1..=7).map(|connection| one(Some(connection), 1)).collect::<Vec<_>>();
    read(&mut jail, &lines, 0);
    assert_eq!(jail.currently_banned(), 1);
    // Seven are known: three that banned, three that would have prolonged it, one more. With
    // four taken back, three are left, which is a ban.
    for connection in 1..=4 {
        let login = log_in(&mut jail, connection, 1);
        assert!(matches!(login, LoginOutcome::TakenBack { .. }), "{connection}: {login:?}");
    }
    let login = log_in(&mut jail, 5, 1);
    assert!(matches!(login, LoginOutcome::Lifted { .. }), "{login:?}");
    assert_eq!(jail.currently_banned(), 0);
    // The other two still count.
    assert!(is_ban(jail.failure(&one(Some(9), 1), secs(2), secs(2))));
}

#[test]
fn a_ban_by_hand_is_not_lifted_by_a_login() {
    let mut jail = with(policy());
    read(&mut jail, &[one(Some(1), 1), one(Some(2), 1)], 0);
    jail.adopt(policy().subject(address(7)), None);
    log_in(&mut jail, 1, 1);
    read(&mut jail, &[one(Some(3), 1), one(Some(4), 1), one(Some(5), 1)], 2);
    log_in(&mut jail, 3, 3);
    assert_eq!(jail.currently_banned(), 1);
}

#[test]
fn a_late_line_is_judged_by_when_its_connection_began() {
    let probe =
        |waited| Failure { waited: Duration::from_secs(waited), ..failure(address(7), &PROBE) };
    let mut jail = with(Policy { findtime: Duration::from_secs(60), ..policy() });
    let mut at = |line, waited| jail.failure(&probe(waited), secs(line), secs(line));
    // All three connected within a minute, though their lines are spread over three.
    at(0, 0);
    assert!(matches!(at(190, 180), Outcome::Counted { attempts: 2, .. }));
    assert!(is_ban(at(200, 160)));
    // And these did not, though their lines come together.
    assert!(matches!(at(4000, 0), Outcome::Counted { attempts: 1, .. }));
    assert!(matches!(at(4000, 180), Outcome::Counted { attempts: 1, .. }));
}

proptest! {
    /// The lines of some connections, in whatever order, come to the guesses there were.
    #[test]
    fn the_order_of_lines_does_not_matter(
        connections in proptest::collection::vec((1_u32..6, 0_u16..3, any::<bool>(), any::<bool>()), 1..12),
        seed in any::<u64>(),
    ) {
        let mut lines = Vec::new();
        let mut expected = 0;
        for (id, &(guesses, passdbs, ends, logs_in)) in (0..).zip(&connections) {
            // Dovecot writes no such line for a connection whose user got in.
            let ends = !logs_in && (ends || passdbs == 0);
            lines.extend((0..passdbs).flat_map(|db| (0..guesses).map(move |_| Some(one(Some(id), db)))));
            lines.extend(ends.then(|| Some(total(Some(id), guesses, 0))));
            let is_told = passdbs > 0 || ends;
            expected += if !is_told || (logs_in && guesses <= 3) { 0 } else { guesses };
            if logs_in { lines.push(None); }
            let marks = lines.len();
            prop_assert!(marks > 0);
        }
        // Logins carry no id in the list: they are dealt to their connections in order.
        let mut logins: Vec<u64> = (0..).zip(&connections).filter(|(_, c)| c.3).map(|(id, _)| id).collect();
        let mut keyed: Vec<(u64, Option<Failure>)> = (0..).zip(lines)
            .map(|(n, line)| (seed.wrapping_mul(2 * n + 1).rotate_left(17) ^ n, line)).collect();
        keyed.sort_by_key(|(key, _)| *key);
        let mut jail = lenient();
        for (_, line) in keyed {
            match line {
                Some(line) => drop(jail.failure(&line, secs(0), secs(0))),
                None => {
                    let id = logins.pop().unwrap();
                    log_in(&mut jail, id, 0);
                }
            }
        }
        let last = jail.failure(&one(Some(999), 1), secs(0), secs(0));
        let is_right = matches!(last, Outcome::Counted { attempts, .. } if attempts == expected + 1);
        prop_assert!(is_right, "{:?}, not {}", last, expected + 1);
    }
}
