//! Small worlds by chance, against the plainest model of what is meant: for each client a list,
//! searched from its start each time. Guesses, each on a connection of its own that ends at once;
//! probes of some length, which no rule of the normal mode counts; and logins.

use std::net::{IpAddr, Ipv6Addr};

use anyhow::Result;
use blocker_tests::attempts::{Log, Seconds, Version};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use crate::{START, adds_up, expect, simulate, time};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Guess,
    Probe,
    Login,
}

/// Who did what, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) at: Seconds,
    pub(crate) client: u8,
    pub(crate) deed: Deed,
    /// How long the connection was there before that: probes only.
    pub(crate) waited: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) maxretry: u32,
    pub(crate) findtime: Seconds,
    pub(crate) bantime: Seconds,
}

#[derive(Clone, Debug)]
pub(crate) struct Ban {
    pub(crate) client: u8,
    pub(crate) at: Seconds,
    pub(crate) expires: Seconds,
    pub(crate) prevented: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) bans: Vec<Ban>,
    pub(crate) prevented_connections: u64,
    pub(crate) prevented_seconds: u64,
    pub(crate) locked_out: u64,
}

impl Answer {
    pub(crate) fn prevented_failures(&self) -> u64 {
        self.bans.iter().map(|ban| ban.prevented).sum()
    }

    pub(crate) fn banned(&self) -> Vec<u8> {
        let mut clients: Vec<u8> = self.bans.iter().map(|ban| ban.client).collect();
        clients.sort_unstable();
        clients.dedup();
        clients
    }
}

/// Failures of one client, as fail2ban remembers them.
#[derive(Clone, Copy)]
struct Window {
    first: Seconds,
    last: Seconds,
    count: f64,
}

/// What would have been. `events` are in the order of time.
pub(crate) fn would_have_been(policy: Policy, events: &[Event]) -> Answer {
    let Policy { maxretry, findtime, bantime } = policy;
    let mut answer = Answer::default();
    for client in 0..=u8::MAX {
        let mut window: Option<Window> = None;
        for event in events.iter().filter(|event| event.client == client) {
            let Event { at, deed, waited, .. } = *event;
            let began = at - Seconds::from(waited);
            let in_force =
                |ban: &&mut Ban| ban.client == client && ban.at < began && at <= ban.expires;
            if let Some(ban) = answer.bans.iter_mut().find(in_force) {
                answer.prevented_connections += 1;
                answer.prevented_seconds += u64::from(waited);
                answer.locked_out += u64::from(deed == Deed::Login);
                ban.prevented += u64::from(deed != Deed::Login);
                continue;
            }
            if deed != Deed::Guess {
                continue;
            }
            let mut now = window.filter(|it| it.last >= at - findtime).unwrap_or(Window {
                first: at,
                last: at,
                count: 0.0,
            });
            if now.first < at - findtime {
                // As many as at that rate would be within findtime.
                let rate = now.count / (at - now.first) as f64;
                now.count = (rate * findtime as f64).round_ties_even();
                now.first = at - findtime;
            }
            (now.last, now.count) = (at, now.count + 1.0);
            window = Some(now);
            if now.count >= f64::from(maxretry) {
                window = None;
                answer.bans.push(Ban { client, at, expires: at + bantime, prevented: 0 });
            }
        }
    }
    answer.bans.sort_by_key(|ban| ban.at);
    answer
}

pub(crate) fn address(client: u8) -> IpAddr {
    if client.is_multiple_of(2) {
        [198, 51, 100, client].into()
    } else {
        Ipv6Addr::new(0x2001, 0xdb8, client.into(), 0, 0, 0, 0, 1).into()
    }
}

pub(crate) fn subject(client: u8) -> String {
    match address(client) {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(_) => format!("2001:db8:{client:x}::/64"),
    }
}

/// The log of `events`.
pub(crate) fn log(version: Version, events: &[Event]) -> Log {
    let mut log = Log::new(version);
    for Event { at, client, deed, waited } in events {
        let ip = address(*client);
        match deed {
            Deed::Guess => log.guess(*at, ip, "root"),
            Deed::Probe => log.probe(*at, ip, *waited),
            Deed::Login => log.login(*at, ip, &format!("user{client}")),
        };
    }
    log
}

pub(crate) fn flags(policy: Policy) -> [String; 6] {
    let Policy { maxretry, findtime, bantime } = policy;
    [
        "--maxretry".to_owned(),
        maxretry.to_string(),
        "--findtime".to_owned(),
        findtime.to_string(),
        "--bantime".to_owned(),
        bantime.to_string(),
    ]
}

/// No two events in one second: which of them was first would be anybody's guess. Nor does a
/// connection begin in the second of another event: these are even, what is waited is odd.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let deed = prop_oneof![8 => Just(Deed::Guess), 2 => Just(Deed::Probe), 1 => Just(Deed::Login)];
    // Short pauses, and now and then a long one.
    let pause = prop_oneof![8 => 1_i64..40, 2 => 1_i64..400, 1 => 1_i64..4000];
    vec((pause, 0_u8..4, deed, 0_u32..90), 0..120).prop_map(|steps| {
        let mut at = START;
        let step = |(pause, client, deed, half)| {
            at += 2 * pause;
            let waited = if deed == Deed::Probe { 2 * half + 1 } else { 0 };
            Event { at, client, deed, waited }
        };
        steps.into_iter().map(step).collect()
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    (1_u32..7, 30_i64..900, 30_i64..3000).prop_map(|(maxretry, findtime, bantime)| Policy {
        maxretry,
        findtime,
        bantime,
    })
}

fn agrees(policy: Policy, events: &[Event], version: Version) -> Result<()> {
    let answer = would_have_been(policy, events);
    let flags = flags(policy);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let report = simulate(&log(version, events), &flags)?;
    adds_up(&report);
    let bans: Vec<Value> = answer
        .bans
        .iter()
        .map(|ban| {
            Ok(json!({"subject": subject(ban.client), "at": time(ban.at)?,
                "expires": time(ban.expires)?, "prevented_failures": ban.prevented}))
        })
        .collect::<Result<_>>()?;
    expect(
        &report,
        &json!({
            "effect": {
                "bans": bans.len(), "banned_clients": answer.banned().len(),
                "prevented_failures": answer.prevented_failures(),
                "prevented_connections": answer.prevented_connections,
                "prevented_login_process_seconds": answer.prevented_seconds,
                "logins_locked_out": answer.locked_out,
            },
            "bans": bans,
        }),
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn small_worlds_are_as_the_plainest_model_has_them(
        policy in policies(), events in events(), is_old in any::<bool>()
    ) {
        let version = if is_old { Version::V2_3 } else { Version::V2_4 };
        let tried = agrees(policy, &events, version);
        prop_assert!(tried.is_ok(), "{tried:?}");
    }
}
