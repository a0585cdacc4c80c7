//! What the jail remembers of an address, in bytes: a flood of distinct clients goes through
//! it, and an allocator counts.
//!
//! `cargo run --release -p blocker-user --example jail_memory [CLIENTS]`

use std::{
    alloc::{GlobalAlloc, Layout, System},
    net::{IpAddr, Ipv6Addr},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use blocker_user::{
    dovecot::{Failure, Guesses, Passdb, RULES, Session},
    jail::{IgnoreList, Increment, Jail, Policy},
    time::LogTime,
};

struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

fn main() {
    let clients = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_u32 << 20);
    println!(
        "{:<42} {:>9} {:>12} {:>9} {:>12}",
        "each of the clients", "clients", "bytes each", "at peak", "ns a line"
    );
    for (what, flood) in [
        ("guesses once, with a session id", Flood::GuessOnce),
        ("guesses once, one line without an id", Flood::GuessWithoutId),
        ("is banned, and was before", Flood::GuessUntilBanned),
        ("logs in", Flood::LogIn),
    ] {
        // At max_tracked, twice it, and just above a power of two, where tables are half empty.
        let just_above = clients / 2 + clients / 16;
        for distinct in [clients, clients.saturating_mul(2), just_above] {
            measure(what, flood, clients, distinct);
        }
    }
}

fn measure(what: &str, flood: Flood, max_tracked: u32, distinct: u32) {
    let tracked = usize::try_from(max_tracked.min(distinct)).unwrap_or(1);
    let policy = Policy {
        increment: Increment { enabled: true, ..Increment::default() },
        // More bans than that the kernel does not hold either.
        max_tracked: usize::try_from(max_tracked).unwrap_or(1),
        bantime: blocker_user::jail::Bantime::For(Duration::from_secs(3600)),
        ..Policy::default()
    };
    let before = IN_USE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let mut jail = Jail::new(policy, IgnoreList::default(), 1);
    let started = Instant::now();
    let mut lines = 0_u32;
    for client in 0..distinct {
        lines += play(&mut jail, flood, client);
    }
    let nanos = started.elapsed().as_nanos() / u128::from(lines.max(1));
    // Bans are bounded by the kernel's map and not by max_tracked.
    let held = match flood {
        Flood::GuessUntilBanned => jail.currently_banned().max(1),
        _ => tracked,
    };
    let bytes = IN_USE.load(Ordering::Relaxed).saturating_sub(before) / held;
    let peak = PEAK.load(Ordering::Relaxed).saturating_sub(before) / held;
    println!("{what:<42} {distinct:>9} {bytes:>12} {peak:>9} {nanos:>12}");
}

/// Returns how many lines that were.
fn play(jail: &mut Jail, flood: Flood, client: u32) -> u32 {
    let subject = u128::from(client) << 64 | 0x2001_0db8 << 96;
    let ip = IpAddr::from(Ipv6Addr::from(subject));
    let at = LogTime::from_secs(1_795_539_600).after(Duration::from_micros(client.into()));
    let Some(rule) = RULES.first() else { return 0 };
    let session = Some(Session::from_number(client.into()));
    let one = Failure {
        session,
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
            jail.login(ip, session, at, at);
            1
        }
    }
}
