//! What an admin would ask about.

use std::{num::NonZeroU32, time::Duration};

use super::{GUESS, PROBE, address, fail, failure, ip, is_ban, jail, log_in, policy, secs, with};
use crate::{
    dovecot::{Failure, Guesses, Passdb, Rule, Session},
    jail::{Ban, Bantime, Count, Increment, Jail, Outcome, Policy, Spared},
};

#[test]
fn a_third_probe_inside_findtime_bans_until_bantime_after_it() {
    let mut jail = jail();
    assert_eq!(fail(&mut jail, "192.0.2.7", 2, 100), counted("192.0.2.7/32", 2));
    assert_eq!(
        fail(&mut jail, "192.0.2.7", 1, 150),
        Outcome::Banned(Ban {
            subject: "192.0.2.7/32".parse().unwrap(),
            at: secs(150),
            expires: Some(secs(150 + 3600)),
            attempts: 3,
        })
    );
    assert_eq!(jail.currently_banned(), 1);
    assert_eq!(jail.currently_failed(), 0);
}

#[test]
fn a_line_older_than_findtime_does_not_count() {
    let mut jail = jail();
    let old = jail.failure(&failure(ip("192.0.2.7"), &PROBE), secs(399), secs(1000));
    assert_eq!(old, Outcome::Spared(Spared::TooOld));
    let recent = jail.failure(&failure(ip("192.0.2.7"), &PROBE), secs(400), secs(1000));
    assert!(matches!(recent, Outcome::Counted { attempts: 1, .. }));
}

#[test]
fn a_ban_that_would_have_ended_by_now_is_not_set() {
    let mut jail = with(Policy { bantime: Bantime::For(Duration::from_secs(60)), ..policy() });
    let outcome =
        (0..3).map(|_| jail.failure(&failure(ip("192.0.2.7"), &PROBE), secs(500), secs(1000)));
    assert!(matches!(outcome.last(), Some(Outcome::Spared(Spared::Expired { .. }))));
    assert_eq!(jail.currently_banned(), 0);
}

