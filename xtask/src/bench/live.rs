//! The daemon at work: a log grows at a steady rate while `doveblock run --dry-run` tails it,
//! without root and without a packet. How far is it behind, and what does it cost?
use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};

use super::{log::Log, measure};
use crate::cmd;

/// How often lines are written, and the lag is looked at.
const BEAT: Duration = Duration::from_millis(5);
const LOOK: Duration = Duration::from_millis(200);
/// How long the daemon may take to start, or to catch up, before that is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Live {
    written: u64,
    took: Duration,
    /// Of the daemon, all of its threads.
    cpu: Duration,
    /// The most lines that were written and not yet judged when it was looked at.
    max_lag: u64,
    looks: u32,
    /// From the last line written to all of them judged.
    caught_up: Duration,
}

impl Live {
    pub(super) fn markdown(&self) -> String {
        let rate = self.written as f64 / self.took.as_secs_f64();
        let cores = self.cpu.as_secs_f64() / self.took.as_secs_f64();
        format!(
            "Live: {} lines appended in {:.1} s ({rate:.0} a second) to a log that `doveblock run \
             --dry-run --mode aggressive` tails, with timestamps of that very second. The daemon \
             used {:.2} s of CPU, {:.0} % of one core ({:.0} ns/line). In {} looks (`doveblock \
             status`, every {} ms) it was at most {} lines, or {:.0} ms, behind; that includes \
             the time a look takes. All lines were judged {:.0} ms after the last was written. \
             Its own log goes to /dev/null.\n",
            self.written,
            self.took.as_secs_f64(),
            self.cpu.as_secs_f64(),
            100.0 * cores,
            self.cpu.as_secs_f64() * 1e9 / self.written as f64,
            self.looks,
            LOOK.as_millis(),
            self.max_lag,
            self.max_lag as f64 * 1e3 / rate,
            self.caught_up.as_secs_f64() * 1e3,
        )
    }
}

/// A daemon that ends with the measurement, however that ends.
struct Daemon<'p> {
    child: Child,
    binary: &'p Path,
    socket: &'p Path,
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl<'p> Daemon<'p> {
    fn start(binary: &'p Path, log: &Path, socket: &'p Path) -> Result<Self> {
        let mut command = cmd::command(binary);
        command.args(["run", "--dry-run", "--mode", "aggressive", "--log"]).arg(log);
        command.arg("--socket").arg(socket).env("TZ", "UTC");
        cmd::show(&command);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.spawn().with_context(|| cmd::failed(&command))?;
        let mut daemon = Self { child, binary, socket };
        let started = Instant::now();
        while daemon.lines().is_err() {
            if started.elapsed() > PATIENCE || daemon.child.try_wait()?.is_some() {
                bail!("the daemon does not answer: try {} by hand", cmd::line(&command));
            }
            thread::sleep(BEAT);
        }
        Ok(daemon)
    }

    /// How many lines it has judged.
    fn lines(&self) -> Result<u64> {
        let mut status: Command = cmd::command(self.binary);
        status.args(["status", "--format", "json", "--socket"]).arg(self.socket);
        lines_in(&cmd::output(&mut status)?).context("`doveblock status` states no lines")
    }
}

/// The value of `"lines"`.
fn lines_in(status: &str) -> Option<u64> {
    let value = status.split_once("\"lines\":")?.1.trim_start();
    value.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

pub(super) fn measure(binary: &Path, directory: &Path, rate: u64, seconds: u64) -> Result<Live> {
    eprintln!("==> live: {rate} lines a second for {seconds} s");
    let (log, socket) = (directory.join("live.log"), directory.join("live.sock"));
    let file = File::create(&log).context("failed to make the live log")?;
    let daemon = Daemon::start(binary, &log, &socket)?;
    let cpu_before = measure::cpu_of(daemon.child.id())?;

    let (written, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut live = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let took = append(file, rate, seconds, &written);
            ended.store(true, Ordering::Release);
            took
        });
        let (mut max_lag, mut looks) = (0, 0);
        while !ended.load(Ordering::Acquire) {
            let judged = daemon.lines()?;
            // Asked after the daemon: what was written meanwhile counts as lag too.
            max_lag = max_lag.max(written.load(Ordering::Acquire).saturating_sub(judged));
            looks += 1;
            thread::sleep(LOOK);
        }
        let took = writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        let written = written.load(Ordering::Acquire);
        let (cpu, caught_up) = (Duration::ZERO, Duration::ZERO);
        anyhow::Ok(Live { written, took, cpu, max_lag, looks, caught_up })
    })?;

    let written_at = Instant::now();
    while daemon.lines()? < live.written {
        if written_at.elapsed() > PATIENCE {
            bail!("the daemon has not judged all lines after {PATIENCE:?}");
        }
        thread::sleep(BEAT);
    }
    live.caught_up = written_at.elapsed();
    live.cpu = measure::cpu_of(daemon.child.id())?.saturating_sub(cpu_before);
    drop(daemon);
    fs::remove_file(&log).context("failed to remove the live log")?;
    Ok(live)
}

/// Appends lines at a steady rate. Gives the time that took.
fn append(mut file: File, rate: u64, seconds: u64, written: &AtomicU64) -> Result<Duration> {
    let (mut log, mut lines) = (Log::default(), String::new());
    let (started, total) = (Instant::now(), rate * seconds);
    let mut done = 0;
    while done < total {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let due = started.elapsed().as_micros() * u128::from(rate) / 1_000_000;
        let due = u64::try_from(due).unwrap_or(total);
        lines.clear();
        let end = due.min(total);
        for _ in done..end {
            log.line(now, &mut lines);
        }
        file.write_all(lines.as_bytes()).context("failed to append to the live log")?;
        done = done.max(end);
        written.store(done, Ordering::Release);
        thread::sleep(BEAT);
    }
    Ok(started.elapsed())
}

#[cfg(test)]
mod tests {
    use super::lines_in;

    #[test]
    fn the_lines_are_found_in_the_status() {
        assert_eq!(lines_in("{\n  \"logs\": [],\n  \"lines\": 42,\n  \"x\": 1}"), Some(42));
        assert_eq!(lines_in("{}"), None);
    }
}
