//! A Debian of its own, under its own systemd, in the server namespace of a world: processes,
//! mounts, control groups, users, BPF filesystem. It shares the kernel with this host and the
//! network with the world, and nothing it writes outlives it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    netns::World,
    process::{Process, command, output, run},
    wait,
};

/// Gives what follows a control group of its own, called `$3`, and goes on with [`BOOT`], `$1`.
/// systemd takes the group it starts in for the root of them all.
const ENCLOSE: &str = r#"
set -e
mount --make-rprivate /
mount -t cgroup2 cgroup2 "$2"
mkdir -p "$2/$3"
echo $$ >"$2/$3/cgroup.procs"
# Which heeds no other signal.
trap 'kill -KILL "$machine"; exit' TERM
unshare --fork --pid --mount --uts --ipc --cgroup --kill-child sh -c "$1" boot "$4" "$2" &
machine=$!
wait "$machine"
"#;

/// Makes a root of a layer over the Debian `$1`, in `$2`, and starts its first process there.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
cd "$2/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
# With the permissions that systemd gives it on a machine, and not in a container.
mount -t bpf -o mode=700 bpf sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=doveblock \
    chroot . /lib/systemd/systemd --show-status=no
"#;

/// How long it may take to boot, with another suite beside it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Drop ends all that runs in it.
#[derive(Debug)]
pub struct Machine {
    /// The shell outside, with which the first process ends.
    _outside: Process,
    /// The first process, as this host numbers it.
    pid: u32,
    _group: Group,
}

/// The control group. It outlives its processes, and cannot go before them.
#[derive(Debug)]
struct Group {
    name: String,
    /// Where nothing is mounted any more.
    dir: PathBuf,
}

impl Drop for Group {
    fn drop(&mut self) {
        const REMOVE: &str = "mount -t cgroup2 cgroup2 \"$1\" && for attempt in 1 2 3 4 5; do \
             find \"$1/$2\" -depth -type d -exec rmdir {} + 2>/dev/null && break; sleep 0.2; done";
        let mut remove = command("unshare");
        remove.args(["--mount", "sh", "-c", REMOVE, "remove"]).arg(&self.dir).arg(&self.name);
        if let Err(error) = run(&mut remove) {
            eprintln!("the control group {} is left: {error:#}", self.name);
        }
    }
}

impl Machine {
    /// Boots `debian` and waits until its services are started.
    pub fn boot(world: &World, debian: &Path) -> Result<Self> {
        let dir = world.claim.dir().join("machine");
        fs::create_dir(&dir)?;
        let console = world.claim.dir().join("console.log");
        let mut unshare = world.server.command("unshare");
        unshare.args(["--mount", "sh", "-c", ENCLOSE, "enclose", BOOT]).arg(&dir);
        unshare.arg(world.claim.name()).arg(debian);
        let group = Group { name: world.claim.name().to_owned(), dir };
        let mut outside = Process::spawn("a Debian", &unshare, &File::create(&console)?)?;
        let booted = wait::until(PATIENCE, "a Debian to boot", || {
            ensure!(outside.ended()?.is_none(), "its first process has ended");
            let Some(pid) = first_process(outside.id()) else { return Ok(None) };
            let asked = output(inside(pid, "systemctl").arg("is-system-running"))?;
            let state = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
            // Not every service of a machine can do its work in a container.
            Ok(["running", "degraded"].contains(&state.as_str()).then_some(pid))
        });
        let said = || fs::read_to_string(&console).unwrap_or_default();
        let pid = booted.with_context(|| format!("its console:\n{}", said()))?;
        Ok(Self { _outside: outside, pid, _group: group })
    }

    /// A command that runs inside, as root.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        inside(self.pid, program)
    }

    /// Runs it to its end, which must be a success, and returns what it printed.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let (program, arguments) = words.split_first().context("no program")?;
        run(self.command(program).args(arguments))
    }

    pub fn output(&self, words: &[&str]) -> Result<Output> {
        let (program, arguments) = words.split_first().context("no program")?;
        output(self.command(program).args(arguments))
    }

    /// Where this host finds what is called `path` inside.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.pid.to_string())
            .join("root")
            .join(path.trim_start_matches('/'))
    }
}

fn inside(pid: u32, program: &str) -> Command {
    let mut nsenter = command("nsenter");
    nsenter.args(["--target", &pid.to_string(), "--all", "--root", "--wd"]);
    nsenter.args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", program]);
    nsenter
}

/// The first process of the namespace, once its shell has become systemd.
fn first_process(outside: u32) -> Option<u32> {
    let unshare = child_of(outside)?;
    let pid = child_of(unshare)?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim() == "systemd").then_some(pid)
}

fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
