//! The BPF filesystem below the pins: whether there is one, whether it outlives this process.
//! It is mounted in its usual place where it is missing there, and never over another one:
//! that would hide every pin of the host.

use std::{
    fs, iter,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path},
};

use rustix::{
    fs::statfs,
    mount::{MountFlags, mount},
    process::getppid,
};

use super::FirewallError;

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
const USUAL_PLACE: &str = "/sys/fs/bpf";

/// Makes sure that `path`, which need not exist, is a directory below a BPF filesystem.
pub(super) fn require(path: &Path) -> Result<(), FirewallError> {
    let refused = || FirewallError::NoBpfFilesystem(path.to_owned());
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(FirewallError::PinDirNotAbsolute(path.to_owned()));
    }
    if path.starts_with(USUAL_PLACE) && !is_bpf_fs(Path::new(USUAL_PLACE)) {
        // It may simply not be mounted, as on a host without systemd.
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("bpf", USUAL_PLACE, "bpf", flags, None).map_err(|_| refused())?;
        tracing::info!("mounted a BPF filesystem on {USUAL_PLACE}");
    }
    let ancestor = path.ancestors().find(|one| one.exists()).ok_or_else(refused)?;
    if !is_bpf_fs(ancestor) {
        return Err(refused());
    }
    if ancestor == path { require_directory_below(path) } else { Ok(()) }
}

/// Refuses a directory that is not on a BPF filesystem, and the root of one: what is in a
/// directory of its own doveblock locks and removes; the root belongs to everybody.
pub(super) fn require_directory_below(path: &Path) -> Result<(), FirewallError> {
    if !is_bpf_fs(path) {
        return Err(FirewallError::NoBpfFilesystem(path.to_owned()));
    }
    if !is_bpf_fs(&path.join("..")) {
        return Err(FirewallError::PinDirIsRoot(path.to_owned()));
    }
    Ok(())
}

fn is_bpf_fs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(BPF_FS_MAGIC))
}

/// Says so where `path` ends together with this process: its filesystem is seen only in this
/// mount namespace, and goes away with it.
pub(super) fn warn_if_private(path: &Path) {
    if is_private(path) {
        tracing::warn!(
            "the BPF filesystem below {} is seen only in this mount namespace: when this process \
             ends its bans end with it. Mount one outside first (`mount -t bpf bpf {USUAL_PLACE}`), \
             and enter network namespaces with `nsenter --net=…` instead of `ip netns exec`",
            path.display()
        );
    }
}

/// Compared with the first process and with our parent, as far as they let us: a service
/// manager is the one, the shell that entered a network namespace the other. Each mount of a
/// BPF filesystem is a filesystem of its own, so the same device number is the same pins.
pub(super) fn is_private(path: &Path) -> bool {
    let Ok(here) = fs::metadata(path).map(|found| found.dev()) else { return false };
    let ours = fs::read_link("/proc/self/ns/mnt").ok();
    let parent = getppid().map(|parent| parent.as_raw_nonzero().to_string());
    iter::once("1".to_owned()).chain(parent).any(|process| {
        let process = Path::new("/proc").join(process);
        let theirs = fs::read_link(process.join("ns/mnt")).ok();
        if theirs.is_none() || theirs == ours {
            return false;
        }
        let there = process.join("root").join(path.strip_prefix("/").unwrap_or(path));
        fs::metadata(there).map_or(true, |there| there.dev() != here)
    })
}
