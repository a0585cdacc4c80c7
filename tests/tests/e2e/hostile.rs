//! A daemon that is stopped, signalled, flooded or not read: it says so, and bans go on.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::unix::{fs::symlink, net::UnixStream},
};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    doveblock::{Doveblock, binary, run_to_end, socket, verb},
    netns::{ATTACKER, Family, SERVER, World},
    process::{code, command},
    recording::Recording,
    wait::{self, LIMIT},
};
use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("verbs_do_not_wait_for_a_stopped_daemon", &[], stopped),
        trial("sighup_does_not_end_the_daemon", &[], hangup),
        trial("spared_addresses_are_not_banned_by_hand", &[], spared),
        trial("a_short_ban_is_a_ban", &[], short),
        trial("wider_bans_are_told_of", &[], covered),
        trial("the_socket_is_taken_from_nobody", &[], places),
        trial("thousands_of_bans_one_after_another", &[], many),
        trial("a_log_that_nobody_reads_holds_up_no_ban", &[], unread),
    ]
}

fn start<'w>(world: &'w World, more: &[&str]) -> Result<Doveblock<'w>> {
    let log = world.claim.dir().join("mail.log");
    Recording::new(&log).append("")?;
    Doveblock::start(world, &log, more)
}

fn stopped(world: &World) -> Result<()> {
    let mut doveblock = start(world, &[])?;
    doveblock.signal(Signal::STOP)?;
    for arguments in [&["status"][..], &["ban", "203.0.113.1"]] {
        let output = doveblock.verb(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(1), "{arguments:?}: {}", output.status);
        ensure!(said.contains("does not answer"), "{said}");
    }
    doveblock.signal(Signal::CONT)
}

fn hangup(world: &World) -> Result<()> {
    let mut doveblock = start(world, &[])?;
    doveblock.signal(Signal::HUP)?;
    doveblock.wait_for(&["configuration was read again"])?;
    doveblock.expect(&["status"])?;
    ensure!(doveblock.stop()? == 0);
    ensure!(!socket(world).exists(), "the socket is left");
    Ok(())
}

fn spared(world: &World) -> Result<()> {
    let doveblock = start(world, &["--ignoreip", "198.51.100.0/25"])?;
    for (address, why) in [
        ("127.0.0.1", "own address"),
        (&SERVER.on(Family::V4).to_string(), "own address"),
        (&SERVER.on(Family::V6).to_string(), "own address"),
        ("198.51.100.7", "ignoreip"),
        ("198.51.100.0/26", "ignoreip"),
    ] {
        let output = doveblock.verb(&["ban", address])?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(2) && said.contains(why), "{address}: {said}");
    }
    ensure!(doveblock.json(&["list"])?.as_array().is_some_and(Vec::is_empty));
    let output = doveblock.verb(&["ban", "198.51.100.0/24"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.contains("198.51.100.0/25"), "{said}");
    Ok(())
}

fn short(world: &World) -> Result<()> {
    let doveblock = start(world, &[])?;
    doveblock.expect(&["ban", "203.0.113.1", "--for", "5.3s"])?;
    let ban = doveblock.listed("203.0.113.1")?.context("not listed")?;
    // Banned in one second, it ends in the sixth after that, or where that was over in the next.
    let second = |field: &str| -> Result<jiff::Timestamp> {
        Ok(ban[field].as_str().context("no time")?.parse()?)
    };
    let lasts = second("expires_at")?.as_second() - second("banned_at")?.as_second();
    ensure!((6..=7).contains(&lasts), "{ban}");
    let output = doveblock.verb(&["ban", "203.0.113.2", "--for", "99999y"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2) && said.contains("100 years"), "{said}");
    Ok(())
}

fn covered(world: &World) -> Result<()> {
    let doveblock = start(world, &[])?;
    doveblock.expect(&["ban", "203.0.113.0/24"])?;
    let output = doveblock.verb(&["unban", "203.0.113.7"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1) && said.contains("203.0.113.0/24"), "{said}");
    for arguments in [["ban", "203.0.113.7"], ["unban", "203.0.113.7"]] {
        let output = doveblock.verb(&arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && said.contains("203.0.113.0/24"), "{said}");
    }
    Ok(())
}

fn places(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let file = world.claim.dir().join("file");
    File::create(&file)?;
    let link = world.claim.dir().join("link");
    symlink(&file, &link)?;
    let long = world.claim.dir().join("x".repeat(108));
    let cases = [
        (&file, "a file"),
        (&link, "a symbolic link"),
        (&world.claim.dir().to_owned(), "a directory"),
        (&long, "107"),
    ];
    for (path, word) in cases {
        let (code, said) = run_to_end(world, &log, &["--socket", &path.to_string_lossy()])?;
        ensure!(code == 2 && said.contains(word), "{}: {code}: {said}", path.display());
    }
    let output =
        command(&binary().to_string_lossy()).args(["list", "--socket"]).arg(&long).output()?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    Ok(())
}

fn many(world: &World) -> Result<()> {
    const MANY: u32 = 2000;
    let doveblock = start(world, &[])?;
    for n in 0..MANY {
        let ip = std::net::Ipv4Addr::from(0xc612_0000 + n);
        let body = format!("{{\"ip\":\"{ip}\",\"for\":\"1h\"}}");
        let mut stream = UnixStream::connect(socket(world))?;
        write!(
            stream,
            "POST /v1/ban HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(body.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{ip}: {answer}");
    }
    let status = doveblock.json(&["status"])?;
    ensure!(status["currently_banned"] == MANY, "{status}");
    ensure!(status["banned"].as_array().is_some_and(|shown| shown.len() == 100), "{status}");
    ensure!(doveblock.json(&["list"])?.as_array().is_some_and(|all| all.len() == MANY as usize));
    Ok(())
}

fn unread(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let recording = Recording::new(&log);
    recording.append("")?;
    let (reader, writer) = std::io::pipe()?;
    let mut daemon = world.server.command(&binary().to_string_lossy());
    daemon.args(["run", "--dry-run", "--verbose", "--mode", "aggressive", "--maxretry", "3"]);
    daemon.arg("--log").arg(&log).arg("--socket").arg(socket(world));
    let mut child = daemon.stderr(writer).spawn()?;
    drop(daemon);
    let tried = (|| {
        wait::until(LIMIT, "the socket", || Ok(socket(world).exists().then_some(())))?;
        // Each is a line of the daemon's log: together far more than a pipe holds.
        for _ in 0..10_000 {
            recording.probe([198, 51, 100, 1].into())?;
        }
        for _ in 0..3 {
            recording.probe(ATTACKER.on(Family::V4))?;
        }
        let banned = format!("\"{}\"", ATTACKER.v4);
        wait::until(LIMIT, "the ban", || {
            let list = verb(world, &["list", "--format", "json"])?;
            Ok(String::from_utf8_lossy(&list.stdout).contains(&banned).then_some(()))
        })
    })();
    let pid = rustix::process::Pid::from_child(&child);
    // Somebody reads again: what is lost is told, and the last line comes.
    let said = std::thread::spawn(move || std::io::read_to_string(reader));
    rustix::process::kill_process(pid, Signal::TERM)?;
    let status = wait::until(LIMIT, "its end", || Ok(child.try_wait()?));
    if status.is_err() {
        child.kill()?;
    }
    tried?;
    ensure!(code(status?) == 0);
    let said = said.join().map_err(|_| anyhow::anyhow!("the reader died"))??;
    ensure!(said.contains("lines of this log are lost") && said.contains("stopped"), "{said}");
    Ok(())
}
