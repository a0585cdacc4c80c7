//! Longer bans for who was banned before. The oracle in `tests/` asks fail2ban itself about
//! thousands of sequences; these say in words what it answers.

use std::time::Duration;

use super::{GUESS, address, fail, failure, is_ban, policy, secs, with};
use crate::jail::{Bantime, History, Increment, Jail, Outcome, Policy};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn increasing() -> Policy {
    Policy { increment: Increment { enabled: true, ..Increment::default() }, ..policy() }
}

/// The length of the ban that `outcome` is, in seconds.
fn length(outcome: Outcome) -> i64 {
    let Outcome::Banned(ban) = outcome else { panic!("no ban: {outcome:?}") };
    ban.expires.unwrap().as_secs() - ban.at.as_secs()
}

/// Fails until banned, and says how often that took and for how long the ban is.
fn offend(jail: &mut Jail, at: i64) -> (usize, i64) {
    for times in 1..10 {
        let outcome = fail(jail, "192.0.2.7", 1, at);
        if is_ban(outcome) {
            return (times, length(outcome));
        }
    }
    panic!("ten failures and no ban");
}

#[test]
fn each_ban_is_twice_as_long_and_comes_sooner() {
    let mut jail = with(increasing());
    assert_eq!(offend(&mut jail, 0), (3, HOUR));
    // After one ban a failure counts as two, after two as three.
    assert_eq!(offend(&mut jail, 2 * HOUR), (2, 2 * HOUR));
    assert_eq!(offend(&mut jail, 5 * HOUR), (1, 4 * HOUR));
    let mut jail = with(policy());
    assert_eq!(offend(&mut jail, 0), (3, HOUR));
    assert_eq!(offend(&mut jail, 2 * HOUR), (3, HOUR), "only where it is enabled");
}

#[test]
fn a_ban_is_forgotten_dbpurgeage_and_three_times_its_length_after_its_begin() {
    let mut jail = with(increasing());
    offend(&mut jail, 0);
    let second = DAY + 3 * HOUR;
    assert_eq!(offend(&mut jail, second), (2, 2 * HOUR));
    assert_eq!(offend(&mut jail, second + DAY + 6 * HOUR + 1), (3, HOUR));
}

#[test]
fn a_failure_from_before_the_last_ban_counts_once() {
    let mut jail = with(increasing());
    offend(&mut jail, 1000);
    jail.expire(secs(1000 + HOUR));
    for _ in 0..2 {
        let again = jail.failure(&failure(address(7), &GUESS), secs(4100), secs(4650));
        assert!(!is_ban(again), "{again:?}");
        jail.pardon(&policy().subject(address(7)));
        jail.remember(&History {
            subject: policy().subject(address(7)),
            bans: 1,
            at: secs(4100),
            end: Some(secs(4200)),
        });
    }
}

#[test]
fn a_prolonged_ban_is_not_made_longer_and_no_new_one() {
    let mut jail = with(increasing());
    offend(&mut jail, 0);
    match fail(&mut jail, "192.0.2.7", 2, 100) {
        Outcome::Prolonged(ban) => assert_eq!(ban.expires, Some(secs(100 + HOUR))),
        other => panic!("{other:?}"),
    }
    assert_eq!(jail.history(secs(100)).map(|past| past.bans).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_permanent_ban_stays_one_and_a_pardon_forgets() {
    let mut jail = with(Policy { bantime: Bantime::Forever, ..increasing() });
    match fail(&mut jail, "192.0.2.7", 3, 0) {
        Outcome::Banned(ban) => assert_eq!(ban.expires, None),
        other => panic!("{other:?}"),
    }
    assert_eq!(jail.history(secs(100)).next().map(|past| past.end), Some(None));
    jail.pardon(&policy().subject(address(7)));
    assert_eq!(jail.history(secs(100)).next(), None);
}

#[test]
fn what_one_life_knew_another_can_be_told() {
    let mut first = with(increasing());
    offend(&mut first, 0);
    let mut second = with(increasing());
    first.history(secs(100)).for_each(|past| second.remember(&past));
    assert_eq!(offend(&mut second, 2 * HOUR), offend(&mut first, 2 * HOUR));
}

#[test]
fn random_times_are_the_seeds_and_nobody_elses() {
    let policy = Policy {
        increment: Increment { rndtime: Duration::from_secs(10_000_000), ..increasing().increment },
        ..increasing()
    };
    let second_ban = |seed, others: u8| {
        let mut jail = Jail::new(policy.clone(), crate::jail::IgnoreList::default(), seed);
        offend(&mut jail, 0);
        for other in 0..others {
            fail(&mut jail, &format!("203.0.113.{other}"), 3, 0);
            fail(&mut jail, &format!("203.0.113.{other}"), 3, 2 * HOUR);
        }
        offend(&mut jail, 2 * HOUR).1
    };
    assert_eq!(second_ban(1, 0), second_ban(1, 9));
    assert_ne!(second_ban(1, 0), second_ban(2, 0));
}
