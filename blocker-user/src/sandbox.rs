//! Landlock: what this process may open from here on, whoever it obeys by then. A daemon reads
//! what strangers write into a log; should that ever give one of them its will, there is little
//! left to will: no program can be started, nothing be read but logs and configuration, nothing
//! be written but state and pins, nobody outside be signalled, no TCP port opened or reached.
//!
//! What is open already stays open, and what is no file (the kernel's BPF objects, netlink) is
//! not Landlock's business. Nothing can be added later: whoever needs another path names it in
//! [`Reach`]. A child inherits all of it, and needs its program in `Reach` to start at all.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, NetPort,
    RestrictSelfAttr as _, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};
use rustix::thread::clear_ambient_capability_set;

use crate::log::Log;

/// Rights that this code knows. Later ones do not come by themselves with a newer library.
const KNOWN: ABI = ABI::V8;

/// What everybody may read on this host, and what is there to be asked about the kernel. Of
/// other processes Landlock shows in /proc only what it shows to everyone.
const PUBLIC: [&str; 12] = [
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    // The names of those who ban by hand.
    "/etc/passwd",
    "/etc/timezone",
    "/dev/null",
    "/dev/urandom",
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/kernel/btf",
];

/// What a resolver reads besides.
const RESOLVER: [&str; 4] = ["/etc", "/run/systemd/resolve", "/run/resolvconf", "/run/nscd"];
/// DNS over TCP, for answers that are too long for UDP.
const DOMAIN: u16 = 53;

/// Why a process is not confined.
#[derive(Debug, thiserror::Error)]
enum Unconfined {
    #[error(transparent)]
    Rules(#[from] RulesetError),
    #[error("the rules cannot be handed to another thread: {0}")]
    Clone(#[from] io::Error),
}

/// All that stays within reach. Directories stand for everything below them; what does not
/// exist is passed over.
#[derive(Debug, Default)]
pub struct Reach {
    /// To be read.
    pub read: Vec<PathBuf>,
    /// Directories to read, write, make and remove files in.
    pub write: Vec<PathBuf>,
    /// Directories whose entries may be listed and removed: what lies there goes with the daemon.
    pub tidy: Vec<PathBuf>,
    /// Programs that may be started, with what they are loaded by. A child is confined as its
    /// parent is.
    pub run: Vec<PathBuf>,
    /// Whether host names are looked up.
    pub names: bool,
}

impl Reach {
    /// With links followed to where they lead now.
    #[must_use]
    pub fn resolved(self) -> Self {
        let follow = |path: PathBuf| path.canonicalize().unwrap_or(path);
        let Self { read, write, .. } = self;
        let (read, write) = (read.into_iter().map(follow), write.into_iter().map(follow));
        Self { read: read.collect(), write: write.collect(), ..self }
    }

    /// Whether a process that was confined to this, with links followed, can read `path`.
    pub fn covers(&self, path: &Path) -> bool {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let named = self.read.iter().chain(&self.write).map(PathBuf::as_path);
        named.chain(PUBLIC.map(Path::new)).any(|within| path.starts_with(within))
    }
}

/// Confines every thread that there is, and all that they start; whether that is so. Said at
/// debug level only where it cannot be done: older kernels have no Landlock, and nothing works
/// less without it.
pub fn confine(reach: &Reach, log: &Log) -> bool {
    match ruleset(reach).map_err(Unconfined::from).and_then(|rules| enforce(rules, log)) {
        Ok(RulesetStatus::NotEnforced) => {
            tracing::debug!("this kernel has no Landlock, or it is switched off: not confined");
            false
        }
        Ok(status) => {
            let how = if status == RulesetStatus::FullyEnforced { "" } else { "in part " };
            tracing::debug!("confined {how}by Landlock to {reach:?}");
            true
        }
        Err(error) => {
            tracing::debug!("not confined by Landlock: {error}");
            false
        }
    }
}

/// Programs that this one starts are to have none of its capabilities. To be called before any
/// thread but the log's runs, for each has a set of its own, which it hands on.
pub fn keep_capabilities() {
    if let Err(error) = clear_ambient_capability_set() {
        tracing::debug!("programs that are started have the capabilities of this one: {error}");
    }
}

fn ruleset(reach: &Reach) -> Result<RulesetCreated, RulesetError> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let writing = reading
        | make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | MakeDir |
            RemoveFile | RemoveDir});
    let tidying = make_bitflags!(AccessFs::{ReadDir | RemoveFile | RemoveDir});
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(PUBLIC, reading))?
        .add_rules(path_beneath_rules(&reach.read, reading))?
        .add_rules(path_beneath_rules(&reach.write, writing))?
        .add_rules(path_beneath_rules(&reach.tidy, tidying))?;
    rules = rules.add_rules(path_beneath_rules(["/dev/null"], AccessFs::WriteFile))?;
    if !reach.run.is_empty() {
        let running = AccessFs::ReadFile | AccessFs::Execute;
        rules = rules.add_rules(path_beneath_rules(reach.run.iter().chain(&loaders()), running))?;
    }
    if reach.names {
        rules = rules
            .add_rules(path_beneath_rules(RESOLVER, reading))?
            .add_rule(NetPort::new(DOMAIN, AccessNet::ConnectTcp))?;
    }
    Ok(rules)
}

/// What starts programs that are not static: the kernel has to be able to execute it, too.
fn loaders() -> Vec<PathBuf> {
    let directories = ["/lib64", "/lib"].into_iter().filter_map(|it| fs::read_dir(it).ok());
    let names = directories.flatten().flatten().map(|entry| entry.path());
    names
        .filter(|path| path.file_name().is_some_and(|it| it.as_encoded_bytes().starts_with(b"ld-")))
        .collect()
}

/// Before its version 8 Landlock knows threads only, and those that they start. The log has one
/// already.
fn enforce(rules: RulesetCreated, log: &Log) -> Result<RulesetStatus, Unconfined> {
    let for_log = rules.try_clone()?;
    let status = rules.all_threads(true)?.restrict_self()?;
    if !status.all_threads {
        log.on_its_thread(move || {
            if let Err(error) = for_log.restrict_self() {
                tracing::debug!("the log's thread is not confined by Landlock: {error}");
            }
        });
    }
    Ok(status.ruleset)
}
