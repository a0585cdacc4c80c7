//! The jail against a naive model, and the cases an admin would ask about.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use proptest::prelude::*;

use super::{Ban, Bantime, IgnoreList, Jail, Outcome, Policy, Spared};
use crate::{
    dovecot::{Failure, Mode, Place, Rule},
    time::LogTime,
};

static PROBE: Rule = rule(Mode::Aggressive);
static GUESS: Rule = rule(Mode::Normal);

const fn rule(mode: Mode) -> Rule {
    Rule {
        name: "test",
        mode,
        place: Place::Reason,
        words: &[],
        codes: &[],
        source: "",
        example: "",
    }
}

fn policy() -> Policy {
    Policy {
        maxretry: NonZeroU32::new(3).unwrap(),
        findtime: Duration::from_secs(600),
        bantime: Bantime::For(Duration::from_secs(3600)),
        ..Policy::default()
    }
}

fn jail() -> Jail {
    Jail::new(policy(), IgnoreList::new(vec!["198.51.100.0/24".parse().unwrap()], true))
}

fn secs(at: i64) -> LogTime {
    LogTime::from_secs(at)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Fails `times` times from `from` at `at` and returns the last outcome.
fn fail(jail: &mut Jail, from: &str, times: u32, at: i64) -> Outcome {
    (0..times).map(|_| jail.failure(&failure(ip(from), &PROBE), secs(at), secs(at))).last().unwrap()
}

fn failure(from: impl Into<IpAddr>, rule: &'static Rule) -> Failure {
    Failure::new(from.into(), rule)
}

fn is_ban(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Banned(_))
}

#[test]
fn a_third_probe_inside_findtime_bans_until_bantime_after_it() {
    let mut jail = jail();
    assert_eq!(
        fail(&mut jail, "192.0.2.7", 2, 100),
        Outcome::Counted { subject: "192.0.2.7/32".parse().unwrap(), attempts: 2 }
    );
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
    let mut jail = Jail::new(
        Policy { bantime: Bantime::For(Duration::from_secs(60)), ..policy() },
        IgnoreList::default(),
    );
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
    jail.login(ip("192.0.2.7"), secs(0), secs(0));
    assert_eq!(fail(&mut jail, "192.0.2.7", 9, 86_400), Outcome::Spared(Spared::Authenticated));
    let guess = |jail: &mut Jail| jail.failure(&failure(ip("192.0.2.7"), &GUESS), secs(5), secs(5));
    guess(&mut jail);
    guess(&mut jail);
    assert!(is_ban(guess(&mut jail)));
    let mut jail = self::jail();
    jail.login(ip("192.0.2.7"), secs(0), secs(0));
    assert!(is_ban(fail(&mut jail, "192.0.2.7", 3, 86_401)), "a login does not last for ever");
}

#[test]
fn a_pardoned_client_starts_from_zero() {
    let mut jail = jail();
    let subject = "192.0.2.7/32".parse().unwrap();
    fail(&mut jail, "192.0.2.7", 5, 0);
    jail.pardon(&subject);
    assert_eq!(jail.currently_banned(), 0);
    assert_eq!(fail(&mut jail, "192.0.2.7", 1, 1), Outcome::Counted { subject, attempts: 1 });
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
    assert_eq!(jail.expire(secs(3599)), []);
    assert_eq!(jail.expire(secs(3600)), ["192.0.2.7/32".parse().unwrap()]);
    assert_eq!(jail.expire(secs(3600)), []);
    assert!(is_ban(fail(&mut jail, "192.0.2.7", 3, 3601)));
}

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
        self.bans.iter().any(|&(who, end)| who == client && end > now)
    }
}

proptest! {
    /// Whatever happens: a ban needs at least maxretry failures since the last ban or pardon,
    /// comes with the last of them when all lie within findtime, and ends bantime later.
    #[test]
    fn agrees_with_the_model(steps in steps()) {
        let mut jail = Jail::new(policy(), IgnoreList::default());
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
                    jail.login(address(client), secs(now), secs(now));
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
        let mut jail = Jail::new(policy, IgnoreList::default());
        for (at, client) in (0..).zip(clients) {
            jail.failure(&failure(IpAddr::from(client), &PROBE), secs(at), secs(at));
            prop_assert!(jail.currently_failed() <= 8);
        }
    }
}

fn address(client: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, client])
}
