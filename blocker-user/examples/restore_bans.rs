//! How long it takes to put bans into the kernel, one by one and many at once, to read them
//! back and to make room in a full map; how long a ban waits while the maps grow; and how much
//! memory the kernel says that they take. The maps are real, no interface is guarded. As root,
//! after `cargo xtask build`:
//!
//! `DOVEBLOCK_BPF_OBJECT=$PWD/target/bpf/bpfel-unknown-none/release/doveblock-ebpf cargo run --release -p blocker-user \
//!  --example restore_bans -- [BANS]`

use std::{
    collections::BTreeMap,
    env, fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use blocker_user::{
    config::PortList,
    daemon::wall_clock,
    firewall::{self, DEFAULT_MAX_BANS, Firewall as _, Options, Order, Xdp, XdpMode},
};
use ipnet::IpNet;

/// As many as there are steps to the default `max_bans`. The bans that wait longest are those
/// for which the maps have to grow.
const GROWTHS: usize = 4;

fn main() -> Result<()> {
    let bans = match env::args().nth(1) {
        Some(number) => number.parse().context("BANS is a number from 1 on")?,
        None => DEFAULT_MAX_BANS,
    };
    let pin_dir = PathBuf::from(format!("/sys/fs/bpf/dbr-{}", std::process::id()));
    let measured = measure(&options(pin_dir.clone(), bans));
    firewall::detach(&pin_dir)?;
    measured
}

fn options(pin_dir: PathBuf, bans: NonZeroU32) -> Options {
    Options {
        pin_dir,
        interfaces: Vec::new(),
        mode: XdpMode::Auto,
        ports: PortList::default().ranges().to_vec(),
        udp_ports: Vec::new(),
        drop_fragments: true,
        action: firewall::Action::Drop,
        ipv6_prefix: 64,
        max_bans: bans,
        close_connections: false,
        trace: false,
    }
}

fn measure(options: &Options) -> Result<()> {
    let bans = options.max_bans.get();
    let orders = |subject: fn(u32) -> IpNet| -> Vec<Order> {
        (0..bans).map(|n| order(subject(n))).collect()
    };
    println!("max_bans = {bans}");
    for (family, subject) in [("IPv4", v4 as fn(u32) -> IpNet), ("IPv6", v6)] {
        let orders = orders(subject);
        let mut kernel = Xdp::open(options)?;
        kernel.commit()?;
        println!("{family}");
        memory("empty")?;
        let at = Instant::now();
        let mut waits = Vec::with_capacity(orders.len());
        for (number, order) in (1_u32..).zip(&orders) {
            let at = Instant::now();
            kernel.ban(order)?;
            waits.push((at.elapsed(), number));
        }
        say("one by one", at.elapsed());
        waits.sort_unstable();
        for (waited, number) in waits.iter().rev().take(GROWTHS) {
            say(&format!("of which ban {number}"), *waited);
        }
        memory("full")?;
        drop(kernel);
        firewall::detach(&options.pin_dir)?;

        let mut kernel = Xdp::open(options)?;
        kernel.commit()?;
        let at = Instant::now();
        kernel.ban_many(&orders)?;
        say("at once", at.elapsed());
        let at = Instant::now();
        let read = kernel.view()?.bans()?.len();
        say("read back", at.elapsed());
        ensure!(read == orders.len(), "{read} bans were read, of {}", orders.len());
        let at = Instant::now();
        kernel.ban(&order(subject(bans)))?;
        say("one more than max_bans", at.elapsed());
        let at = Instant::now();
        kernel.ban(&order(subject(bans + 1)))?;
        say("and the next one", at.elapsed());
        ensure!(kernel.evicted().len() == 2, "no ban has made room");
        drop(kernel);
        firewall::detach(&options.pin_dir)?;
    }
    let mut kernel = Xdp::open(options)?;
    kernel.commit()?;
    println!("both");
    kernel.ban_many(&[orders(v4), orders(v6)].concat())?;
    memory("full")
}

fn order(subject: IpNet) -> Order {
    let now = wall_clock();
    let expires = Some(now.after(Duration::from_secs(3600)));
    Order { subject, banned_at: now, expires, attempts: 5 }
}

fn v4(number: u32) -> IpNet {
    firewall::host(IpAddr::from(Ipv4Addr::from(0x0100_0000 + number)))
}

fn v6(number: u32) -> IpNet {
    let bits = 0x2001_0db8_u128 << 96 | u128::from(number) << 64;
    IpNet::new(IpAddr::from(Ipv6Addr::from(bits)), 64).unwrap_or(v4(number))
}

fn say(what: &str, took: Duration) {
    println!("  {what:<24} {:>9.1} ms", took.as_secs_f64() * 1000.0);
}

/// What `bpftool map show` calls memlock, of all hash maps and tries of this process.
fn memory(when: &str) -> Result<()> {
    let mut maps = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        let field = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line?.trim().parse().ok()
        };
        if let (Some(id), Some(bytes)) = (field("map_id"), field("memlock")) {
            maps.insert(id, bytes);
        }
    }
    let bytes: u64 = maps.values().sum();
    println!("  {:<24} {:>9} bytes in {} maps", format!("memory, {when}"), bytes, maps.len());
    Ok(())
}
