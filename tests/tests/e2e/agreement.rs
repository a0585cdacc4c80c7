//! The same log to the live daemon, with the kernel's own map, and to `simulate`: the same bans
//! with the same ends.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use blocker_tests::{
    attempts::{Log, Seconds, Style, Version},
    doveblock::{Doveblock, subject},
    needs,
    netns::World,
    process::{command, run},
    recording::Recording,
    simulation,
    wait::{self, LIMIT},
};
use blocker_user::dovecot::RULES;
use jiff::Timestamp;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::trial;

const SQLITE: &[fn() -> Option<String>] = &[needs::missing_sqlite];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_simulation_agrees_with_the_daemon_normal", SQLITE, |world| {
            agree(world, "normal", 86_400)
        }),
        trial("a_simulation_agrees_with_the_daemon_aggressive", SQLITE, |world| {
            agree(world, "aggressive", 86_400)
        }),
        trial("a_simulation_agrees_where_bans_have_ended", SQLITE, |world| {
            agree(world, "aggressive", 1020)
        }),
        trial("a_simulation_says_what_would_have_been_where_a_ban_stops_the_attacker", &[], live),
    ]
}

/// Sebastiano Vigna's splitmix64: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}

/// Of forty clients, half of them with IPv6 and another address in their network each time.
fn address(client: u16, random: &mut Random) -> IpAddr {
    match u8::try_from(client) {
        Ok(last @ 0..20) => [203, 0, 113, last].into(),
        _ => {
            let host = u16::try_from(random.below(9)).unwrap_or(0);
            Ipv6Addr::new(0x2001, 0xdb8, 0xbad, client, 0, 0, 0, host).into()
        }
    }
}

/// Five hours before `end` of everything there is: every rule, either version's lines, guesses
/// that are several lines and several guesses that are one, late lines, lines out of order, logins
/// that excuse and that lift bans.
fn everything(end: Seconds) -> Result<Vec<String>> {
    let mut random = Random(7);
    let mut logs = [Log::new(Version::V2_3), Log::new(Version::V2_4)];
    let mut at = end - 5 * 3600;
    while at < end - 600 {
        at += Seconds::try_from(random.below(5))?;
        // Some come much more often than others.
        let client = u16::try_from(random.below(40).min(random.below(40)))?;
        let (ip, log) = (address(client, &mut random), &mut logs[usize::from(client) % 2]);
        let (user, secs) = (format!("user{}", random.below(3)), u32::try_from(random.below(180))?);
        let has_account = client % 4 == 0;
        match random.below(100) {
            0..25 => log.probe(at, ip, secs),
            25..30 => log.broken_handshake(at, ip),
            30..35 => log.unfinished(at, ip, secs),
            35..50 => log.guess(at, ip, &user),
            50..55 => log.guesses(at, ip, &user, 2 + secs % 7, secs),
            55..65 => log.verbose_guess(at, ip, &user),
            65..70 if has_account => log.typo_and_login(at, ip, &user),
            70..74 if has_account => log.login(at, ip, &user),
            74..85 => example(log, at, ip, &mut random),
            85..88 => folded(log, at, ip),
            _ => log.other(at, "lmtp(7)", "Disconnect from local: Logged out (state=READY)"),
        };
    }
    let [one, other] = logs.map(|log| log.lines(&Style::Iso));
    let mut lines = [one?, other?].concat();
    lines.sort_by_key(|line| line.0);
    for index in 3..lines.len() {
        if random.below(9) == 0 {
            lines.swap(index, index - usize::try_from(1 + random.below(3))?);
        }
    }
    Ok(lines.into_iter().map(|line| line.1).collect())
}

/// The line that a rule names as its example, of this client.
fn example<'l>(log: &'l mut Log, at: Seconds, ip: IpAddr, random: &mut Random) -> &'l mut Log {
    let index = usize::try_from(random.below(RULES.len() as u64)).unwrap_or(0);
    let session = log.next_session(ip);
    let text = RULES[index].example.replace("192.0.2.7", &ip.to_string());
    let text = text.replace("AAAAAAAAAADAAAIH", &session);
    let (service, text) = text.split_once(": ").unwrap_or(("auth", &text));
    log.other(at, service, text)
}

/// Three lines that rsyslog made one of.
fn folded(log: &mut Log, at: Seconds, ip: IpAddr) -> &mut Log {
    let session = log.next_session(ip);
    let line = format!(
        "[ imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): \
         user=<info>, method=PLAIN, rip={ip}, lip=192.0.2.1, session=<{session}>]"
    );
    log.other(at, "message repeated 3 times", &line)
}

/// One ban: when it began and ended (`None` where a login lifted it), for which rule, and the
/// number of failures.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    at: Seconds,
    end: Option<Seconds>,
    rule: String,
    attempts: String,
}

/// What the daemon says in its own log, by client.
#[derive(Debug, Default)]
struct Story {
    bans: Vec<Told>,
    /// The rules of all that it decided, those included that had ended when it did.
    rules: Vec<String>,
}

