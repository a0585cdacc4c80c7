//! The life of a package on a Debian under systemd: installed, started, upgraded, removed.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use blocker_tests::{
    client::{Client, Greeting},
    doveblock::{is_attached, subject},
    greeter::Greeter,
    machine::Machine,
    needs::packages,
    netns::{ATTACKER, Family, World},
    recording::Recording,
    wait::{self, LIMIT},
};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{INSTALLED, trial};

const LOG: &str = "/var/log/mail.log";
const CONFIGURATION: &str =
    "[dovecot]\ninterface = mail0\nmode = aggressive\nmaxretry = 3\nbantime = 1h\n";
/// How long the door is tried at once, time and again.
const KNOCK: Duration = Duration::from_millis(200);
/// CAP_NET_ADMIN (12), CAP_PERFMON (38) and CAP_BPF (39), as /proc shows them.
const CAPABILITIES: &str = "000000c000001000";

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("bans_outlive_an_upgrade_and_nothing_outlives_a_purge", INSTALLED, life)]
}

fn life() -> Result<()> {
    let world = World::new()?;
    let machine = Machine::boot(&world, &packages().join("debian"))?;
    let clean = files(&machine)?;
    for package in ["doveblock.deb", "next.deb"] {
        fs::copy(packages().join(package), machine.path("/root").join(package))?;
    }
    install(&world, &machine)?;
    start(&world, &machine)?;
    let _sieve = Greeter::start(&world, 4190)?;
    let clients = [Family::V4, Family::V6].map(|family| Client::new(&world, ATTACKER, family));
    drop_probes(&machine, &clients)?;
    restart(&machine, &clients)?;
    upgrade(&machine, &clients)?;
    remove(&world, &machine, &clients)?;

    machine.run(&["dpkg", "--purge", "doveblock"])?;
    for package in ["doveblock.deb", "next.deb"] {
        fs::remove_file(machine.path("/root").join(package))?;
    }
    fs::remove_file(machine.path(LOG))?;
    let left: Vec<_> = files(&machine)?.difference(&clean).cloned().collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    for file in ["/etc/passwd", "/etc/group"] {
        let text = fs::read_to_string(machine.path(file))?;
        ensure!(!text.contains("doveblock"), "the user is left in {file}");
    }
    Ok(())
}

/// There is no route yet to tell the interface by. That is no reason not to be installed.
fn install(world: &World, machine: &Machine) -> Result<()> {
    machine.run(&["dpkg", "--install", "/root/doveblock.deb"])?;
    ensure!(!is_attached(world)?);
    let said = machine.run(&["journalctl", "--unit", "doveblock", "--no-pager"])?;
    ensure!(said.contains("name it with -i"), "{said}");
    machine.run(&["systemctl", "is-enabled", "doveblock"])?;
    machine.run(&["doveblock", "check"])?;
    Ok(())
}

/// `restart` returns once the daemon has said that it is ready.
fn start(world: &World, machine: &Machine) -> Result<()> {
    machine.run(&["install", "-m", "640", "-g", "adm", "/dev/null", LOG])?;
    fs::create_dir(machine.path("/etc/doveblock/doveblock.d"))?;
    configure(machine, CONFIGURATION)?;
    let restarted = machine.run(&["systemctl", "restart", "doveblock"]);
    restarted.with_context(|| {
        machine.run(&["journalctl", "--unit", "doveblock", "--no-pager"]).unwrap_or_default()
    })?;
    ensure!(is_attached(world)?, "ready, and nothing is attached");
    let status = fs::read_to_string(machine.path("/proc").join(pid(machine)?).join("status"))?;
    for (name, value) in
        [("CapEff", CAPABILITIES), ("CapBnd", CAPABILITIES), ("NoNewPrivs", "1"), ("Seccomp", "2")]
    {
        let line = format!("{name}:\t{value}\n");
        ensure!(status.contains(&line), "not {line:?} in {status}");
    }
    let owner = fs::metadata(machine.path("/sys/fs/bpf/doveblock/bans_v4"))?.uid();
    ensure!(owner != 0, "the pins belong to root");
    let told = wait::until(LIMIT, "a status", || {
        let told = show(machine, "StatusText")?;
        Ok(told.contains("lines read").then_some(told))
    })?;
    ensure!(told.contains("0 bans"), "{told}");
    ensure!(show(machine, "WatchdogTimestampMonotonic")? != "0", "the watchdog never heard of it");
    Ok(())
}

fn configure(machine: &Machine, text: &str) -> Result<()> {
    Ok(fs::write(machine.path("/etc/doveblock/doveblock.d/here.conf"), text)?)
}

