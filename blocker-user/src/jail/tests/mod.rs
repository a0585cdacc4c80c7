//! The jail against a naive model, against itself, and the cases an admin would ask about.

mod attempts;
mod cases;
mod increments;
mod kept;
mod loose;
mod model;
mod world;

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use super::{Bantime, IgnoreList, Jail, Outcome, Policy};
use crate::{
    dovecot::{Failure, Login, Mode, Place, Rule},
    time::LogTime,
};

static PROBE: Rule = rule(Mode::Aggressive);
static GUESS: Rule = rule(Mode::Normal);

const fn rule(mode: Mode) -> Rule {
    Rule {
        name: "test",
        mode,
        place: Place::Cause,
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
    with(policy())
}

fn with(policy: Policy) -> Jail {
    Jail::new(policy, IgnoreList::new(vec!["198.51.100.0/24".parse().unwrap()], true), 1)
}

fn secs(at: i64) -> LogTime {
    LogTime::from_secs(at)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn address(client: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, client])
}

/// Client 0, 1 or 2 by its own address; 3 and 4 are one client, whose address changes.
fn a_client(number: u8) -> (u8, IpAddr) {
    match number {
        0..3 => (number, address(number)),
        _ => (3, IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, number.into()))),
    }
}

/// Fails `times` times from `from` at `at` and returns the last outcome.
fn fail(jail: &mut Jail, from: &str, times: u32, at: i64) -> Outcome {
    (0..times).map(|_| jail.failure(&failure(ip(from), &PROBE), secs(at), secs(at))).last().unwrap()
}

fn failure(from: impl Into<IpAddr>, rule: &'static Rule) -> Failure {
    Failure::new(from.into(), rule)
}

/// A login on a connection of which nothing else is known.
fn log_in(jail: &mut Jail, from: impl Into<IpAddr>, at: i64) {
    let login = Login { ip: from.into(), session: None, name: None };
    jail.login(&login, secs(at), secs(at));
}

fn is_ban(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Banned(_))
}