fn stories(daemon: &str, bantime: Seconds) -> Result<BTreeMap<String, Story>> {
    let second = |text: &str| -> Result<Seconds> {
        Ok(text.trim_end_matches(':').parse::<Timestamp>()?.as_second())
    };
    let mut stories = BTreeMap::<String, Story>::new();
    for line in daemon.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let from = |word: &str| words.iter().position(|it| *it == word).map(|at| &words[at..]);
        if let Some(["ban", who, "until", end, rule, attempts, "failures"]) = from("ban") {
            let story = stories.entry((*who).to_owned()).or_default();
            let (end, rule) = (second(end)?, rule.trim_end_matches(',').to_owned());
            story.rules.push(rule.clone());
            let attempts = (*attempts).to_owned();
            story.bans.push(Told { at: end - bantime, end: Some(end), rule, attempts });
        } else if let Some(["prolonged:", who, "until", end, rule, ..]) = from("prolonged:") {
            let story = stories.entry((*who).to_owned()).or_default();
            story.rules.push(rule.trim_end_matches(',').to_owned());
            let end = second(end)?;
            if let Some(ban) = story.bans.last_mut() {
                ban.end = Some(end);
            }
        } else if let Some(["unban", who, "a", "user", "logged", ..]) = from("unban") {
            let story = stories.entry(who.trim_end_matches(':').to_owned()).or_default();
            // Of one that had ended when it was decided on there is nothing to note.
            if let Some(ban) = story.bans.last_mut() {
                ban.end = None;
            }
        } else if line.ends_with("its ban has ended by now") {
            let [who, rule, ..] =
                from("its").map_or(&[][..], |rest| &words[words.len() - rest.len() - 2..])
            else {
                bail!("{line}");
            };
            let story = stories.entry(who.trim_end_matches(':').to_owned()).or_default();
            story.rules.push(rule.trim_end_matches(',').to_owned());
        }
    }
    Ok(stories)
}

fn agree(world: &World, mode: &str, bantime: Seconds) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let recording = Recording::new(&log);
    let now = Timestamp::now().as_second();
    let policy = [
        "--mode",
        mode,
        "--maxretry",
        "5",
        "--findtime",
        "10m",
        "--bantime",
        &bantime.to_string(),
        "--ignore-authenticated",
        "20m",
        "--ignoreip",
        "203.0.113.3",
    ];
    // A daemon that has read nothing but this, and has been down since.
    recording.append("a line of something else\n")?;
    let first = Doveblock::start(world, &log, &policy)?;
    wait::until(LIMIT, "the first line", || {
        Ok((first.json(&["status"])?["lines"] == 1).then_some(()))
    })?;
    first.stop()?;
    let since = (now - 6 * 3600) * 1_000_000;
    let database = world.claim.dir().join("state/doveblock.sqlite3");
    run(command("sqlite3").arg(database).arg(format!("UPDATE places SET read_until = {since}")))?;

    let lines = everything(now)?;
    recording.append(&lines.concat())?;
    let doveblock = Doveblock::start(world, &log, &policy)?;
    let total = lines.len() + 1;
    wait::until(LIMIT, "the last line", || {
        Ok((doveblock.json(&["status"])?["lines"] == total).then_some(()))
    })
    .with_context(|| doveblock.whole_log())?;

    let report = simulate(world, &log, &[&policy[..], &["--as-logged"]].concat())?;
    let bans = report["bans"].as_array().context("no bans")?;
    ensure!(report["bans_left_out"] == 0 && bans.len() > 30, "{} bans", bans.len());
    in_force(&doveblock, bans)?;
    // Nothing has ended yet where bans last longer than the log.
    if bantime > 6 * 3600 {
        decided(&doveblock, bans, bantime)
    } else {
        decided_or_ended(&doveblock, bans, bantime)
    }
}

