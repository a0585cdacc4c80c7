//! The product under test, as its users meet it: a binary, its log, its socket, its pins.

use std::{
    env,
    fs::{self, File},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    follow::Follow,
    netns::{SERVER_LINK, World},
    process::{Process, command, line, output, run},
    wait::{self, LIMIT},
};

/// The binary that `cargo xtask` built.
#[must_use]
pub fn binary() -> PathBuf {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/doveblock");
    env::var_os("DOVEBLOCK_BIN").map_or_else(built, PathBuf::from)
}

/// `doveblock run` in the server namespace. Drop stops it and removes its pins.
#[derive(Debug)]
pub struct Doveblock<'w> {
    world: &'w World,
    process: Process,
    log: Follow,
}

impl<'w> Doveblock<'w> {
    /// Starts it on the server's interface and waits until it is ready.
    pub fn start(world: &'w World, log: &Path, more: &[&str]) -> Result<Self> {
        let mut doveblock = Self::spawn(world, log, more)?;
        doveblock.wait_for(&["ready"])?;
        Ok(doveblock)
    }

    pub fn spawn(world: &'w World, log: &Path, more: &[&str]) -> Result<Self> {
        Self::spawn_within(world, log, more, &[])
    }

    /// Started by `wrapper`, which becomes it.
    pub fn spawn_within(
        world: &'w World,
        log: &Path,
        more: &[&str],
        wrapper: &[&str],
    ) -> Result<Self> {
        let output = world.claim.dir().join("doveblock.log");
        let offset = fs::metadata(&output).map_or(0, |file| file.len());
        let file = File::options().create(true).append(true).open(&output)?;
        let command = run_command(world, log, more, wrapper)?;
        let process = Process::spawn("doveblock", &command, &file)?;
        Ok(Self { world, process, log: Follow::from(&output, offset) })
    }

    /// The next line of its log that holds all of `parts`.
    pub fn wait_for(&mut self, parts: &[&str]) -> Result<String> {
        let Self { process, log, .. } = self;
        let result = log.wait_for_while(LIMIT, parts, || process.ended().map(|end| end.is_none()));
        result.with_context(|| format!("doveblock's log:\n{}", self.whole_log()))
    }

    /// Everything it has logged, earlier daemons of this world included.
    #[must_use]
    pub fn whole_log(&self) -> String {
        fs::read_to_string(self.world.claim.dir().join("doveblock.log")).unwrap_or_default()
    }

    pub fn lines(&mut self) -> Result<Vec<String>> {
        self.log.lines()
    }

    /// Of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// SIGTERM, and the exit code.
    pub fn stop(mut self) -> Result<i32> {
        Ok(crate::process::code(self.process.stop()?))
    }

    /// SIGKILL. What it pinned stays.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        Ok(())
    }

    /// A verb that talks to this daemon.
    pub fn verb(&self, arguments: &[&str]) -> Result<Output> {
        verb(self.world, arguments)
    }

    /// A verb that must work.
    pub fn expect(&self, arguments: &[&str]) -> Result<String> {
        let output = self.verb(arguments)?;
        ensure!(
            output.status.success(),
            "doveblock {}: {}{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.expect(&[arguments, &["--format", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?} printed {text}"))
    }

    /// The entry of `list` for `subject`, an address or network as it is shown there.
    pub fn listed(&self, subject: &str) -> Result<Option<Value>> {
        let Value::Array(bans) = self.json(&["list"])? else { bail!("list is not an array") };
        Ok(bans.into_iter().find(|ban| ban.get("ip") == Some(&Value::from(subject))))
    }

    /// Waits for `subject` to be in the list of bans.
    pub fn wait_for_ban(&self, subject: &str) -> Result<Value> {
        let found = wait::until(LIMIT, &format!("a ban of {subject}"), || self.listed(subject));
        found.with_context(|| format!("doveblock's log:\n{}", self.whole_log()))
    }
}

/// What a ban of `ip` is called: the address, or its IPv6 prefix.
#[must_use]
pub fn subject(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(_) => ip.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            let prefix = std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0);
            format!("{prefix}/64")
        }
    }
}

fn run_command(world: &World, log: &Path, more: &[&str], wrapper: &[&str]) -> Result<Command> {
    let binary = binary();
    ensure!(binary.is_file(), "{} is not built: use cargo xtask build", binary.display());
    let binary = binary.to_string_lossy();
    let words: Vec<&str> = wrapper.iter().copied().chain([&*binary]).collect();
    let (first, rest) = words.split_first().context("nothing to run")?;
    let mut command = world.server.command(first);
    command.args(rest).args(["run", "--log"]).arg(log);
    if !more.contains(&"--socket") {
        command.args(places(world));
    }
    command.arg("--pin-dir").arg(world.claim.pins());
    command.arg("--state-dir").arg(world.claim.dir().join("state"));
    // Who names interfaces of his own does not want the usual one.
    if !more.contains(&"-i") {
        command.args(["-i", SERVER_LINK]);
    }
    command.args(more);
    Ok(command)
}

/// Runs `doveblock run` to its end, which must come by itself.
pub fn run_to_end(world: &World, log: &Path, more: &[&str]) -> Result<(i32, String)> {
    run_to_end_within(world, log, more, &[])
}

/// Likewise, started by `wrapper`.
pub fn run_to_end_within(
    world: &World,
    log: &Path,
    more: &[&str],
    wrapper: &[&str],
) -> Result<(i32, String)> {
    let path = world.claim.dir().join("ended.log");
    let command = run_command(world, log, more, wrapper)?;
    let mut process = Process::spawn("doveblock", &command, &File::create(&path)?)?;
    let status = wait::until(LIMIT, "doveblock to refuse", || process.ended())?;
    Ok((crate::process::code(status), fs::read_to_string(&path)?))
}

/// Any verb but `run`, with or without a daemon.
pub fn verb(world: &World, arguments: &[&str]) -> Result<Output> {
    let mut command = command(&binary().to_string_lossy());
    command.args(arguments);
    match arguments {
        ["detach", ..] => {
            command.arg("--pin-dir").arg(world.claim.pins());
            command.arg("--state-dir").arg(world.claim.dir().join("state"))
        }
        _ => command.args(places(world)),
    };
    output(&mut command)
}

fn places(world: &World) -> [String; 2] {
    ["--socket".to_owned(), socket(world).display().to_string()]
}

#[must_use]
pub fn socket(world: &World) -> PathBuf {
    world.claim.dir().join("doveblock.sock")
}

/// The command that shows a pinned map.
#[must_use]
pub fn dump_command(world: &World, map: &str) -> Command {
    let mut bpftool = command("bpftool");
    bpftool.args(["map", "dump", "pinned"]).arg(world.claim.pins().join(map));
    bpftool
}

/// What bpftool makes of a pinned map.
pub fn dump(world: &World, map: &str) -> Result<Value> {
    let mut bpftool = dump_command(world, map);
    let text = run(bpftool.arg("--json"))?;
    serde_json::from_str(&text).with_context(|| format!("{} printed {text}", line(&bpftool)))
}

/// Whether an XDP program is attached to the server's interface.
pub fn is_attached(world: &World) -> Result<bool> {
    let mut ip = world.server.command("ip");
    Ok(run(ip.args(["link", "show", "dev", SERVER_LINK]))?.contains("prog/xdp"))
}
