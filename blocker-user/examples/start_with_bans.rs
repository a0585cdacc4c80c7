//! How long a start takes until every ban of the database is in force again, as after a reboot:
//! from the start of the process until it says that it is ready, with nothing left of it in the
//! kernel. The daemon is the real one, in a network namespace of its own. As root, after
//! `cargo xtask build`:
//!
//! `cargo run -p blocker-user --example start_with_bans -- target/release/doveblock [BANS…]`

use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    net::Ipv4Addr,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// Of each number of bans; the median is shown.
const STARTS: usize = 5;
/// In one request, which is to be answered within seconds.
const AT_ONCE: usize = 20_000;
const LIMIT: Duration = Duration::from_secs(120);

struct Daemon(Child);

struct Host {
    doveblock: PathBuf,
    dir: tempfile::TempDir,
    pins: PathBuf,
}

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let doveblock = arguments.next().context("the path of doveblock is missing")?;
    let mut numbers: Vec<u32> =
        arguments.map(|it| it.parse().context("BANS is a number")).collect::<Result<_>>()?;
    if numbers.is_empty() {
        numbers = vec![0, 100_000, 1_000_000];
    }
    let pins = PathBuf::from(format!("/sys/fs/bpf/dbs-{}", std::process::id()));
    for bans in numbers {
        let host = Host {
            doveblock: fs::canonicalize(&doveblock)?,
            dir: tempfile::tempdir()?,
            pins: pins.clone(),
        };
        let measured = host.measure(bans);
        host.reboot()?;
        measured?;
    }
    Ok(())
}

impl Host {
    fn measure(&self, bans: u32) -> Result<()> {
        File::create(self.path("mail.log"))?;
        let (daemon, _) = self.start()?;
        let numbers: Vec<u32> = (0..bans).collect();
        for chunk in numbers.chunks(AT_ONCE) {
            self.ban(chunk)?;
        }
        daemon.stop()?;
        let database: u64 = fs::metadata(self.path("state/doveblock.sqlite3"))?.len();
        let mut took = Vec::new();
        for _ in 0..STARTS {
            self.reboot()?;
            let (daemon, ready) = self.start()?;
            took.push(ready);
            let found = self.in_force()?;
            daemon.stop()?;
            ensure!(found == u64::from(bans), "{found} bans are in force, of {bans}");
        }
        took.sort_unstable();
        let (least, median, most) = (took.first(), took.get(STARTS / 2), took.last());
        let millis = |it: Option<&Duration>| it.map_or(0.0, |it| it.as_secs_f64() * 1000.0);
        println!(
            "{bans:>9} bans, a database of {database:>10} bytes: ready after {:>7.1} ms ({:.1} to {:.1})",
            millis(median),
            millis(least),
            millis(most)
        );
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// And how long it took until it was ready.
    fn start(&self) -> Result<(Daemon, Duration)> {
        let told = self.path("notify");
        let _there_is_none = fs::remove_file(&told);
        let socket = UnixDatagram::bind(&told)?;
        socket.set_read_timeout(Some(LIMIT))?;
        let at = Instant::now();
        let daemon = Command::new("unshare")
            .args(["--net", "--"])
            .arg(&self.doveblock)
            .args(["run", "-i", "lo", "--xdp-mode", "generic", "--bantime", "1d"])
            .args(option("--log", &self.path("mail.log")))
            .args(option("--socket", &self.path("sock")))
            .args(option("--state-dir", &self.path("state")))
            .args(option("--pin-dir", &self.pins))
            .env("NOTIFY_SOCKET", &told)
            .stderr(File::options().create(true).append(true).open(self.path("log"))?)
            .spawn()?;
        let daemon = Daemon(daemon);
        let mut message = [0; 1024];
        loop {
            let length = socket.recv(&mut message).with_context(|| self.log())?;
            let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
            if text.lines().any(|line| line == "READY=1") {
                return Ok((daemon, at.elapsed()));
            }
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn verb(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.doveblock);
        command.args(arguments).args(option("--socket", &self.path("sock")));
        command
    }

    fn ban(&self, numbers: &[u32]) -> Result<()> {
        let mut list = String::new();
        for number in numbers {
            writeln!(list, "{}", Ipv4Addr::from(0x0100_0000 + number))?;
        }
        let end = Instant::now() + LIMIT;
        // No verb waits for long, and maps that grow are what a daemon is busy with.
        while Instant::now() < end {
            let mut command = self.verb(&["ban", "-"]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
            child.stdin.take().context("standard input")?.write_all(list.as_bytes())?;
            if child.wait()?.success() {
                return Ok(());
            }
        }
        bail!("the bans are refused: {}", self.log())
    }

    fn in_force(&self) -> Result<u64> {
        let output = self.verb(&["status", "--format", "json"]).output()?;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        status["currently_banned"].as_u64().context("no number of bans")
    }

    /// Nothing of it is left in the kernel.
    fn reboot(&self) -> Result<()> {
        match fs::remove_dir_all(&self.pins) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn option(name: &str, path: &Path) -> [String; 2] {
    [name.to_owned(), path.display().to_string()]
}

impl Daemon {
    fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.0), Signal::TERM)?;
        ensure!(self.0.wait()?.success(), "the daemon failed");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Most have ended by now.
        let _has_ended = (self.0.kill(), self.0.wait());
    }
}