fn simulate(world: &World, log: &Path, flags: &[&str]) -> Result<Value> {
    let log = log.display().to_string();
    simulation::simulate(world.claim.dir().as_path(), &[&[&*log, "--no-sweep"], flags].concat())
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str> {
    value[name].as_str().with_context(|| format!("no {name} in {value}"))
}

/// To the second.
fn second(value: &Value, name: &str) -> Result<Seconds> {
    let time: Timestamp = text(value, name)?.parse()?;
    Ok(time.as_second())
}

/// What is in the kernel's map is what the simulation has in force by now, ends included.
fn in_force(doveblock: &Doveblock<'_>, bans: &[Value]) -> Result<()> {
    let listed = doveblock.json(&["list"])?;
    let listed = listed.as_array().context("list is not an array")?;
    let now = Timestamp::now().as_second();
    let mut wanted = BTreeMap::new();
    for ban in bans {
        // The last one of a client is the one in force.
        wanted.insert(text(ban, "subject")?, ban);
    }
    for ban in listed {
        let ip = text(ban, "ip")?;
        let simulated = wanted.remove(ip).with_context(|| format!("{ip} is banned live only"))?;
        let (live, end) = (second(ban, "expires_at")?, second(simulated, "expires")?);
        ensure!(live == end, "{ban} and {simulated}");
        let explained = doveblock.json(&["explain", ip])?;
        ensure!(explained["ban"].is_object(), "{explained:#}");
    }
    for (ip, ban) in wanted {
        let is_over = second(ban, "expires")? <= now + 1;
        ensure!(is_over, "{ip} is banned by the simulation only: {ban}");
    }
    Ok(())
}

/// The bans of a simulation, by client.
fn simulated(bans: &[Value], bantime: Seconds) -> Result<BTreeMap<String, Vec<Told>>> {
    let mut simulated = BTreeMap::<String, Vec<Told>>::new();
    for ban in bans {
        let (at, end) = (second(ban, "at")?, second(ban, "expires")?);
        let told = Told {
            at,
            end: (end >= at + bantime).then_some(end),
            rule: text(ban, "cause")?.to_owned(),
            attempts: ban["attempts"].to_string(),
        };
        simulated.entry(text(ban, "subject")?.to_owned()).or_default().push(told);
    }
    Ok(simulated)
}

/// Every ban that the daemon told of, in order, with its times, its rule and its failures.
fn decided(doveblock: &Doveblock<'_>, bans: &[Value], bantime: Seconds) -> Result<()> {
    let mut simulated = simulated(bans, bantime)?;
    for (who, story) in stories(&doveblock.whole_log(), bantime)? {
        let other = simulated.remove(&who).unwrap_or_default();
        ensure!(other == story.bans, "{who}: the daemon {story:#?}, the simulation {other:#?}");
    }
    ensure!(simulated.is_empty(), "only the simulation has {simulated:#?}");
    Ok(())
}

/// The same where some had ended by then: of those the daemon tells the rule, once more for each
/// time they were prolonged.
fn decided_or_ended(doveblock: &Doveblock<'_>, bans: &[Value], bantime: Seconds) -> Result<()> {
    let stories = stories(&doveblock.whole_log(), bantime)?;
    let mut count = 0;
    for (who, bans) in simulated(bans, bantime)? {
        let story = stories.get(&who).with_context(|| format!("{who} is never banned live"))?;
        let mut rules = story.rules.iter();
        let are_all_there = bans.iter().all(|ban| rules.any(|rule| *rule == ban.rule));
        ensure!(are_all_there, "{who}: the daemon {story:#?}, the simulation {bans:#?}");
        count += story.rules.len();
    }
    let all: usize = stories.values().map(|story| story.rules.len()).sum();
    ensure!(count == all, "{all} decisions live, {count} of them of clients that are simulated");
    Ok(())
}

/// How long a ban lasts, and how far from its end nobody tries anything: the kernel keeps ends in
/// units of a quarter of a second.
const BANTIME: Seconds = 6;
const MARGIN: Seconds = 1;
const ATTEMPTS: u64 = 150;

/// Four attackers, and a user behind the address of the first, who stop while they are banned. The
/// simulation is given all that they would have done.
fn live(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let recording = Recording::new(&log);
    recording.append("")?;
    let policy = ["--mode", "aggressive", "--maxretry", "3", "--bantime", "6"];
    let doveblock = Doveblock::start(world, &log, &policy)?;
    let (mut random, mut made) = (Random(11), Log::new(Version::V2_4));
    let (mut written, mut attempts, mut ends) = (0_u64, String::new(), BTreeMap::new());
    for _ in 0..ATTEMPTS {
        wait::pause(Duration::from_millis(150))?;
        let client = u16::try_from(random.below(4))? + 18;
        let ip = address(client, &mut random);
        let now = Timestamp::now().as_second();
        let subject = subject(ip);
        if let Some(ban) = doveblock.listed(&subject)? {
            ends.insert(subject.clone(), second(&ban, "expires_at")?);
        }
        // Not forgotten when it is over: times in the log are cut to seconds.
        let end = ends.get(&subject).copied();
        // Neither in the second of a ban nor at its end.
        let begin = end.map(|end| end - BANTIME);
        let is_near = |moment: Option<Seconds>| moment.is_some_and(|it| (it - now).abs() <= MARGIN);
        if is_near(begin) || is_near(end) {
            continue;
        }
        match random.below(8) {
            0 => made.login(now, ip, "alice"),
            1..4 => made.probe(now, ip, 0),
            _ => made.guess(now, ip, "root"),
        };
        let line = made.take(&Style::Iso)?;
        attempts += &line;
        if end.is_some_and(|end| end > now) {
            continue;
        }
        recording.append(&line)?;
        written += 1;
        wait::until(LIMIT, "the line to be judged", || {
            Ok((doveblock.json(&["status"])?["lines"] == written).then_some(()))
        })?;
    }
    let all = world.claim.dir().join("attempts.log");
    std::fs::write(&all, &attempts)?;
    let report = simulate(world, &all, &policy)?;
    let bans = report["bans"].as_array().context("no bans")?;
    if bans.len() < 5 {
        bail!("{} bans prove little", bans.len());
    }
    decided(&doveblock, bans, BANTIME).with_context(|| format!("of\n{attempts}"))?;
    let prevented = attempts.lines().count() as u64 - written;
    ensure!(prevented > 0, "nobody was stopped");
    ensure!(report["effect"]["prevented_connections"] == prevented, "{prevented}: {report:#}");
    Ok(())
}
