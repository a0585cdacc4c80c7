//! Child processes: run to their end, or owned while they run.
//!
//! All of them are in process groups of their own, so that a Ctrl-C at the terminal reaches
//! only us and we stop them in order.

use std::{
    fs::File,
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// A command that a Ctrl-C at the terminal does not reach.
#[must_use]
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.process_group(0).stdin(Stdio::null());
    command
}

/// Runs to the end and returns standard output; a failure is an error with standard error.
pub fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}: {}", line(command), output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs to the end, whatever that end is.
pub fn output(command: &mut Command) -> Result<Output> {
    command.output().with_context(|| format!("cannot run {}", line(command)))
}

/// The command as one would type it.
#[must_use]
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words
        .map(|word| {
            let word = word.to_string_lossy();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
            let quote = word.is_empty() || !word.chars().all(plain);
            if quote { format!("'{word}'") } else { word.into_owned() }
        })
        .collect();
    words.join(" ")
}

/// A running child. Drop ends it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    pid: Pid,
}

impl Process {
    /// Starts `wanted` so that it gets SIGTERM when the calling thread ends without having
    /// stopped it, be it by `kill -9`. All it prints goes to `log`.
    pub fn spawn(name: &str, wanted: &Command, log: &File) -> Result<Self> {
        let mut command = command("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]);
        command.arg(wanted.get_program()).args(wanted.get_args());
        command.envs(wanted.get_envs().filter_map(|(key, value)| Some((key, value?))));
        command.stdout(log.try_clone()?).stderr(log.try_clone()?);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("a process id out of range")?;
        Ok(Self { child, name: name.to_owned(), pid })
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} has ended: {status}", self.name);
        }
        kill_process(self.pid, signal).with_context(|| format!("signalling {}", self.name))
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGTERM, some patience, SIGKILL.
    pub fn stop(&mut self) -> io::Result<ExitStatus> {
        // An error means that it has ended already, which the wait below finds out.
        let _ = kill_process(self.pid, Signal::TERM);
        // A stopped process acts on SIGTERM only when it goes on.
        let _ = kill_process(self.pid, Signal::CONT);
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.kill()
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.stop();
        }
    }
}

/// The exit code, or 128 and the signal, as a shell reports it.
#[must_use]
pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
