//! What a service manager is told, and what Landlock leaves to a daemon.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::{fs::symlink, net::UnixDatagram},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use blocker_tests::{
    doveblock::{Doveblock, binary, is_attached, subject, verb},
    leftovers::Claim,
    needs,
    netns::{ATTACKER, Family, SERVER_LINK, World},
    process::Process,
    recording::Recording,
    wait::LIMIT,
};
use libtest_mimic::Trial;
use nix::{
    sys::{ptrace, wait::waitpid},
    unistd::Pid,
};
use serde_json::Value;

use crate::trial;

/// Asked for as systemd asks, in microseconds.
const WATCHDOG: &str = "WATCHDOG_USEC=300000";
/// Several times as long.
const LONG: Duration = Duration::from_millis(1500);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_stuck_judge_gives_no_sign_of_life", &[], signs),
        trial("a_reload_is_told_from_its_beginning_to_its_end", &[], reloads),
        trial("a_reload_to_what_is_out_of_reach_is_refused", &[needs::missing_landlock], refused),
        trial("what_landlock_leaves_out_is_out_of_reach", &[needs::missing_landlock], reach),
    ]
}

fn signs(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    Recording::new(&log).append("")?;
    let (mut daemon, socket) = start(world, &["--log", &log.display().to_string()])?;
    ensure!(is_attached(world)?, "ready, and nothing is attached");
    hear(&socket, "WATCHDOG=1")?;
    hear(&socket, "WATCHDOG=1")?;

    // The first thread is the one that judges; the others go on.
    let judge = Pid::from_raw(i32::try_from(daemon.id())?);
    ptrace::seize(judge, ptrace::Options::empty())?;
    ptrace::interrupt(judge)?;
    waitpid(judge, None)?;
    socket.set_nonblocking(true)?;
    while socket.recv(&mut [0; 1024]).is_ok() {}
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(LONG))?;
    let heard = socket.recv(&mut [0; 1024]);
    let others = verb(world, &["list"])?;
    ptrace::detach(judge, None)?;
    ensure!(
        heard.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
        "while the judge stood still: {heard:?}"
    );
    ensure!(others.status.success(), "the other threads stood still, too: {others:?}");

    hear(&socket, "WATCHDOG=1")?;
    daemon.signal(rustix::process::Signal::TERM)?;
    hear(&socket, "STOPPING=1")?;
    ensure!(blocker_tests::process::code(daemon.stop()?) == 0);
    Ok(())
}

/// Started as by systemd, and ready.
fn start(world: &World, options: &[&str]) -> Result<(Process, UnixDatagram)> {
    let dir = world.claim.dir();
    let socket = UnixDatagram::bind(dir.join("notify"))?;
    let mut command = world.server.command("env");
    command.arg(format!("NOTIFY_SOCKET={}", dir.join("notify").display())).arg(WATCHDOG);
    command.arg(binary()).args(["run", "-i", SERVER_LINK]).args(options);
    command.arg("--socket").arg(dir.join("doveblock.sock"));
    command.arg("--pin-dir").arg(world.claim.pins()).arg("--state-dir").arg(dir.join("state"));
    let output = File::create(dir.join("doveblock.log"))?;
    let daemon = Process::spawn("doveblock", &command, &output)?;
    hear(&socket, "READY=1")?;
    Ok((daemon, socket))
}

/// With a configuration of its own.
struct Configured {
    file: PathBuf,
    option: String,
}

impl Configured {
    fn new(world: &World, log: &Path, more: &str) -> Result<Self> {
        let file = world.claim.dir().join("conf").join("doveblock.conf");
        fs::create_dir(file.parent().context("a file in a directory")?)?;
        let configured = Self { option: format!("--config={}", file.display()), file };
        configured.write(&log.display().to_string(), more)?;
        Ok(configured)
    }

    fn write(&self, log: &str, more: &str) -> Result<()> {
        Ok(fs::write(&self.file, format!("[dovecot]\nlogpath = {log}\n{more}"))?)
    }
}

/// Right or wrong, by signal or by the socket: it begins and it ends.
fn reloads(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    Recording::new(&log).append("")?;
    let config = Configured::new(world, &log, "")?;
    let (mut daemon, socket) = start(world, &[&config.option])?;
    for more in ["maxretry = 7\n", "maxretry = many\n"] {
        config.write(&log.display().to_string(), more)?;
        daemon.signal(rustix::process::Signal::HUP)?;
        let begin = hear(&socket, "RELOADING=1")?;
        let since = begin.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        ensure!(since.is_some_and(|micros| micros.parse::<u64>().is_ok()), "{begin}");
        let end = hear(&socket, "READY=1")?;
        ensure!(more.contains('7') == !end.contains("STATUS="), "{end}");
        let told = verb(world, &["reload"])?;
        ensure!(told.status.success() == more.contains('7'), "{told:?}");
        hear(&socket, "RELOADING=1")?;
        hear(&socket, "READY=1")?;
    }
    ensure!(blocker_tests::process::code(daemon.stop()?) == 0);
    Ok(())
}