fn drop_probes(machine: &Machine, clients: &[Client<'_>; 2]) -> Result<()> {
    let log = Recording::new(&machine.path(LOG));
    for client in clients {
        client.probe(4190)?;
        for _ in 0..3 {
            log.probe(client.address())?;
        }
        let banned = Value::from(subject(client.address()));
        wait::until(LIMIT, &format!("a ban of {banned}"), || {
            Ok(list(machine)?.iter().any(|ban| ban["ip"] == banned).then_some(()))
        })?;
        client.shut_out(4190)?;
    }
    ensure!(list(machine)?.len() == clients.len());
    Ok(())
}

/// With maps of another size, which take the place of the old ones; and killed.
fn restart(machine: &Machine, clients: &[Client<'_>; 2]) -> Result<()> {
    let before = list(machine)?;
    configure(machine, &format!("{CONFIGURATION}max_bans = 4096\n"))?;
    machine.run(&["systemctl", "restart", "doveblock"])?;
    same(&before, &list(machine)?)?;
    machine.run(&["systemctl", "kill", "--signal=KILL", "doveblock"])?;
    for client in clients {
        client.shut_out(4190)?;
    }
    machine.run(&["systemctl", "restart", "doveblock"])?;
    same(&before, &list(machine)?)
}

/// Nobody gets through at any moment of it.
fn upgrade(machine: &Machine, clients: &[Client<'_>; 2]) -> Result<()> {
    let before = list(machine)?;
    let old = pid(machine)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let attackers = clients.each_ref().map(|client| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let greeting = client.greet(4190, KNOCK)?;
                    ensure!(greeting == Greeting::TimedOut, "during the upgrade {greeting}");
                }
                anyhow::Ok(())
            })
        });
        let upgraded = machine.run(&["dpkg", "--install", "/root/next.deb"]);
        over.store(true, Ordering::Relaxed);
        for attacker in attackers {
            attacker.join().map_err(|_| anyhow!("an attacker panicked"))??;
        }
        upgraded
    })?;
    let version = machine.run(&["dpkg-query", "--show", "--showformat=${Version}", "doveblock"])?;
    ensure!(version.ends_with("-2"), "{version}");
    ensure!(pid(machine)? != old, "the old daemon runs on");
    same(&before, &list(machine)?)
}

fn same(before: &[Value], after: &[Value]) -> Result<()> {
    ensure!(before.len() == after.len(), "{before:?} became {after:?}");
    for (before, after) in before.iter().zip(after) {
        for field in ["ip", "banned_at", "expires_at"] {
            ensure!(before[field] == after[field], "{field} of {before} became {after}");
        }
    }
    Ok(())
}

/// Without the program that lifts them, bans end too. Configuration and user stay.
fn remove(world: &World, machine: &Machine, clients: &[Client<'_>; 2]) -> Result<()> {
    machine.run(&["dpkg", "--remove", "doveblock"])?;
    ensure!(!is_attached(world)?, "the program is still attached");
    ensure!(!machine.path("/sys/fs/bpf/doveblock").exists(), "pins are left");
    for client in clients {
        client.probe(4190)?;
    }
    ensure!(machine.path("/etc/doveblock/doveblock.conf").exists());
    Ok(())
}

/// By address.
fn list(machine: &Machine) -> Result<Vec<Value>> {
    let list = machine.run(&["doveblock", "list", "--format", "json"])?;
    let list: Value = serde_json::from_str(&list)?;
    let mut bans = list.as_array().context("list is not an array")?.clone();
    bans.sort_by_key(|ban| ban["ip"].to_string());
    Ok(bans)
}

fn pid(machine: &Machine) -> Result<String> {
    show(machine, "MainPID")
}

fn show(machine: &Machine, property: &str) -> Result<String> {
    let shown =
        machine.run(&["systemctl", "show", "--value", "--property", property, "doveblock"])?;
    Ok(shown.trim().to_owned())
}

/// Every file of the machine but those that a running system, dpkg and the journal write.
fn files(machine: &Machine) -> Result<BTreeSet<String>> {
    let found = machine.run(&[
        "find",
        "/",
        "-xdev",
        "-path",
        "/var/lib/dpkg",
        "-prune",
        "-o",
        "-path",
        "/var/log/journal",
        "-prune",
        "-o",
        "-path",
        "/var/lib/systemd",
        "-prune",
        "-o",
        "-path",
        "/var/cache",
        "-prune",
        "-o",
        "-print",
    ])?;
    Ok(found.lines().filter(|path| !is_noise(path)).map(str::to_owned).collect())
}

/// What users and packages leave in files that are everybody's.
fn is_noise(path: &str) -> bool {
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
    path.starts_with("/etc/") && name.ends_with('-') || path.starts_with("/var/log/")
}
