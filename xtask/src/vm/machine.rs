//! One virtual machine: boots, is watched on its serial console, and is gone at the end,
//! whichever way that comes.
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{cmd, layout};

const QEMU: &str = "qemu-system-x86_64";
/// How the lines begin that `tests/src/bin/guest` prints for us.
const MARK: &str = "guest: ";
/// What a kernel says when it will say nothing sensible any more.
const DEATHS: [&str; 4] =
    ["Kernel panic - not syncing", "soft lockup - CPU", "BUG: unable to handle", "Oops: "];
/// How long a machine may take to switch itself off.
const GOODBYE: Duration = Duration::from_secs(20);
/// Lines of the console that are shown where it ended badly.
const SHOWN_LINES: usize = 25;
const BESIDE_THE_PATH: [&str; 2] = ["/usr/sbin", "/sbin"];

/// What the guest told.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) details: Vec<String>,
    pub(super) failures: Vec<String>,
}

/// Why no machine can be had here, if so.
pub(super) fn missing() -> Option<String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Some("the machines are x86-64, and so must be what is built here".to_owned());
    }
    if tool("apt-get").is_err() {
        return Some("the kernels are Debian's, and this system has no apt to get them".to_owned());
    }
    let needed = [
        (QEMU, "qemu-system-x86"),
        ("depmod", "kmod"),
        ("ip", "iproute2"),
        ("setpriv", "util-linux"),
        ("strip", "binutils"),
        ("xz", "xz-utils"),
    ];
    let missing = needed.into_iter().find(|(program, _)| tool(program).is_err());
    missing.map(|(program, package)| format!("needs {program}: apt-get install {package}"))
}

pub(super) fn tool(name: &str) -> Result<PathBuf> {
    cmd::find(name, &BESIDE_THE_PATH.map(PathBuf::from))
        .with_context(|| format!("{name} was not found"))
}

/// Runs a machine to its end and keeps what its console showed in `log`.
pub(super) fn boot(
    kernel: &Path,
    initrd: &Path,
    log: &Path,
    patience: Duration,
) -> Result<Outcome> {
    // So that a killed xtask leaves no machine behind.
    let mut qemu = cmd::command(tool("setpriv")?);
    qemu.args(["--pdeathsig", "KILL", "--"]).arg(tool(QEMU)?);
    qemu.args(["-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "1024"])
        .args(["-display", "none", "-serial", "stdio"])
        // Not KVM: there are hosts on which it is there and does not work.
        .args(["-accel", "tcg"])
        // No host network: the two cards see each other, and nothing else.
        .args(["-netdev", "hubport,id=server,hubid=0", "-netdev", "hubport,id=client,hubid=0"])
        .args(["-device", "virtio-net-pci,netdev=server,romfile="])
        .args(["-device", "virtio-net-pci,netdev=client,romfile="])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd)
        // What the kernel does not know becomes the environment of the first process.
        .arg("-append")
        .arg(format!(
            "console=ttyS0 loglevel=4 panic=-1 mitigations=off PATH=/bin {}=/{}",
            layout::BINARY_VAR,
            super::DAEMON
        ));
    cmd::show(&qemu);
    let mut console =
        File::create(log).with_context(|| format!("failed to create {}", log.display()))?;
    qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(console.try_clone()?);
    let machine = Running(qemu.spawn().with_context(|| cmd::failed(&qemu))?);
    watch(machine, &mut console, patience).map_err(|error| {
        let text = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.iter().skip(lines.len().saturating_sub(SHOWN_LINES));
        let last: Vec<_> = last.map(|line| format!("\n        {line}")).collect();
        error.context(format!("its console ended with:{}\n   ", last.concat()))
    })
}

/// Ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn watch(mut machine: Running, console: &mut File, patience: Duration) -> Result<Outcome> {
    let output = machine.0.stdout.take().context("QEMU has no output")?;
    let (sender, lines) = mpsc::channel::<String>();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { return };
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    let mut guest = Guest::default();
    let mut end = Instant::now() + patience;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                writeln!(console, "{line}")?;
                let ended = guest.ended;
                guest.hear(&line)?;
                if guest.ended && !ended {
                    end = Instant::now() + GOODBYE;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if guest.ended => break,
            Err(RecvTimeoutError::Timeout) => {
                bail!("it hangs: no end after {} s, so it was killed", patience.as_secs())
            }
        }
    }
    guest.outcome()
}

/// What is known from the console so far.
#[derive(Default)]
struct Guest {
    outcome: Outcome,
    ended: bool,
}

impl Guest {
    fn hear(&mut self, line: &str) -> Result<()> {
        if let Some(death) = DEATHS.into_iter().find(|death| line.contains(death)) {
            bail!("the kernel died: {death}");
        }
        // The kernel may have left the beginning of a line of its own.
        let Some((_, told)) = line.split_once(MARK) else { return Ok(()) };
        if told == "end" {
            self.ended = true;
        } else if let Some(detail) = told.strip_prefix("ok ") {
            self.outcome.details.push(detail.to_owned());
        } else {
            self.outcome.failures.push(told.to_owned());
        }
        Ok(())
    }

    /// A machine that says nothing has not passed.
    fn outcome(self) -> Result<Outcome> {
        if !self.ended {
            bail!("it switched itself off before its tests were over");
        }
        if self.outcome.details.is_empty() && self.outcome.failures.is_empty() {
            bail!("it ran no test");
        }
        Ok(self.outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(console: &str) -> Result<Outcome> {
        let mut guest = Guest::default();
        console.lines().try_for_each(|line| guest.hear(line))?;
        guest.outcome()
    }

    #[test]
    fn verdicts_are_found_among_the_lines_of_the_kernel() {
        let outcome = told(
            "[    1.2] virtio_net\nguest: ok packets: 9 passed\n[ 2guest: FAILED drop: no answer\n\
             guest: end",
        );
        let outcome = outcome.unwrap();
        assert_eq!(outcome.details, ["packets: 9 passed"]);
        assert_eq!(outcome.failures, ["FAILED drop: no answer"]);
    }

    #[test]
    fn a_machine_that_dies_or_says_nothing_has_not_passed() {
        for console in [
            "",
            "guest: ok packets: 9 passed",
            "guest: end",
            "guest: ok a: b\nguest: end\n[ 9.1] Kernel panic - not syncing: Attempted to kill init!",
            "[ 30.1] watchdog: BUG: soft lockup - CPU#1 stuck for 22s!",
        ] {
            assert!(told(console).is_err(), "{console}");
        }
    }
}
