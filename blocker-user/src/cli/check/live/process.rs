//! The daemon's process, as far as `/proc` lets us look.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::{Gid, Group, Uid, User};

/// `CAP_DAC_OVERRIDE` and `CAP_DAC_READ_SEARCH` of linux/capability.h: with either, permissions
/// keep nobody from reading.
const READS_ALL: u64 = 1 << 1 | 1 << 2;

/// Of the program.
const NAME: &str = "doveblock";

pub(super) struct Process {
    dir: PathBuf,
}

/// As whom a process opens files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) capabilities: u64,
}

impl Process {
    /// Nothing where the number is of something else: a daemon in a container has numbers of
    /// its own.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let dir = Path::new("/proc").join(pid.to_string());
        let name = fs::read_to_string(dir.join("comm")).ok()?;
        (name.trim() == NAME).then_some(Self { dir })
    }

    /// Whether the program that it runs is no longer the one on disk.
    pub(super) fn is_replaced(&self) -> Option<bool> {
        let program = fs::read_link(self.dir.join("exe")).ok()?;
        Some(program.to_string_lossy().ends_with(" (deleted)"))
    }

    /// Whether its network namespace is ours.
    pub(super) fn shares_network(&self) -> Option<bool> {
        let theirs = fs::read_link(self.dir.join("ns/net")).ok()?;
        Some(theirs == fs::read_link("/proc/thread-self/ns/net").ok()?)
    }

    /// Whether it has the file of this device and number open.
    pub(super) fn has_open(&self, dev: u64, ino: u64) -> Option<bool> {
        let open = fs::read_dir(self.dir.join("fd")).ok()?;
        let mut files = open.filter_map(|entry| fs::metadata(entry.ok()?.path()).ok());
        Some(files.any(|file| (file.dev(), file.ino()) == (dev, ino)))
    }

    /// A path as it understands it.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        match path.is_absolute() {
            true => path.to_owned(),
            // Through the link, which whoever may not look cannot follow.
            false => self.dir.join("cwd").join(path),
        }
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        Identity::read(&fs::read_to_string(self.dir.join("status")).ok()?)
    }
}

impl Identity {
    /// Of `/proc/PID/status`.
    fn read(status: &str) -> Option<Self> {
        let values = |name: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
        };
        // Real, effective, saved, file system.
        let last = |name: &str| values(name)?.split_whitespace().last()?.parse().ok();
        let more = values("Groups")?.split_whitespace();
        let groups = more.map(str::parse).collect::<Result<Vec<u32>, _>>().ok()?;
        Some(Self {
            uid: last("Uid")?,
            groups: [vec![last("Gid")?], groups].concat(),
            capabilities: u64::from_str_radix(values("CapEff")?, 16).ok()?,
        })
    }

    /// Whether permissions let it open `path` to read. ACLs are not looked at: with one, the
    /// bits of the group are the most that anybody has.
    pub(super) fn may_read(&self, path: &Path) -> io::Result<bool> {
        const READ: u32 = 4;
        const SEARCH: u32 = 1;
        let path = fs::canonicalize(path)?;
        for directory in path.ancestors().skip(1) {
            if !self.has(&fs::metadata(directory)?, SEARCH) {
                return Ok(false);
            }
        }
        Ok(self.has(&fs::metadata(&path)?, READ))
    }

    fn has(&self, file: &fs::Metadata, right: u32) -> bool {
        let shift = match () {
            () if self.capabilities & READS_ALL != 0 => return true,
            () if file.uid() == self.uid => 6,
            () if self.groups.contains(&file.gid()) => 3,
            () => 0,
        };
        file.mode() >> shift & right != 0
    }

    /// For people.
    pub(super) fn name(&self) -> String {
        let user = User::from_uid(Uid::from_raw(self.uid)).ok().flatten();
        user.map_or_else(|| format!("uid {}", self.uid), |user| user.name)
    }
}

/// Who owns a file, for people: user and group.
pub(super) fn owner(path: &Path) -> Option<(String, String)> {
    let found = fs::metadata(path).ok()?;
    let user = User::from_uid(Uid::from_raw(found.uid())).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(found.gid())).ok().flatten();
    Some((
        user.map_or_else(|| found.uid().to_string(), |user| user.name),
        group.map_or_else(|| found.gid().to_string(), |group| group.name),
    ))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    };

    use super::Identity;

    const STATUS: &str = "Name:\tdoveblock\nUid:\t0\t0\t0\t998\nGid:\t997\t997\t997\t997\n\
                          Groups:\t4 101 \nCapEff:\t000000c000001000\n";

    #[test]
    fn a_process_is_known_by_its_status() {
        let identity = Identity::read(STATUS).unwrap();
        let expected =
            Identity { uid: 998, groups: vec![997, 4, 101], capabilities: 0xc0_0000_1000 };
        assert_eq!(identity, expected);
        assert_eq!(Identity::read("Name:\tdoveblock\n"), None);
    }

    #[test]
    fn permissions_let_some_read_and_others_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let log = dir.path().join("mail.log");
        fs::write(&log, "").unwrap();
        fs::set_permissions(&log, Permissions::from_mode(0o640)).unwrap();
        let found = fs::metadata(&log).unwrap();
        let may = |uid, group, capabilities| {
            let identity = Identity { uid, groups: vec![group], capabilities };
            identity.may_read(&log).unwrap()
        };
        let (nobody, nogroup) = (4_000_000_001, 4_000_000_002);
        assert!(may(found.uid(), nogroup, 0));
        assert!(may(nobody, found.gid(), 0));
        assert!(!may(nobody, nogroup, 0));
        assert!(may(nobody, nogroup, 1 << 2), "CAP_DAC_READ_SEARCH");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(!may(nobody, found.gid(), 0), "a directory that is closed");
    }
}
