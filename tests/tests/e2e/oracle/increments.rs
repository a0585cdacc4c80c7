//! `bantime.increment`, over random lives: fail2ban's whole jail (filter, failure manager, ban
//! manager, observer, database) on the one side, ours on the other.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    num::NonZeroU32,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use blocker_user::{
    dovecot::{Failure, RULES},
    jail::{Bantime, Count, IgnoreList, Increment, Jail, Outcome, Policy},
    time::LogTime,
};
use proptest::prelude::RngCore as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::json;

use super::python;

const ASK_FAIL2BAN: &str = include_str!("increments.py");
const WORLDS: u8 = 61;
const EVENTS: usize = 400;
/// As many lives as worlds times clients: each address has one.
const CLIENTS: u32 = 40;

#[derive(Clone, Copy, Debug)]
enum Event {
    Failure,
    /// An admin lifts the ban.
    Unban,
}

/// What is known of an address after an event.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    /// In seconds since 1970. A permanent one is whatever lies beyond [`FOREVER`].
    end: Option<f64>,
    bans: u32,
}

const FOREVER: f64 = 1e13;

pub(super) fn longer() -> Result<()> {
    let (mut longer, mut odd) = (0, 0);
    for world in 0..WORLDS {
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[world; 32]);
        let policy = policy(&mut rng)?;
        let events = events(&mut rng);
        let theirs = ask_fail2ban(&policy, &events)?;
        let ours = ask_the_jail(&policy, &events)?;
        ensure!(theirs.len() == events.len(), "{} answers", theirs.len());
        let answers: Vec<_> = events.iter().zip(ours.into_iter().zip(theirs)).collect();
        let mut passed_over = HashSet::new();
        for (turn, ((at, ip, _), (ours, theirs))) in answers.iter().enumerate() {
            longer += u32::from(ours.bans > 1);
            if passed_over.contains(ip) || same(ours, theirs) {
                continue;
            }
            // Once its database has purged an address, fail2ban begins at one again; but where
            // failures from before the purge still count, their ticket remembers the number.
            // What follows from that accident is not asked for.
            if ours.bans == 1 && theirs.bans > 1 && same_end(ours, theirs) {
                passed_over.insert(*ip);
                odd += 1;
                continue;
            }
            let life = answers.iter().take(turn + 1).filter(|((_, other, _), _)| other == ip);
            let life: Vec<String> = life.map(|entry| format!("{entry:?}")).collect();
            anyhow::bail!(
                "world {world}, {ip} at {at}: we say {ours:?}, fail2ban says {theirs:?}\n\
                 {policy:?}\n{}",
                life.join("\n")
            );
        }
    }
    ensure!(longer > 1000 && odd < longer / 100, "{longer} longer bans, {odd} passed over");
    Ok(())
}

/// With `bantime.rndtime` both add something from nothing to all of it, and only to bans that
/// are made longer.
pub(super) fn random() -> Result<()> {
    const RNDTIME_SECS: f64 = 1000.0;
    let plain = Policy {
        increment: Increment { enabled: true, ..Increment::default() },
        count: Count::Lines,
        ..Policy::default()
    };
    let mut policy = plain.clone();
    policy.increment.rndtime = Duration::from_secs_f64(RNDTIME_SECS);
    // Each address is banned twice, far enough apart.
    let events: Vec<_> = [1_795_539_600, 1_795_549_600]
        .into_iter()
        .flat_map(|at| (0..50).map(move |client| (at, client)))
        .flat_map(|(at, client)| (0..10).map(move |_| (at, address(client), Event::Failure)))
        .collect();
    let certain = ask_the_jail(&plain, &events)?;
    for answers in [ask_fail2ban(&policy, &events)?, ask_the_jail(&policy, &events)?] {
        let mut spread: Vec<f64> = Vec::new();
        for (known, certain) in answers.iter().zip(&certain) {
            let added = known.end.unwrap_or_default() - certain.end.unwrap_or_default();
            if known.bans == 2 {
                spread.push(added);
            } else if known.end.is_some() {
                ensure!(added == 0.0, "{known:?} where {certain:?} was expected");
            }
        }
        ensure!(spread.iter().all(|added| (0.0..=RNDTIME_SECS).contains(added)), "{spread:?}");
        let mean = spread.iter().sum::<f64>() / f64::from(u32::try_from(spread.len())?);
        ensure!((300.0..700.0).contains(&mean), "{mean} in the mean: {spread:?}");
    }
    Ok(())
}

fn same(ours: &Known, theirs: &Known) -> bool {
    ours.bans == theirs.bans && same_end(ours, theirs)
}

fn same_end(ours: &Known, theirs: &Known) -> bool {
    let is_near = |(a, b): (f64, f64)| (a - b).abs() < 0.01 || (a > FOREVER && b > FOREVER);
    ours.end.is_some() == theirs.end.is_some() && ours.end.zip(theirs.end).is_none_or(is_near)
}

fn one_of<T: Copy>(rng: &mut TestRng, choice: &[T]) -> T {
    choice[usize::try_from(rng.next_u32()).unwrap_or(0) % choice.len()]
}

