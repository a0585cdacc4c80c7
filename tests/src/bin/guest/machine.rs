//! From a bare kernel to a machine on which doveblock can run, and its end.

use std::{fs, os::unix::fs::symlink, process::ExitCode, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::process::{command, run};
use rustix::{
    mount::{MountFlags, mount},
    system::{RebootCommand, reboot},
};

/// Kernel modules in the order in which they can be loaded.
const MODULES: &str = "/modules";

/// File system and where it goes. The later ones lie in the earlier.
const MOUNTS: [(&str, &str); 6] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/run"),
    ("tmpfs", "/tmp"),
    ("bpf", "/sys/fs/bpf"),
];

pub(crate) fn prepare() -> Result<()> {
    for (kind, place) in MOUNTS {
        fs::create_dir_all(place).with_context(|| format!("making {place}"))?;
        match mount(kind, place, kind, MountFlags::empty(), None) {
            // The kernel may have mounted it by itself.
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(error) => return Err(error).with_context(|| format!("mounting {place}")),
        }
    }
    symlink("/proc/mounts", "/etc/mtab").context("linking /etc/mtab")?;
    load_modules()?;
    run(command("ip").args(["link", "set", "lo", "up"]))?;
    Ok(())
}

fn load_modules() -> Result<()> {
    let mut files: Vec<_> = fs::read_dir(MODULES)
        .with_context(|| format!("reading {MODULES}"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    ensure!(!files.is_empty(), "{MODULES} is empty");
    for file in files {
        run(command("insmod").arg(&file)).with_context(|| format!("loading {file:?}"))?;
    }
    Ok(())
}

/// Does not come back on a machine that can be switched off.
pub(crate) fn switch_off() -> ExitCode {
    // The console is slow, and what it has not printed yet is lost.
    thread::sleep(Duration::from_millis(200));
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        eprintln!("cannot switch off: {error}");
    }
    ExitCode::FAILURE
}
