//! Names for what outlives a process (directories, pins, namespaces), and its removal.
//!
//! A name holds the process id of its owner. So two runs never meet, and what a killed run
//! left behind is known by its owner being gone.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result};

use crate::process::{command, run};

const PREFIX: &str = "dbk-";
const BPFFS: &str = "/sys/fs/bpf";
const NAMESPACES: &str = "/run/netns";
/// Not `$TMPDIR`: Dovecot's unprivileged processes must reach it, and the path of a Unix
/// socket must stay short.
const DIRS: &str = "/tmp";

/// A name of our own, with a directory. Drop removes everything that bears the name.
#[derive(Debug)]
pub struct Claim {
    name: String,
}

impl Claim {
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}", process::id());
        // From an earlier process with our id, if anything.
        remove(&name);
        let claim = Self { name };
        let dir = claim.dir();
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&dir)
            .with_context(|| format!("making {dir:?}"))?;
        // Whatever the umask was.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        Ok(claim)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Exists, and everybody may enter it.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        Path::new(DIRS).join(&self.name)
    }

    /// Where the pins go. Does not exist until doveblock makes it.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        Path::new(BPFFS).join(&self.name)
    }

    /// A name for the network namespace in that role.
    #[must_use]
    pub fn namespace(&self, role: &str) -> String {
        format!("{}-{role}", self.name)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Removes what runs that are dead have left, and says what that was.
pub fn reap() -> BTreeSet<String> {
    let dead: BTreeSet<String> = [DIRS, BPFFS, NAMESPACES]
        .into_iter()
        .flat_map(names_in)
        .filter_map(|name| {
            let (pid, count) = owner(&name)?;
            let alive = Path::new("/proc").join(pid.to_string()).exists();
            (!alive).then(|| format!("{PREFIX}{pid}-{count}"))
        })
        .collect();
    for name in &dead {
        remove(name);
    }
    dead
}

/// Every trace of the process `pid` in the three places, for tests that nothing is left.
#[must_use]
pub fn of(pid: u32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for place in [DIRS, BPFFS, NAMESPACES] {
        let ours = names_in(place).filter(|name| owner(name).is_some_and(|(of, _)| of == pid));
        found.extend(ours.map(|name| Path::new(place).join(name)));
    }
    found
}

/// `dbk-<pid>-<count>`, with or without a role behind it.
fn owner(name: &str) -> Option<(u32, u32)> {
    let mut parts = name.strip_prefix(PREFIX)?.splitn(3, '-');
    let pid = parts.next()?.parse().ok()?;
    let count = parts.next()?.parse().ok()?;
    Some((pid, count))
}

fn names_in(place: &str) -> impl Iterator<Item = String> + use<> {
    fs::read_dir(place)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
}

/// Pins first: that detaches the program, whatever becomes of the rest.
fn remove(name: &str) {
    report(name, "pins", gone(fs::remove_dir_all(Path::new(BPFFS).join(name))));
    let role = format!("{name}-");
    for namespace in names_in(NAMESPACES).filter(|found| found.starts_with(&role)) {
        let deleted = run(command("ip").args(["netns", "delete", &namespace]));
        report(name, "namespace", deleted.map(drop));
    }
    report(name, "directory", gone(fs::remove_dir_all(Path::new(DIRS).join(name))));
}

fn gone(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Removal goes on whatever fails, and may happen during a panic.
fn report(name: &str, what: &str, result: Result<()>) {
    if let Err(error) = result {
        let _ = io::Write::write_fmt(
            &mut io::stderr(),
            format_args!("removing the {what} of {name}: {error:#}\n"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn a_name_tells_its_owner_and_a_strangers_does_not() {
        assert_eq!(owner("dbk-12-3"), Some((12, 3)));
        assert_eq!(owner("dbk-12-3-server"), Some((12, 3)));
        assert_eq!(owner("dbk-server-3"), None);
        assert_eq!(owner("dbk-12"), None);
        assert_eq!(owner("doveblock"), None);
    }
}