fn refused(world: &World) -> Result<()> {
    let logs = world.claim.dir().join("logs");
    fs::create_dir(&logs)?;
    let log = logs.join("mail.log");
    Recording::new(&log).append("")?;
    let elsewhere = Claim::new()?;
    let other = elsewhere.dir().join("other.log");
    Recording::new(&other).append("")?;
    let config = Configured::new(world, &log, "")?;
    let named = |path: &Path| path.display().to_string();
    let answer = || -> Result<(Option<i32>, String)> {
        let told = verb(world, &["reload"])?;
        Ok((told.status.code(), String::from_utf8_lossy(&told.stderr).into_owned()))
    };

    let (mut daemon, _socket) = start(world, &[&config.option])?;
    let wrong = [
        (named(&other), "maxretry = 7\n", named(&elsewhere.dir())),
        (named(&log), "maxretry = 7\nignoreip = localhost\n", "host names".to_owned()),
    ];
    for (log, more, lacking) in wrong {
        config.write(&log, more)?;
        let (code, said) = answer()?;
        ensure!(code == Some(2) && said.contains(&lacking) && said.contains("restart"), "{said}");
        let status = verb(world, &["status", "--format", "json"])?.stdout;
        let status: Value = serde_json::from_slice(&status)?;
        let logs = status["logs"].to_string();
        ensure!(status["maxretry"] == 5 && !logs.contains("other.log"), "{status:#}");
    }
    // In a directory that is within reach.
    config.write(&named(&logs.join("new.log")), "")?;
    ensure!(answer()?.0 == Some(0));
    ensure!(blocker_tests::process::code(daemon.stop()?) == 0);

    fs::remove_file(world.claim.dir().join("notify"))?;
    let (mut daemon, _socket) = start(world, &[&config.option, "--no-landlock"])?;
    config.write(&named(&other), "ignoreip = localhost\n")?;
    let (code, said) = answer()?;
    ensure!(code == Some(0), "{said}");
    ensure!(blocker_tests::process::code(daemon.stop()?) == 0);
    Ok(())
}

/// Waits for a message with that line.
fn hear(socket: &UnixDatagram, line: &str) -> Result<String> {
    const MOST_MESSAGES: usize = 100;
    socket.set_read_timeout(Some(LIMIT))?;
    let mut message = [0; 1024];
    for _ in 0..MOST_MESSAGES {
        let length = socket.recv(&mut message).with_context(|| format!("waiting for {line}"))?;
        let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
        if text.lines().any(|said| said == line) {
            return Ok(text.into_owned());
        }
    }
    bail!("{MOST_MESSAGES} messages without {line}")
}

/// Root may read every file, and this daemon is root's. Its log leads elsewhere, after the start.
fn reach(world: &World) -> Result<()> {
    let logs = world.claim.dir().join("logs");
    fs::create_dir(&logs)?;
    let elsewhere = Claim::new()?;
    let (log, other) = (logs.join("mail.log"), elsewhere.dir().join("other.log"));
    let options = ["--mode", "aggressive", "--maxretry", "3"];
    for _ in 0..3 {
        Recording::new(&other).probe(ATTACKER.on(Family::V4))?;
    }
    let lead_elsewhere = || -> Result<()> {
        symlink(&other, logs.join("link"))?;
        Ok(fs::rename(logs.join("link"), &log)?)
    };

    Recording::new(&log).append("")?;
    let mut doveblock = Doveblock::start(world, &log, &options)?;
    lead_elsewhere()?;
    doveblock.wait_for(&["ermission denied"])?;
    ensure!(doveblock.listed(&subject(ATTACKER.on(Family::V4)))?.is_none());
    ensure!(doveblock.stop()? == 0);

    fs::remove_file(&log)?;
    Recording::new(&log).append("")?;
    let doveblock = Doveblock::start(world, &log, &[&options[..], &["--no-landlock"]].concat())?;
    lead_elsewhere()?;
    doveblock.wait_for_ban(&subject(ATTACKER.on(Family::V4)))?;
    ensure!(doveblock.stop()? == 0);
    Ok(())
}
