//! The host that the pages talk about: the world's server with an `eth0`, a default route and a
//! Dovecot that logs to /var/log/mail.log, in directories that are nobody else's; and the second
//! host, 198.51.100.7.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use blocker_tests::{
    doveblock::binary,
    dovecot::Dovecot,
    follow::Follow,
    netns::{SERVER_LINK, World},
    process::{Process, output, run},
    wait::{self, LIMIT},
};

use super::page::Where;

const CLIENT: &str = "198.51.100.7";
/// What the world gives the client's end of the wire.
const CLIENT_LINK: &str = "net0";
const CLIENT_MAC: &str = "02:00:00:00:00:02";
const SOCKET: &str = "/run/doveblock/doveblock.sock";

/// Makes the mount namespace. Everything that a command may write to is on a layer that ends with
/// it; `$1` is the world's directory, `$2` the program, `$3` Dovecot's configuration, `$4` its log,
/// `$5` the repository, which may be below what is hidden here.
const SET: &str = r#"
set -e
mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/world /mnt/bin /mnt/here/packaging
mount --bind "$1" /mnt/world
touch /mnt/bin/doveblock
mount --bind "$2" /mnt/bin/doveblock
mount --bind "$5/packaging" /mnt/here/packaging
for place in etc var; do
    mkdir -p /mnt/$place/upper /mnt/$place/work
    mount -t overlay overlay \
        -o lowerdir=/$place,upperdir=/mnt/$place/upper,workdir=/mnt/$place/work /$place
done
mount -t tmpfs tmpfs /tmp
mkdir -p "$1"
mount --bind /mnt/world "$1"
mount -t tmpfs tmpfs /run
mount -t bpf bpf /sys/fs/bpf
rm -rf /etc/doveblock /var/lib/doveblock /var/log/mail.log*
mkdir -p /etc/doveblock/doveblock.d
ln -s "$4" /var/log/mail.log
printf '#!/bin/sh\nexec /usr/bin/doveconf -c %s "$@"\n' "$3" > /mnt/bin/doveconf
chmod +x /mnt/bin/doveconf
echo '203.0.113.9    # the first one' > /mnt/here/list.txt
echo set
exec sleep infinity
"#;

pub(super) struct Stage<'w> {
    world: &'w World,
    dovecot: Dovecot,
    /// Holds the mount namespace.
    holder: Process,
    /// By their sockets.
    daemons: HashMap<String, Process>,
    started: u32,
    /// What the last command printed.
    said: String,
}

impl<'w> Stage<'w> {
    pub(super) fn set(world: &'w World) -> Result<Self> {
        let inside = |words: &str| {
            let words: Vec<&str> = words.split(' ').collect();
            run(world.server.command("ip").args(words))
        };
        inside(&format!("link set dev {SERVER_LINK} name eth0"))?;
        inside(&format!("neigh add {CLIENT} lladdr {CLIENT_MAC} dev eth0 nud permanent"))?;
        inside(&format!("route add {CLIENT} dev eth0"))?;
        inside("route add default via 192.0.2.10")?;
        let client = format!("addr add {CLIENT}/32 dev {CLIENT_LINK}");
        run(world.client.command("ip").args(client.split(' ')))?;
        let route = format!("route replace 192.0.2.1 dev {CLIENT_LINK} src {CLIENT}");
        run(world.client.command("ip").args(route.split(' ')))?;

        let dovecot = Dovecot::start(world)?;
        let mut command = world.server.command("unshare");
        command.args(["--mount", "--propagation", "private", "--", "sh", "-c", SET, "sh"]);
        command.arg(world.claim.dir()).arg(fs::canonicalize(binary())?);
        command.arg(world.claim.dir().join("dovecot/dovecot.conf")).arg(dovecot.log());
        command.arg(fs::canonicalize(super::root())?);
        let said = world.claim.dir().join("stage");
        let holder = Process::spawn("the stage", &command, &File::create(&said)?)?;
        let mut stage = Self {
            world,
            dovecot,
            holder,
            daemons: HashMap::new(),
            started: 0,
            said: String::new(),
        };
        let is_set = Follow::new(&said)
            .wait_for_while(LIMIT, &["set"], || stage.holder.ended().map(|end| end.is_none()));
        is_set.with_context(|| fs::read_to_string(&said).unwrap_or_default())?;
        Ok(stage)
    }

    /// A command of the server's, in its namespaces.
    fn command(&self, program: &str) -> Command {
        let mut command = blocker_tests::process::command("nsenter");
        command.arg(format!("--target={}", self.holder.id())).args(["--mount", "--net"]);
        command.args([
            "--wdns=/mnt/here",
            "--",
            "env",
            "PATH=/mnt/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
        ]);
        command.arg(program);
        command
    }

    /// Runs a command to its end, which must be a good one.
    pub(super) fn run(&mut self, text: &str, place: Where) -> Result<()> {
        let mut shell = match place {
            Where::Server => self.command("bash"),
            Where::Client => self.world.client.command("bash"),
        };
        let done = output(shell.args(["-o", "pipefail", "-c", text]))?;
        let said = [done.stdout, done.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
        self.said = said.concat();
        ensure!(done.status.success(), "{}\n{}\n{}", done.status, self.said, self.logs());
        Ok(())
    }

    /// Starts a daemon, in place of one on the same socket, and waits until it is ready.
    pub(super) fn start(&mut self, text: &str) -> Result<()> {
        let socket = text.split("--socket ").nth(1).and_then(|rest| rest.split(' ').next());
        let socket = socket.unwrap_or(SOCKET).to_owned();
        if let Some(mut before) = self.daemons.remove(&socket) {
            before.stop()?;
        }
        self.started += 1;
        let said = self.log_of(self.started);
        let mut shell = self.command("bash");
        shell.args(["-c", &format!("exec {text}")]);
        let mut daemon = Process::spawn("doveblock", &shell, &File::create(&said)?)?;
        let ready = Follow::new(&said)
            .wait_for_while(LIMIT, &["ready:"], || daemon.ended().map(|end| end.is_none()));
        ready.with_context(|| fs::read_to_string(&said).unwrap_or_default())?;
        self.daemons.insert(socket, daemon);
        Ok(())
    }

    pub(super) fn act(&mut self, direction: &str) -> Result<()> {
        match direction.split_once(' ') {
            Some(("wait", part)) => self.wait_for(part),
            Some(("start", text)) => self.start(text),
            Some(("printed", part)) => {
                ensure!(self.said.contains(part), "{}\n{}", self.said, self.logs());
                Ok(())
            }
            Some(("stop", socket)) => self.stop(socket),
            _ => bail!("what is to be done?"),
        }
    }

    /// Ends the daemon on that socket, as Ctrl-C does.
    fn stop(&mut self, socket: &str) -> Result<()> {
        let mut daemon = self.daemons.remove(socket).context("no daemon to stop")?;
        daemon.stop()?;
        Ok(())
    }

    fn log_of(&self, started: u32) -> PathBuf {
        self.world.claim.dir().join(format!("daemon.{started}"))
    }

    /// Waits for text in the log of the last daemon.
    fn wait_for(&self, part: &str) -> Result<()> {
        let said = self.log_of(self.started);
        let found = wait::until(LIMIT, &format!("{part:?} in a log"), || {
            let text = fs::read_to_string(&said)?;
            Ok(text.contains(part).then_some(()))
        });
        found.with_context(|| self.logs())
    }

    fn logs(&self) -> String {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let daemons = (1..=self.started).map(|it| read(&self.log_of(it)));
        daemons.chain([read(self.dovecot.log())]).collect()
    }
}
