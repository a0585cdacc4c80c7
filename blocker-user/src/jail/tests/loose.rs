//! PAM's own lines, which have no session id, and the logins that follow them.

use std::{num::NonZeroU32, time::Duration};

use super::{GUESS, address, failure, is_ban, policy, secs, with};
use crate::{
    dovecot::{Failure, Guesses, Login, Name, Passdb, Session},
    jail::{Count, Jail, LoginOutcome, Outcome, Policy},
};

const PAM: u16 = 1;
const WORKER: u16 = 2;

fn named(name: &str) -> Option<Name> {
    Name::new(name.as_bytes())
}

/// PAM's line about a wrong password of `name`.
fn pam(name: &str) -> Failure {
    Failure {
        name: named(name),
        guesses: Guesses::One { passdb: Passdb::from_number(PAM) },
        ..failure(address(7), &GUESS)
    }
}

fn on(connection: u64, failure: Failure) -> Failure {
    Failure { session: Some(Session::from_number(connection)), ..failure }
}

/// The same guess by the line of Dovecot's worker.
fn worker(connection: u64, name: &str) -> Failure {
    on(
        connection,
        Failure { guesses: Guesses::One { passdb: Passdb::from_number(WORKER) }, ..pam(name) },
    )
}

/// The same once more, where the connection ends.
fn end(connection: u64, name: &str, guesses: u32) -> Failure {
    on(
        connection,
        Failure { guesses: Guesses::Total(guesses), waited: Duration::from_secs(5), ..pam(name) },
    )
}

fn lenient() -> Jail {
    with(Policy { maxretry: NonZeroU32::new(100).unwrap(), ..policy() })
}

fn log_in(jail: &mut Jail, name: &str, connection: Option<u64>, at: i64) -> LoginOutcome {
    let session = connection.map(Session::from_number);
    jail.login(&Login { ip: address(7), session, name: named(name) }, secs(at), secs(at))
}

fn read(jail: &mut Jail, lines: &[Failure], at: i64) {
    for line in lines {
        jail.failure(line, secs(at), secs(at));
    }
}

/// How many failures count.
fn counted(jail: &mut Jail, at: i64) -> u32 {
    match jail.failure(&on(99, pam("probe")), secs(at), secs(at)) {
        Outcome::Counted { attempts, .. } => attempts - 1,
        other => panic!("{other:?}"),
    }
}

fn is_taken_back(outcome: LoginOutcome) -> bool {
    matches!(outcome, LoginOutcome::TakenBack { .. })
}

#[test]
fn a_login_takes_back_what_pam_said_of_its_own_name() {
    for connection in [None, Some(1)] {
        let mut jail = lenient();
        read(&mut jail, &[pam("alice")], 0);
        assert!(is_taken_back(log_in(&mut jail, "alice@example.org", connection, 20)));
        assert_eq!(counted(&mut jail, 21), 0);
        // Once.
        assert_eq!(log_in(&mut jail, "alice", connection, 22), LoginOutcome::Noted);
    }
}

#[test]
fn who_is_in_the_second_of_two_pam_modules_is_never_banned_for_it() {
    let mut jail = with(policy());
    for at in 0..40 {
        assert!(!is_ban(jail.failure(&pam("alice"), secs(10 * at), secs(10 * at))));
        log_in(&mut jail, "alice", Some(at.cast_unsigned()), 10 * at + 1);
    }
    assert_eq!(jail.currently_banned() + jail.currently_failed(), 0);
    // A client that opens more connections at once than make a ban.
    read(&mut jail, &vec![pam("alice"); 5], 1000);
    assert_eq!(jail.currently_banned(), 1);
    let logins: Vec<_> =
        (0..5).map(|it| log_in(&mut jail, "alice", Some(100 + it), 1001)).collect();
    assert!(matches!(logins[0], LoginOutcome::Lifted { .. }), "{logins:?}");
    assert_eq!(jail.currently_banned() + jail.currently_failed(), 0);
}

#[test]
fn a_valid_account_takes_back_nothing_of_others() {
    let mut jail = with(Policy { maxretry: NonZeroU32::new(7).unwrap(), ..policy() });
    let mut banned = false;
    for at in 0..7 {
        banned |= is_ban(jail.failure(&pam("alice"), secs(at), secs(at)));
        assert_eq!(log_in(&mut jail, "mallory", Some(at.cast_unsigned()), at), LoginOutcome::Noted);
    }
    assert!(banned);
}

#[test]
fn what_was_another_connections_counts_at_its_end() {
    let mut jail = lenient();
    // Somebody guesses at the password of alice, whose phone logs in from the same address.
    read(&mut jail, &[pam("alice"), pam("alice")], 0);
    assert!(is_taken_back(log_in(&mut jail, "alice", Some(2), 1)));
    read(&mut jail, &[end(1, "alice", 2)], 2);
    assert_eq!(counted(&mut jail, 3), 2);
    // Whose connection has ended, whose guesses are no login's any more.
    let mut jail = lenient();
    read(&mut jail, &[pam("alice"), end(1, "alice", 1)], 0);
    assert_eq!(log_in(&mut jail, "alice", Some(2), 1), LoginOutcome::Noted);
    assert_eq!(counted(&mut jail, 3), 1);
}

#[test]
fn what_a_worker_says_of_the_same_guess_is_taken_back_with_it() {
    let mut jail = lenient();
    read(&mut jail, &[pam("alice"), worker(1, "alice")], 0);
    assert!(is_taken_back(log_in(&mut jail, "alice", Some(1), 1)));
    assert_eq!(counted(&mut jail, 2), 0);
    // Of two guesses, one for another name.
    let mut jail = lenient();
    read(&mut jail, &[pam("bob"), worker(1, "bob"), pam("alice"), worker(1, "alice")], 0);
    assert!(is_taken_back(log_in(&mut jail, "alice", Some(1), 1)));
    assert_eq!(counted(&mut jail, 2), 1);
}

#[test]
fn a_login_takes_back_three_of_them_and_none_that_are_old() {
    let mut jail = lenient();
    read(&mut jail, &vec![pam("alice"); 5], 0);
    assert!(is_taken_back(log_in(&mut jail, "alice", Some(1), 1)));
    assert_eq!(counted(&mut jail, 20), 2);
    // Longer ago than Dovecot waits for a login.
    let mut jail = lenient();
    read(&mut jail, &[pam("alice")], 0);
    assert_eq!(log_in(&mut jail, "alice", Some(1), 181), LoginOutcome::Noted);
    // By lines, as fail2ban counts.
    let mut jail = with(Policy { count: Count::Lines, ..policy() });
    read(&mut jail, &[pam("alice")], 0);
    assert_eq!(log_in(&mut jail, "alice", Some(1), 1), LoginOutcome::Noted);
}
