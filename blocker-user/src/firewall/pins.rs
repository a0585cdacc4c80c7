//! The directory of pins: who may use it, what is in it, and how it goes away.
//!
//! Pins are what keeps enforcement alive without a daemon. The links are held by their pins
//! alone (the daemon closes its descriptors), so removing a link's pin detaches it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use blocker_common::abi::{PROGRAM, map};
use rustix::{
    fs::{FlockOperation, flock, statfs},
    mount::{MountFlags, mount},
};

use super::FirewallError;

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
const BPF_FS: &str = "/sys/fs/bpf";
const LINK_PREFIX: &str = "link_";

/// The pin directory, held exclusively for as long as this lives.
pub(super) struct PinDir {
    path: PathBuf,
    /// Whether it was created just now, so that a failed start can take it away again.
    created: bool,
    _lock: File,
}

impl PinDir {
    /// Creates the directory where it is missing (mounting the BPF filesystem where that is
    /// missing, too) and takes the lock on it.
    pub(super) fn open(path: &Path) -> Result<Self, FirewallError> {
        require_bpf_fs(path)?;
        let created = match fs::create_dir(path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => {
                return Err(FirewallError::io(format!("create {}", path.display()))(error));
            }
        };
        let lock =
            File::open(path).map_err(FirewallError::io(format!("open {}", path.display())))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), created, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(FirewallError::PinsInUse(path.to_owned())),
            Err(error) => Err(FirewallError::io(format!("lock {}", path.display()))(error.into())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn program(&self) -> PathBuf {
        self.path.join(PROGRAM)
    }

    /// Where a program is pinned before it is renamed into its place.
    pub(super) fn next_program(&self) -> PathBuf {
        self.path.join(format!("{PROGRAM}_next"))
    }

    pub(super) fn link(&self, interface: &str) -> PathBuf {
        self.path.join(link_name(interface))
    }

    /// Takes back a start that failed: what was pinned anew goes, what was adopted stays.
    pub(super) fn abandon(self) {
        if self.created {
            let _best_effort = remove_all(&self.path);
        }
    }
}

/// Interfaces with a pinned link below `path`.
pub(super) fn linked_interfaces(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut interfaces: Vec<String> =
        entries.flatten().filter_map(|entry| interface_of(&entry.file_name())).collect();
    interfaces.sort();
    interfaces
}

/// What [`detach`] took away.
#[derive(Debug, PartialEq, Eq)]
pub struct Detached {
    pub interfaces: Vec<String>,
    /// A daemon was using the pins and runs on without effect.
    pub daemon_running: bool,
}

/// Removes every pin below `path`: packets pass from here on, and the bans are forgotten.
/// Works with and without a daemon. `None` where there is nothing to remove.
pub fn detach(path: &Path) -> Result<Option<Detached>, FirewallError> {
    let failed = || FirewallError::io(format!("detach the pins in {}", path.display()));
    let lock = match File::open(path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed()(error)),
    };
    if !is_bpf_fs(path) {
        return Err(FirewallError::NoBpfFilesystem(path.to_owned()));
    }
    let daemon_running = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err();
    let interfaces = linked_interfaces(path);
    remove_all(path).map_err(failed())?;
    Ok(Some(Detached { interfaces, daemon_running }))
}

/// Removes what doveblock pins and nothing else; the directory too once it is empty. Links
/// go first: from then on nothing is dropped, whatever happens to the rest.
fn remove_all(path: &Path) -> io::Result<()> {
    for interface in linked_interfaces(path) {
        fs::remove_file(path.join(link_name(&interface)))?;
    }
    let next_program = format!("{PROGRAM}_next");
    let names = [
        PROGRAM,
        &next_program,
        map::BANS_V4,
        map::BANS_V6,
        map::BANS_NET,
        map::ALLOW,
        map::PORTS,
        map::COUNTERS,
    ];
    for name in names {
        match fs::remove_file(path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(error),
        _ => Ok(()),
    }
}

/// bpffs reserves the dot, which VLAN interfaces (`eth0.100`) have; the colon, which no
/// interface can have, stands for it.
fn link_name(interface: &str) -> String {
    format!("{LINK_PREFIX}{}", interface.replace('.', ":"))
}

fn interface_of(file_name: &OsStr) -> Option<String> {
    let name = str::from_utf8(file_name.as_bytes()).ok()?;
    Some(name.strip_prefix(LINK_PREFIX)?.replace(':', "."))
}

fn require_bpf_fs(path: &Path) -> Result<(), FirewallError> {
    let parent = path.parent().unwrap_or(path);
    if is_bpf_fs(parent) {
        return Ok(());
    }
    // The usual place may simply not be mounted, as on a host without systemd.
    if path.starts_with(BPF_FS) {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let mounted = mount("bpf", BPF_FS, "bpf", flags, None);
        if mounted.is_ok() && is_bpf_fs(parent) {
            tracing::info!("mounted a BPF filesystem on {BPF_FS}");
            return Ok(());
        }
    }
    Err(FirewallError::NoBpfFilesystem(path.to_owned()))
}

fn is_bpf_fs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(BPF_FS_MAGIC))
}

#[cfg(test)]
mod tests {
    use super::{interface_of, link_name};

    #[test]
    fn a_vlan_interface_gets_a_name_that_bpffs_takes() {
        assert_eq!(link_name("eth0.100"), "link_eth0:100");
        assert_eq!(interface_of("link_eth0:100".as_ref()).as_deref(), Some("eth0.100"));
        assert_eq!(interface_of("bans_v4".as_ref()), None);
    }
}
