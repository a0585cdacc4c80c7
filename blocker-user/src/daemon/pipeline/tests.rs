//! A host under the pipeline: its log with everything that happens to logs, its clocks, a kernel
//! that remembers bans, and a daemon that is killed.

mod many;
mod reloads;
mod restarts;
mod starts;

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    net::IpAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use ipnet::IpNet;
use jiff::{Timestamp, tz::TimeZone};

use super::{Keeping, Pipeline, Setup};
use crate::{
    daemon::{Change, Clocks, Stats, remote},
    dovecot::{Judge, Mode, SessionCheck, Settings},
    firewall::{Action, Firewall, FirewallError, Memory, Order, Rules, View},
    jail::{IgnoreList, Jail, Policy},
    source::{Source, Spec, Waiter},
    store::{Saved, Seeds, Store, Totals},
    time::LogTime,
};

const START: i64 = 1_795_539_600;
const PATIENCE: Duration = Duration::from_secs(20);
const SEEDS: Seeds = Seeds { names: [7; 16], jail: 7 };

/// A kernel, which a daemon leaves behind.
#[derive(Clone, Default)]
struct Kernel {
    bans: Memory,
    is_inherited: bool,
    is_full: bool,
    /// How often a ban was ended by itself, and not with others.
    ended_singly: Rc<Cell<usize>>,
    /// After how many of them it refuses to end more.
    refuses_after: Rc<Cell<Option<usize>>>,
}

impl Firewall for Kernel {
    fn ban(&mut self, order: &Order) -> Result<(), FirewallError> {
        if self.is_full {
            return Err(FirewallError::Full(order.subject));
        }
        self.bans.ban(order)
    }
    fn is_inherited(&self) -> bool {
        self.is_inherited
    }
    fn unban(&mut self, subject: &IpNet) -> Result<bool, FirewallError> {
        self.ended_singly.set(self.ended_singly.get() + 1);
        self.bans.unban(subject)
    }
    fn unban_many(&mut self, subjects: &[IpNet]) -> Result<Vec<IpNet>, FirewallError> {
        let Some(most) = self.refuses_after.get() else { return self.bans.unban_many(subjects) };
        let (ended, left) = subjects.split_at(most.min(subjects.len()));
        self.bans.unban_many(ended)?;
        left.first().map_or(Ok(ended.to_vec()), |subject| Err(FirewallError::Full(*subject)))
    }
    fn allow(&mut self, networks: &[IpNet]) -> Result<(), FirewallError> {
        self.bans.allow(networks)
    }
    fn commit(&mut self) -> Result<(), FirewallError> {
        Ok(())
    }
    fn detach(&mut self) -> Result<(), FirewallError> {
        self.bans.detach()
    }
    fn tend(&mut self) {}
    fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        None
    }
    fn view(&self) -> Result<Box<dyn View>, FirewallError> {
        self.bans.view()
    }
}

struct Host {
    dir: tempfile::TempDir,
    policy: Policy,
    /// What the daemon is started with.
    logs: Vec<Spec>,
    /// Whether anything is kept; a host without a store is one that is never killed.
    keeps: bool,
    kernel: Kernel,
    boot: u32,
    /// Microseconds since the start by the clock that nobody sets, and what the other is ahead.
    steady: Rc<Cell<i64>>,
    ahead: Rc<Cell<i64>>,
    daemon: Option<Pipeline>,
    /// The end of a line that is being written.
    unwritten: String,
}

/// All that an admin can see of it.
#[derive(Debug, PartialEq)]
struct Seen {
    totals: Totals,
    /// End and failures by subject.
    enforced: BTreeMap<IpNet, (Option<LogTime>, u32)>,
    decided: BTreeMap<IpNet, Option<LogTime>>,
    failed: usize,
}

