//! One run of one program: how long it took, how much of a processor it used, what it said.
use std::{
    fs,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::cmd;

/// How often it is looked at how much memory a program uses.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) wall: Duration,
    /// User and system time together, to a hundredth of a second.
    pub(super) cpu: Duration,
    pub(super) said: String,
    /// The most memory it had at once (VmHWM of proc(5)), up to some milliseconds before its end.
    pub(super) peak_bytes: u64,
}

pub(super) fn run(command: &mut Command) -> Result<Run> {
    let before = cpu_of_children()?;
    let started = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| cmd::failed(command))?;
    let (pid, peak, ended) = (child.id(), AtomicU64::new(0), AtomicBool::new(false));
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Acquire) {
                peak.fetch_max(peak_of(pid).unwrap_or(0), Ordering::AcqRel);
                thread::sleep(LOOK);
            }
        });
        let output = child.wait_with_output();
        ended.store(true, Ordering::Release);
        output
    });
    let output = output.with_context(|| cmd::failed(command))?;
    let wall = started.elapsed();
    if !output.status.success() {
        bail!("{} ({})", cmd::failed(command), output.status);
    }
    let cpu = cpu_of_children()?.saturating_sub(before);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Run { wall, cpu, said, peak_bytes: peak.into_inner() })
}

/// `None` once the process has ended.
fn peak_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

fn cpu_of_children() -> Result<Duration> {
    // "cutime" and "cstime" of proc(5).
    cpu("self", [16, 17])
}

/// Of a process that is still there.
pub(super) fn cpu_of(pid: u32) -> Result<Duration> {
    // "utime" and "stime".
    cpu(&pid.to_string(), [14, 15])
}

fn cpu(process: &str, fields: [usize; 2]) -> Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    // The name of the program, in parentheses, is the second field and can hold anything.
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let field = |number: usize| rest.split(' ').nth(number - 3)?.parse::<u64>().ok();
    let ticks: Option<u64> = fields.into_iter().map(field).sum();
    // A tick is a hundredth of a second on every Linux that there is.
    let ticks = ticks.with_context(|| format!("{path} is not as proc(5) has it"))?;
    Ok(Duration::from_millis(ticks * 10))
}

/// The middle one; of an even number the lower of the two.
pub(super) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_one_of_the_times() {
        let of = |ms: &[u64]| median(ms.iter().copied().map(Duration::from_millis).collect());
        assert_eq!(of(&[9, 1, 5]), Duration::from_millis(5));
        assert_eq!(of(&[4, 1]), Duration::from_millis(1));
        assert_eq!(of(&[]), Duration::ZERO);
    }

    #[test]
    fn a_run_is_measured_with_what_it_said() {
        let run = run(Command::new("sh").args(["-c", "echo 7; sleep 0.1"])).unwrap();
        assert_eq!(run.said, "7\n");
        assert!(run.peak_bytes > 4096, "{run:?}");
        assert!(run.wall > Duration::ZERO);
        assert!(cpu_of(std::process::id()).is_ok());
    }

    #[test]
    fn a_program_that_fails_is_no_measurement() {
        assert!(run(Command::new("sh").args(["-c", "exit 1"])).is_err());
    }
}