#[test]
fn addresses_of_one_ipv6_prefix_add_up_and_are_banned_together() {
    let mut jail = jail();
    fail(&mut jail, "2001:db8:0:1::a", 1, 0);
    fail(&mut jail, "2001:db8:0:1:ffff::b", 1, 1);
    fail(&mut jail, "2001:db8:0:2::c", 1, 2);
    match fail(&mut jail, "2001:db8:0:1::d", 1, 3) {
        Outcome::Banned(ban) => assert_eq!(ban.subject, "2001:db8:0:1::/64".parse().unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_that_ipv4_address() {
    let mut jail = jail();
    fail(&mut jail, "::ffff:192.0.2.7", 2, 0);
    assert!(is_ban(fail(&mut jail, "192.0.2.7", 1, 1)));
    let ignored = fail(&mut jail, "::ffff:198.51.100.9", 1, 1);
    assert_eq!(ignored, Outcome::Spared(Spared::Ignored));
}

#[test]
fn ignored_addresses_and_the_host_itself_are_never_counted() {
    let mut jail = jail();
    jail.set_own_addresses(vec![ip("192.0.2.1")]);
    for spared in ["198.51.100.9", "127.0.0.1", "::1", "192.0.2.1"] {
        assert_eq!(fail(&mut jail, spared, 9, 0), Outcome::Spared(Spared::Ignored), "{spared}");
    }
}

#[test]
fn probes_after_a_login_are_forgiven_but_wrong_passwords_are_not() {
    let mut jail = jail();
    log_in(&mut jail, ip("192.0.2.7"), 0);
    assert_eq!(fail(&mut jail, "192.0.2.7", 9, 86_400), Outcome::Spared(Spared::Authenticated));
    let guess = |jail: &mut Jail| jail.failure(&failure(ip("192.0.2.7"), &GUESS), secs(5), secs(5));
    guess(&mut jail);
    guess(&mut jail);
    assert!(is_ban(guess(&mut jail)));
    let mut jail = super::jail();
    log_in(&mut jail, ip("192.0.2.7"), 0);
    assert!(is_ban(fail(&mut jail, "192.0.2.7", 3, 86_401)), "a login does not last for ever");
}

#[test]
fn probes_before_a_login_are_forgiven_but_wrong_passwords_are_not() {
    let play = |policy: Policy| {
        let mut jail = with(policy);
        fail(&mut jail, "192.0.2.7", 2, 0);
        log_in(&mut jail, ip("192.0.2.7"), 5);
        let typo = failure(ip("192.0.2.7"), &GUESS);
        (0..3).position(|_| is_ban(jail.failure(&typo, secs(6), secs(6))))
    };
    assert_eq!(play(policy()), Some(2), "three wrong passwords, and no probe");
    assert_eq!(play(Policy { count: Count::Lines, ..policy() }), Some(0), "as in fail2ban");
    let never = Policy { ignore_authenticated: Duration::ZERO, ..policy() };
    assert_eq!(play(never), Some(0), "as in fail2ban");

    let mut jail = jail();
    let guess = |jail: &mut Jail| jail.failure(&failure(ip("192.0.2.7"), &GUESS), secs(1), secs(1));
    guess(&mut jail);
    guess(&mut jail);
    log_in(&mut jail, ip("192.0.2.7"), 5);
    assert!(is_ban(guess(&mut jail)));
}

#[test]
fn a_ban_that_only_probes_made_is_lifted_by_a_login() {
    let mut jail = jail();
    assert!(is_ban(fail(&mut jail, "192.0.2.7", 3, 0)));
    log_in(&mut jail, ip("192.0.2.7"), 5);
    assert_eq!((jail.currently_banned(), jail.currently_failed()), (0, 0));
    let guess = |jail: &mut Jail| jail.failure(&failure(ip("192.0.2.7"), &GUESS), secs(6), secs(6));
    guess(&mut jail);
    guess(&mut jail);
    assert!(is_ban(guess(&mut jail)));
    log_in(&mut jail, ip("192.0.2.7"), 7);
    assert_eq!(jail.currently_banned(), 1, "of guesses alone");
    jail.adopt("192.0.2.8/32".parse().unwrap(), None);
    log_in(&mut jail, ip("192.0.2.8"), 7);
    assert_eq!(jail.currently_banned(), 2, "by hand");
}

#[test]
fn a_login_protects_the_prefix_that_its_failures_would_count_for() {
    let mut jail = jail();
    log_in(&mut jail, ip("2001:db8:0:1::a"), 0);
    let spared = Outcome::Spared(Spared::Authenticated);
    assert_eq!(fail(&mut jail, "2001:db8:0:1::b", 9, 1), spared);
    assert!(is_ban(fail(&mut jail, "2001:db8:0:2::b", 3, 1)), "another's prefix");
    let mut jail = with(Policy { ipv6_prefix: 128, ..policy() });
    log_in(&mut jail, ip("2001:db8:0:1::a"), 0);
    assert!(is_ban(fail(&mut jail, "2001:db8:0:1::b", 3, 1)), "each address by itself");
}

#[test]
fn a_pardoned_client_starts_from_zero() {
    let mut jail = jail();
    let subject = "192.0.2.7/32".parse().unwrap();
    fail(&mut jail, "192.0.2.7", 5, 0);
    jail.pardon(&subject);
    assert_eq!(jail.currently_banned(), 0);
    assert_eq!(fail(&mut jail, "192.0.2.7", 1, 1), counted("192.0.2.7/32", 1));
}

#[test]
fn failures_during_a_ban_prolong_it_and_never_shorten_it() {
    let mut jail = jail();
    assert!(is_ban(fail(&mut jail, "192.0.2.7", 3, 0)));
    match fail(&mut jail, "192.0.2.7", 3, 100) {
        Outcome::Prolonged(ban) => assert_eq!(ban.expires, Some(secs(3700))),
        other => panic!("{other:?}"),
    }
    let subject = "192.0.2.7/32".parse().unwrap();
    jail.adopt(subject, None);
    assert_eq!(fail(&mut jail, "192.0.2.7", 3, 200), Outcome::AlreadyBanned { subject });
}

#[test]
fn an_ended_ban_is_reported_once_and_the_next_is_a_new_one() {
    let mut jail = jail();
    fail(&mut jail, "192.0.2.7", 3, 0);
    assert_eq!(jail.expire(secs(3600)), [], "fail2ban has it end after its end");
    assert_eq!(jail.expire(secs(3601)), ["192.0.2.7/32".parse().unwrap()]);
    assert_eq!(jail.expire(secs(3601)), []);
    assert!(is_ban(fail(&mut jail, "192.0.2.7", 3, 3601)));
}

/// Guesses and probes of one client in turn, at once.
fn outcomes(maxretry: u32, probe: u32, rules: &[&'static Rule]) -> Vec<Outcome> {
    let mut jail = with(Policy {
        maxretry: NonZeroU32::new(maxretry).unwrap(),
        maxretry_probe: NonZeroU32::new(probe),
        ..policy()
    });
    let fail = |rule: &&'static Rule| jail.failure(&failure(address(7), rule), secs(0), secs(0));
    rules.iter().map(fail).collect()
}

#[test]
fn probes_can_be_judged_more_strictly_or_more_kindly_than_guesses() {
    let bans = |maxretry, probe, rules: &[&'static Rule]| {
        outcomes(maxretry, probe, rules).into_iter().position(is_ban)
    };
    assert_eq!(bans(5, 2, &[&PROBE; 9]), Some(1));
    assert_eq!(bans(5, 2, &[&GUESS; 9]), Some(4));
    assert_eq!(bans(2, 6, &[&PROBE; 9]), Some(5));
    assert_eq!(bans(2, 6, &[&GUESS; 9]), Some(1));
    // Half of the one and half of the other are a whole.
    assert_eq!(bans(4, 2, &[&PROBE, &GUESS, &GUESS]), Some(2));
    assert_eq!(bans(2, 6, &[&PROBE, &PROBE, &PROBE, &GUESS]), Some(3));
    // What was probed shows in the count of guesses, rounded down.
    let counted = |attempts, maxretry| Outcome::Counted {
        subject: "192.0.2.7/32".parse().unwrap(),
        guesses: 1,
        attempts,
        maxretry,
    };
    assert_eq!(
        outcomes(4, 8, &[&PROBE, &PROBE, &GUESS]),
        [counted(1, 8), counted(2, 8), counted(2, 4)]
    );
}

#[test]
fn a_name_on_the_ignore_list_is_what_it_stands_for_now() {
    let mut jail = jail();
    jail.set_named_addresses(vec![address(7)]);
    assert_eq!(fail(&mut jail, "192.0.2.7", 3, 0), Outcome::Spared(Spared::Ignored));
    jail.set_named_addresses(vec![address(8)]);
    assert!(is_ban(fail(&mut jail, "192.0.2.7", 3, 1)));
}

fn counted(subject: &str, attempts: u32) -> Outcome {
    Outcome::Counted { subject: subject.parse().unwrap(), guesses: 1, attempts, maxretry: 3 }
}

/// What is logged while `play` runs.
fn logged(play: impl FnOnce()) -> String {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let writer = std::sync::Mutex::new(writer);
    let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, play);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    text
}

#[test]
fn every_table_says_once_that_it_is_full() {
    let said = logged(|| {
        let increment = Increment { enabled: true, ..Increment::default() };
        let mut jail = with(Policy { max_tracked: 2, increment, ..policy() });
        for client in 0..9 {
            let session = Some(Session::from_number(client.into()));
            let guesses = Guesses::One { passdb: Passdb::from_number(1) };
            let guess = Failure { guesses, ..failure(address(client), &GUESS) };
            jail.failure(&guess, secs(0), secs(0));
            jail.failure(&Failure { session, ..guess }, secs(0), secs(0));
            log_in(&mut jail, address(client), 0);
        }
        for client in 20..29 {
            let many = Failure { guesses: Guesses::Total(9), ..failure(address(client), &GUESS) };
            assert!(is_ban(jail.failure(&many, secs(0), secs(0))));
        }
    });
    for what in [
        "2 clients with failures are remembered",
        "2 clients that logged in are remembered",
        "2 clients that were banned before are remembered",
        "2 connections are remembered",
        "2 clients without session ids are remembered",
    ] {
        assert_eq!(said.matches(what).count(), 1, "{what}: {said}");
    }
}
