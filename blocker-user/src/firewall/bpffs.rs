//! The BPF filesystem below the pins: whether there is one, whether it outlives this process.
//! It is mounted in its usual place where it is missing there, and never over another one:
//! that would hide every pin of the host.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path},
};

use rustix::{
    fs::statfs,
    mount::{MountFlags, mount},
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
    // Its own directory is what doveblock locks and removes; the root belongs to everybody.
    if ancestor == path && !path.parent().is_some_and(is_bpf_fs) {
        return Err(FirewallError::PinDirIsRoot(path.to_owned()));
    }
    Ok(())
}

pub(super) fn is_bpf_fs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(BPF_FS_MAGIC))
}

/// Says so where `path` ends together with this process: its filesystem is seen only in this
/// mount namespace, and goes away with it.
pub(super) fn warn_if_private(path: &Path) {
    if is_private(path) == Some(true) {
        tracing::warn!(
            "the BPF filesystem below {} is seen only in this mount namespace: when this process \
             ends its bans end with it. Mount one outside first (`mount -t bpf bpf {USUAL_PLACE}`), \
             and enter network namespaces with `nsenter --net=…` instead of `ip netns exec`",
            path.display()
        );
    }
}

/// `None` where it cannot be known. Each mount of a BPF filesystem is a filesystem of its own,
/// so the same device number is the same pins.
fn is_private(path: &Path) -> Option<bool> {
    let ours = fs::read_link("/proc/self/ns/mnt").ok()?;
    let first = fs::read_link("/proc/1/ns/mnt").ok()?;
    if ours == first {
        return Some(false);
    }
    let here = fs::metadata(path).ok()?.dev();
    let outside = Path::new("/proc/1/root").join(path.strip_prefix("/").ok()?);
    Some(fs::metadata(outside).map_or(true, |there| there.dev() != here))
}
