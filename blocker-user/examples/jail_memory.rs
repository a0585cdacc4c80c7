//! What the jail remembers of an address, in bytes: a flood of distinct clients goes through
//! it, in a process of its own each time, and the kernel says how much memory that took.
//!
//! `cargo run --release -p blocker-user --example jail_memory [CLIENTS]`

use std::{
    env, fs,
    net::{IpAddr, Ipv6Addr},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use blocker_user::{
    dovecot::{Failure, Guesses, Login, Name, Passdb, RULES, Session},
    jail::{Bantime, IgnoreList, Increment, Jail, Policy},
    time::LogTime,
};

/// What the clients of a flood do.
#[derive(Clone, Copy)]
enum Flood {
    /// One connection each, with a wrong guess in two lines.
    GuessOnce,
    /// One guess each, of which PAM's line without a session id tells as well.
    GuessWithoutId,
    /// Enough on one connection for a ban, and known for an earlier one.
    GuessUntilBanned,
    /// The user gets in.
    LogIn,
}

const FLOODS: [(&str, Flood); 4] = [
    ("guesses once, with a session id", Flood::GuessOnce),
    ("guesses once, one line without an id", Flood::GuessWithoutId),
    ("is banned, and was before", Flood::GuessUntilBanned),
    ("logs in", Flood::LogIn),
];

fn main() -> Result<()> {
    let numbers = env::args().skip(1).map(|number| number.parse()).collect::<Result<Vec<u32>, _>>();
    match numbers.context("numbers only")?[..] {
        [] => all(1 << 20),
        [clients] => all(clients),
        [flood, max_tracked, distinct] => measure(flood, max_tracked, distinct),
        _ => anyhow::bail!("one number at most: how many clients to remember"),
    }
}

fn all(clients: u32) -> Result<()> {
    println!(
        "{:<38} {:>9} {:>11} {:>8} {:>10}",
        "each of the clients", "clients", "bytes each", "at peak", "ns a line"
    );
    for flood in 0..u32::try_from(FLOODS.len())? {
        // As many as are remembered, twice as many, and just more than a table is made for.
        for distinct in [clients, clients.saturating_mul(2), clients / 2 + clients / 16] {
            let numbers = [flood, clients, distinct].map(|number| number.to_string());
            let status = Command::new(env::current_exe()?).args(numbers).status()?;
            ensure!(status.success(), "a flood ended with {status}");
        }
    }
    Ok(())
}

fn measure(flood: u32, max_tracked: u32, distinct: u32) -> Result<()> {
    let (what, flood) = FLOODS.get(usize::try_from(flood)?).context("no such flood")?;
    let policy = Policy {
        increment: Increment { enabled: true, ..Increment::default() },
        max_tracked: usize::try_from(max_tracked)?,
        bantime: Bantime::For(Duration::from_secs(3600)),
        ..Policy::default()
    };
    let before = memory("VmRSS:")?;
    let mut jail = Jail::new(policy, IgnoreList::default(), 1);
    let started = Instant::now();
    let lines: u32 = (0..distinct).map(|client| play(&mut jail, *flood, client)).sum();
    let nanos = started.elapsed().as_nanos() / u128::from(lines.max(1));
    // Bans are bounded by the kernel's map, not by max_tracked.
    let held = jail.currently_banned().max(usize::try_from(max_tracked.min(distinct))?);
    let [now, peak] = [memory("VmRSS:")?, memory("VmHWM:")?]
        .map(|bytes| bytes.saturating_sub(before) / held.max(1));
    println!("{what:<38} {distinct:>9} {now:>11} {peak:>8} {nanos:>10}");
    Ok(())
}

/// A field of /proc/self/status, in bytes.
fn memory(field: &str) -> Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// Returns how many lines that were.
fn play(jail: &mut Jail, flood: Flood, client: u32) -> u32 {
    let subject = u128::from(client) << 64 | 0x2001_0db8 << 96;
    let ip = IpAddr::from(Ipv6Addr::from(subject));
    let at = LogTime::from_secs(1_795_539_600).after(Duration::from_micros(client.into()));
    let Some(rule) = RULES.first() else { return 0 };
    let session = Some(Session::from_number(client.into()));
    let name = Name::new(b"alice");
    let one = Failure {
        session,
        name,
        guesses: Guesses::One { passdb: Passdb::from_number(1) },
        ..Failure::new(ip, rule)
    };
    let end = |guesses| Failure { guesses: Guesses::Total(guesses), ..one };
    match flood {
        Flood::GuessOnce => {
            jail.failure(&one, at, at);
            jail.failure(&end(1), at, at);
            2
        }
        Flood::GuessWithoutId => {
            jail.failure(&Failure { session: None, ..one }, at, at);
            jail.failure(&end(1), at, at);
            2
        }
        Flood::GuessUntilBanned => {
            jail.failure(&end(5), at, at);
            1
        }
        Flood::LogIn => {
            jail.login(&Login { ip, session, name }, at, at);
            1
        }
    }
}
