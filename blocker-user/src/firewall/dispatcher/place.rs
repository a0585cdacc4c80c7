//! Where libxdp keeps what belongs to its dispatchers: a directory each, named after interface
//! and program, and in it two pins a component. Whoever changes anything holds a lock meanwhile.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

const USUAL_BPFFS: &str = "/sys/fs/bpf";
/// The dispatcher itself, as libxdp installs it.
const OBJECT: &str = "xdp-dispatcher.o";

/// The variable is libxdp's.
pub(super) fn root() -> PathBuf {
    let bpffs = env::var_os("LIBXDP_BPFFS").unwrap_or_else(|| USUAL_BPFFS.into());
    Path::new(&bpffs).join("xdp")
}

/// Nobody else changes a dispatcher while this lives. Libxdp's tools hold it for a moment; who
/// holds it for longer must not hold up the bans.
pub(super) fn lock() -> io::Result<File> {
    const ATTEMPTS: u32 = 10;
    const PAUSE: Duration = Duration::from_millis(20);
    let path = root();
    let root = File::open(&path)?;
    for _ in 0..ATTEMPTS {
        match flock(&root, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => thread::sleep(PAUSE),
            result => return Ok(result.map(|()| root)?),
        }
    }
    Err(io::Error::other(format!("another process holds the lock on {}", path.display())))
}

pub(super) fn directory(interface: u32, program: u32) -> PathBuf {
    root().join(format!("dispatch-{interface}-{program}"))
}

/// Every directory: the interface, the program and where it is.
pub(super) fn directories() -> Vec<(u32, u32, PathBuf)> {
    let entries = fs::read_dir(root()).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let (interface, program) = numbers(&entry.file_name())?;
        Some((interface, program, entry.path()))
    });
    named.collect()
}

fn numbers(name: &OsStr) -> Option<(u32, u32)> {
    let (interface, program) = name.to_str()?.strip_prefix("dispatch-")?.split_once('-')?;
    Some((interface.parse().ok()?, program.parse().ok()?))
}

pub(super) fn program_pin(directory: &Path, slot: usize) -> PathBuf {
    directory.join(format!("prog{slot}-prog"))
}

pub(super) fn link_pin(directory: &Path, slot: usize) -> PathBuf {
    directory.join(format!("prog{slot}-link"))
}

/// Removes a directory and its pins, after which its programs run no more.
pub(super) fn remove(directory: &Path) {
    if let Err(error) = fs::remove_dir_all(directory) {
        tracing::warn!("left over: {} ({error})", directory.display());
    }
}

/// The dispatcher of this host's libxdp, so that it is of the version that its tools know.
pub(super) fn object() -> Option<PathBuf> {
    let named = env::var_os("LIBXDP_OBJECT_PATH").map(PathBuf::from);
    let usual = ["/usr/local/lib/bpf", "/usr/lib64/bpf", "/usr/lib/bpf"].map(PathBuf::from);
    // Debian has one for each architecture: /usr/lib/x86_64-linux-gnu/bpf
    let by_architecture = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let by_architecture = by_architecture.map(|entry| entry.path().join("bpf"));
    named
        .into_iter()
        .chain(usual)
        .chain(by_architecture)
        .map(|directory| directory.join(OBJECT))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn a_directory_tells_its_interface_and_its_program() {
        assert_eq!(numbers("dispatch-3-7782".as_ref()), Some((3, 7782)));
        for other in ["dispatch-3", "dispatch-eth0-1", "xsk-3-1", ""] {
            assert_eq!(numbers(other.as_ref()), None);
        }
    }
}
