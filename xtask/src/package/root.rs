//! A clean Debian to install the packages in: bootstrapped once, never changed by the tests,
//! which put a layer of their own over it.
use std::fs;

use anyhow::{Context as _, Result};

use crate::{cmd, layout, vm};

const SUITE: &str = "trixie";
/// systemd to be the first process, and what the package depends on.
const INCLUDED: &str = "systemd-sysv,adduser";

pub(super) fn prepare() -> Result<()> {
    let root = layout::package().join("debian");
    let stamp = layout::package().join("debian.stamp");
    let wanted = format!("{SUITE} {INCLUDED}\n");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    if root.exists() {
        // Of an attempt that was interrupted.
        fs::remove_dir_all(&root)
            .with_context(|| format!("failed to remove {}", root.display()))?;
    }
    eprintln!("==> bootstrapping Debian {SUITE} into {} (a minute, once)", root.display());
    let debootstrap = cmd::find("debootstrap", &["/usr/sbin".into(), "/sbin".into()]);
    let mut debootstrap = cmd::command(debootstrap.unwrap_or_else(|| "debootstrap".into()));
    debootstrap.args(["--variant=minbase", &format!("--include={INCLUDED}"), SUITE]);
    cmd::run(debootstrap.arg(&root).arg(vm::mirror()?))?;
    fs::write(&stamp, wanted).with_context(|| format!("failed to write {}", stamp.display()))
}