impl Host {
    fn new(policy: Policy, keeps: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let logs = vec![Spec::File(dir.path().join("mail.log"))];
        let mut host = Self {
            dir,
            policy,
            logs,
            keeps,
            kernel: Kernel::default(),
            boot: 1,
            steady: Rc::default(),
            ahead: Rc::new(Cell::new(START * 1_000_000)),
            daemon: None,
            unwritten: String::new(),
        };
        File::create(host.log()).unwrap();
        host.start();
        host
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("mail.log")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn now(&self) -> LogTime {
        LogTime::from_micros(self.steady.get() + self.ahead.get())
    }

    fn wait(&self, secs: i64) {
        self.steady.set(self.steady.get() + secs * 1_000_000);
    }

    /// The kernel's deadlines stay where they are, and are called something else.
    fn set_clock(&mut self, ahead: i64) {
        let by = ahead - self.ahead.replace(ahead);
        for ban in self.kernel.view().unwrap().bans().unwrap() {
            let moved = |end: LogTime| LogTime::from_micros(end.as_micros() + by);
            let expires = ban.order.expires.map(moved);
            self.kernel.ban(&Order { expires, ..ban.order }).unwrap();
        }
        self.settle();
    }

    fn start(&mut self) {
        self.open();
        self.settle();
    }

    /// A start, of a daemon that has not read a line yet.
    fn open(&mut self) {
        let waiter = Waiter::new().unwrap();
        let (keeping, saved) = if self.keeps {
            let (store, saved) = Store::open(&self.state(), waiter.waker()).unwrap();
            let enforced_in = format!("{} /pins", self.boot);
            let seeds = saved.seeds.unwrap_or(SEEDS);
            (Some(Keeping { store, seeds, enforced_in }), saved)
        } else {
            (None, Saved::default())
        };
        let (_remote, inbox) = remote(&waiter);
        let (steady, ahead) = (Rc::clone(&self.steady), Rc::clone(&self.ahead));
        let since = Rc::clone(&self.steady);
        let clocks = Clocks {
            wall: Box::new(move || LogTime::from_micros(steady.get() + ahead.get())),
            steady: Box::new(move || Duration::from_micros(since.get().try_into().unwrap())),
        };
        let daemon = Pipeline::new(Setup {
            sources: self.logs.iter().map(|it| (it.to_string(), Source::new(it))).collect(),
            judge: judge(),
            jail: Jail::new(self.policy.clone(), IgnoreList::new(Vec::new(), false), SEEDS.jail),
            firewall: Box::new(self.kernel.clone()),
            waiter,
            inbox,
            stats: Arc::new(Stats::from(saved.totals)),
            keeping,
            saved,
            names: Arc::default(),
            clocks,
        });
        self.daemon = Some(daemon.unwrap());
        self.kernel.is_inherited = true;
    }

    /// A reload to a configuration with these logs.
    fn follow(&mut self, logs: &[Spec]) {
        let change = Change {
            judge: judge(),
            policy: self.policy.clone(),
            ignore: IgnoreList::new(Vec::new(), false),
            names: Arc::default(),
            sources: logs.iter().map(|log| (log.to_string(), log.clone())).collect(),
            rules: Rules {
                ports: Vec::new(),
                udp_ports: Vec::new(),
                drop_fragments: true,
                action: Action::Drop,
            },
        };
        self.daemon.as_mut().unwrap().change(change).unwrap();
        self.settle();
    }

    /// The daemon does all there is to do.
    fn settle(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        while daemon.read_all() {}
        let wall = daemon.core.wall_clock();
        let latest = daemon.feeds.iter().map(|feed| feed.now(wall)).min().unwrap();
        daemon.core.housekeeping(wall, latest);
    }

    fn keep(&mut self) {
        let Some(daemon) = self.daemon.as_mut().filter(|_| self.keeps) else { return };
        daemon.keep();
        assert!(daemon.core.records.is_written(PATIENCE));
    }

    /// As `kill -9` does: nothing is written that has not been.
    fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.core.records.close();
        }
    }

    fn reboot(&mut self) {
        self.kill();
        self.kernel = Kernel::default();
        self.boot += 1;
    }

    fn unban(&mut self, subject: IpNet) {
        let Some(daemon) = &mut self.daemon else { return };
        let by = super::super::By { who: "a test".to_owned(), reason: None };
        daemon.core.unban_by_hand(&subject, &by).unwrap();
        self.keep();
    }

    fn write(&mut self, text: &str) {
        let text = std::mem::take(&mut self.unwritten) + text;
        let mut log = OpenOptions::new().append(true).create(true).open(self.log()).unwrap();
        log.write_all(text.as_bytes()).unwrap();
        self.settle();
    }

    /// The time, which is never the same.
    fn stamp(&self) -> Timestamp {
        self.steady.set(self.steady.get() + 1);
        Timestamp::from_microsecond(self.now().as_micros()).unwrap()
    }

    fn line(&mut self, message: &str) {
        let at = self.stamp();
        self.write(&format!("{at} mail dovecot: {message}\n"));
    }

    /// Writes the first half of a line. The other comes with whatever is written next.
    fn half_a_line(&mut self, message: &str) {
        let at = self.stamp();
        let line = format!("{at} mail dovecot: {message}\n");
        let (first, second) = line.split_at(line.len() / 2);
        self.write(first);
        second.clone_into(&mut self.unwritten);
    }

    fn probe(&mut self, client: u8, connection: u64) {
        let fields = fields(client, connection, "");
        self.line(&format!(
            "managesieve-login: Disconnected: Connection closed (no auth attempts in 0 secs): {fields}"
        ));
    }

    fn guess(&mut self, client: u8, connection: u64, name: &str) {
        let ip = address(client);
        let id = session(ip, connection);
        self.line(&format!("auth: passwd-file({name},{ip},<{id}>): Password mismatch"));
    }

    fn end(&mut self, client: u8, connection: u64, guesses: u32, name: &str) {
        let fields = fields(client, connection, name);
        self.line(&format!(
            "imap-login: Disconnected: Connection closed (auth failed, {guesses} attempts in 2 \
             secs): {fields}"
        ));
    }

    fn login(&mut self, client: u8, connection: u64, name: &str) {
        let fields = fields(client, connection, name);
        self.line(&format!("imap-login: Login: {fields}"));
    }

    fn finish_line(&mut self) {
        if !self.unwritten.is_empty() {
            self.write("");
        }
    }

    /// `mail.log.1` becomes `mail.log.2`, and so on.
    fn shift(&self) {
        let name =
            |number: u32, ending: &str| self.dir.path().join(format!("mail.log.{number}{ending}"));
        for number in (1..20).rev() {
            for ending in ["", ".gz"] {
                let _there_is_none = fs::rename(name(number, ending), name(number + 1, ending));
            }
        }
    }

    fn rotate(&mut self) {
        self.finish_line();
        self.shift();
        fs::rename(self.log(), self.dir.path().join("mail.log.1")).unwrap();
        File::create(self.log()).unwrap();
        self.settle();
    }

    fn copy_and_truncate(&mut self) {
        self.finish_line();
        self.shift();
        fs::copy(self.log(), self.dir.path().join("mail.log.1")).unwrap();
        OpenOptions::new().write(true).open(self.log()).unwrap().set_len(0).unwrap();
        self.settle();
    }

    fn pack(&mut self) {
        for number in 1..20 {
            let plain = self.dir.path().join(format!("mail.log.{number}"));
            let Ok(text) = fs::read(&plain) else { continue };
            let packed = File::create(self.dir.path().join(format!("mail.log.{number}.gz")));
            let mut encoder = GzEncoder::new(packed.unwrap(), Compression::fast());
            encoder.write_all(&text).unwrap();
            encoder.finish().unwrap();
            fs::remove_file(plain).unwrap();
        }
        self.settle();
    }

    fn seen(&mut self) -> Seen {
        self.finish_line();
        self.settle();
        let now = self.now();
        let daemon = self.daemon.as_mut().unwrap();
        let in_force = |end: &Option<LogTime>| end.is_none_or(|end| end > now);
        let bans = daemon.core.firewall.view().unwrap().bans().unwrap();
        let enforced = bans.into_iter().map(|ban| ban.order);
        Seen {
            totals: daemon.core.stats.totals(),
            enforced: enforced
                .filter(|order| in_force(&order.expires))
                .map(|order| (order.subject, (order.expires, order.attempts)))
                .collect(),
            decided: daemon.core.jail.bans().filter(|(_, end)| in_force(end)).collect(),
            failed: daemon.core.jail.currently_failed(),
        }
    }
}

fn judge() -> Judge {
    Judge::new(Settings {
        mode: Mode::Aggressive,
        zone: TimeZone::UTC,
        session_check: SessionCheck::default(),
    })
}

fn address(client: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, client])
}

fn session(ip: IpAddr, connection: u64) -> String {
    let IpAddr::V4(v4) = ip else { panic!("{ip}") };
    STANDARD.encode([&connection.to_le_bytes()[..], &v4.octets()].concat())
}

fn fields(client: u8, connection: u64, name: &str) -> String {
    let ip = address(client);
    let id = session(ip, connection);
    format!("user=<{name}>, method=PLAIN, rip={ip}, lip=198.51.100.1, mpid=1, session=<{id}>")
}

fn is_aside(dir: &Path) -> bool {
    let names = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.file_name());
    names.into_iter().any(|name| name.to_string_lossy().contains(".sqlite3.corrupt-"))
}