fn policy(rng: &mut TestRng) -> Result<Policy> {
    let secs = Duration::from_secs;
    let bantime = one_of(rng, &[60, 600, 3600]);
    Ok(Policy {
        maxretry: NonZeroU32::new(one_of(rng, &[1, 2, 3, 5, 12])).context("maxretry")?,
        findtime: secs(one_of(rng, &[60, 600, 3600])),
        bantime: if rng.next_u32().is_multiple_of(12) {
            Bantime::Forever
        } else {
            Bantime::For(secs(bantime))
        },
        increment: Increment {
            enabled: true,
            factor: one_of(rng, &[1.0, 1.0, 0.5, 1.3, 4.0]),
            multipliers: match rng.next_u32() % 3 {
                0 => vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0],
                1 => vec![1.0, 5.0, 30.0],
                _ => Vec::new(),
            },
            maxtime: one_of(rng, &[None, None, Some(secs(5000))]),
            rndtime: Duration::ZERO,
        },
        dbpurgeage: secs(one_of(rng, &[1000, 20_000, 86_400])),
        count: Count::Lines,
        ..Policy::default()
    })
}

fn events(rng: &mut TestRng) -> Vec<(i64, IpAddr, Event)> {
    let mut at = 1_795_539_600;
    // A few at a time: an attack is a burst, and its clients come back.
    let mut client = 0;
    (0..EVENTS)
        .map(|_| {
            at += one_of(rng, &[0, 0, 1, 1, 5, 60, 500, 3000, 15_000]);
            if rng.next_u32().is_multiple_of(4) {
                client = u8::try_from(rng.next_u32() % CLIENTS).unwrap_or(0);
            }
            let unbans = rng.next_u32().is_multiple_of(50);
            (at, address(client), if unbans { Event::Unban } else { Event::Failure })
        })
        .collect()
}

fn address(client: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, client])
}

fn ask_fail2ban(policy: &Policy, events: &[(i64, IpAddr, Event)]) -> Result<Vec<Known>> {
    let secs = |span: Duration| span.as_secs();
    let increment = &policy.increment;
    let mut extra = json!({ "increment": "true", "factor": increment.factor.to_string() });
    if !increment.multipliers.is_empty() {
        let all: Vec<String> = increment.multipliers.iter().map(ToString::to_string).collect();
        extra["multipliers"] = all.join(" ").into();
    }
    if let Some(maxtime) = increment.maxtime {
        extra["maxtime"] = secs(maxtime).to_string().into();
    }
    if !increment.rndtime.is_zero() {
        extra["rndtime"] = secs(increment.rndtime).to_string().into();
    }
    let options = json!({
        "maxretry": policy.maxretry,
        "findtime": secs(policy.findtime),
        "bantime": match policy.bantime {
            Bantime::For(span) => i64::try_from(secs(span))?,
            Bantime::Forever => -1,
        },
        "dbpurgeage": secs(policy.dbpurgeage),
        "extra": extra,
    });
    let line = |(at, ip, event): &(i64, IpAddr, Event)| match event {
        Event::Failure => format!("{at} {ip}\n"),
        Event::Unban => format!("{at} -{ip}\n"),
    };
    let lines = events.iter().map(line).collect();
    let answer = |line: &str| {
        let (end, bans) = line.split_once(' ').context("an answer of one word")?;
        Ok(Known { end: end.parse().ok(), bans: bans.parse()? })
    };
    python(ASK_FAIL2BAN, &[options.to_string()], lines)?.lines().map(answer).collect()
}

fn ask_the_jail(policy: &Policy, events: &[(i64, IpAddr, Event)]) -> Result<Vec<Known>> {
    let mut jail = Jail::new(policy.clone(), IgnoreList::default(), 0);
    let rule = RULES.first().context("no rules")?;
    let mut ends = HashMap::new();
    let mut known = Vec::new();
    for &(at, ip, event) in events {
        let subject = policy.subject(ip);
        let now = LogTime::from_secs(at);
        for ended in jail.expire(now) {
            ends.remove(&ended);
        }
        match event {
            Event::Failure => match jail.failure(&Failure::new(ip, rule), now, now) {
                Outcome::Banned(ban) | Outcome::Prolonged(ban) => {
                    let end = ban.expires.map_or(f64::MAX, seconds);
                    ends.insert(subject, end);
                }
                Outcome::Spared(why) => anyhow::bail!("spared: {why:?}"),
                Outcome::Counted { .. } | Outcome::AlreadyBanned { .. } => {}
            },
            Event::Unban => {
                ends.remove(&subject);
                jail.pardon(&subject);
            }
        }
        let past = jail.history(now).find(|past| past.subject == subject);
        known.push(Known {
            end: ends.get(&subject).copied(),
            bans: past.map_or(0, |past| past.bans),
        });
    }
    Ok(known)
}

fn seconds(at: LogTime) -> f64 {
    let whole = at.as_secs();
    let micros = at.as_micros() - whole * 1_000_000;
    f64::from(u32::try_from(whole).unwrap_or(u32::MAX))
        + f64::from(i32::try_from(micros).unwrap_or(0)) / 1e6
}
