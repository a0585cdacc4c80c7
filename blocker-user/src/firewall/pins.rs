//! The directory of pins: who may use it, what is in it, and how it goes away.
//!
//! Pins are what keeps enforcement alive without a daemon. The links are held by their pins
//! alone (the daemon closes its descriptors), so removing a link's pin detaches it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use blocker_common::abi::{PROGRAM, map};
use rustix::fs::{FlockOperation, flock};

use super::{FirewallError, bpffs, dispatcher, interface::Interface};

const LINK_PREFIX: &str = "link_";
/// All that is pinned besides links. Each may have a [`next`] and a [`grown`] one beside it.
const NAMES: [&str; 10] = [
    PROGRAM,
    map::BANS_V4,
    map::BANS_V6,
    map::BANS_NET,
    map::ALLOW,
    map::PORTS,
    map::GUARDED,
    map::COUNTERS,
    map::RECENT,
    map::EVENTS,
];

/// The pin directory, held exclusively for as long as this lives. What a start pins goes with
/// it again, unless that was [`kept`](PinDir::keep).
pub(super) struct PinDir {
    path: PathBuf,
    /// Directories that were created just now, outermost first.
    created: Vec<PathBuf>,
    /// Names that were free before, so that what they name now is of this start.
    free: Vec<String>,
    /// Maps whose successors are pinned under the [`next`] name until the start is sure.
    replaced: Vec<&'static str>,
    /// Maps that are being replaced by larger ones, which are pinned under the [`grown`] name
    /// until they have taken their places.
    growing: Vec<&'static str>,
    /// Nothing is taken back any more.
    kept: bool,
    lock: Option<File>,
}

impl PinDir {
    /// Creates the directory where it is missing (mounting the BPF filesystem where that is
    /// missing, too) and takes the lock on it.
    pub(super) fn open(path: &Path) -> Result<Self, FirewallError> {
        bpffs::require(path)?;
        let mut created: Vec<PathBuf> =
            path.ancestors().take_while(|one| !one.exists()).map(Path::to_owned).collect();
        created.reverse();
        let mut pins = Self {
            path: path.to_owned(),
            created,
            free: Vec::new(),
            replaced: Vec::new(),
            growing: Vec::new(),
            kept: false,
            lock: None,
        };
        // Whoever detaches removes the directory, and what is locked then is in nobody's way.
        while !pins.is_ours() {
            fs::create_dir_all(path)
                .map_err(FirewallError::io(format!("create {}", path.display())))?;
            pins.lock = Some(lock(path)?);
        }
        bpffs::warn_if_private(path);
        for name in NAMES.into_iter().flat_map(|name| [next(name), grown(name)]) {
            // Of a daemon that was killed. If its program is attached it holds what it needs.
            let _there_is_none = fs::remove_file(path.join(name));
        }
        pins.free = all_names().filter(|name| !is_there(&path.join(name))).collect();
        Ok(pins)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn program(&self) -> PathBuf {
        self.path.join(PROGRAM)
    }

    /// Whether something was pinned under this name before this start.
    pub(super) fn had(&self, name: &str) -> bool {
        !self.free.iter().any(|free| free == name)
    }

    /// Where the program is pinned before it is renamed into its place.
    pub(super) fn next_program(&self) -> PathBuf {
        self.path.join(next(PROGRAM))
    }

    /// Where the map `name` is that this daemon uses, or is about to.
    pub(super) fn map(&self, name: &str) -> PathBuf {
        match name {
            name if self.growing.contains(&name) => self.path.join(grown(name)),
            name if self.replaced.contains(&name) => self.path.join(next(name)),
            name => self.path.join(name),
        }
    }

    /// The maps that are not where their names say.
    pub(super) fn elsewhere(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        self.replaced.iter().chain(&self.growing).map(|&name| (name, self.map(name)))
    }

    /// `names` get successors, which take their places in [`PinDir::keep`].
    pub(super) fn replace(&mut self, names: Vec<&'static str>) {
        self.replaced = names;
    }

    /// `names` get larger successors, which take their places in [`PinDir::grown`].
    pub(super) fn grow(&mut self, names: Vec<&'static str>) {
        self.growing = names;
    }

    /// The larger maps take their places. Before a start is sure these are among what it may
    /// have to take back.
    pub(super) fn grown(&mut self) {
        for name in std::mem::take(&mut self.growing) {
            let is_ours = self.kept || self.free.iter().any(|free| free == name);
            if !is_ours && !self.replaced.contains(&name) {
                self.replaced.push(name);
            }
            Self::rename(&self.path.join(grown(name)), &self.map(name));
        }
    }

    /// There will be no larger maps.
    pub(super) fn not_grown(&mut self) {
        for name in self.growing.drain(..) {
            let _not_made_yet = fs::remove_file(self.path.join(grown(name)));
        }
    }

    pub(super) fn link(&self, interface: &str) -> PathBuf {
        self.path.join(link_name(interface))
    }

    /// Whether the maps are still pinned: `detach` takes them away under a running daemon, and
    /// then another one may pin its own.
    pub(super) fn in_use(&self) -> bool {
        self.is_ours() && is_there(&self.path.join(map::BANS_V4))
    }

    /// Whether the directory of that name is the one that is locked.
    fn is_ours(&self) -> bool {
        let locked = self.lock.as_ref().and_then(|lock| lock.metadata().ok());
        locked.is_some_and(|locked| {
            let id = |of: &fs::Metadata| (of.dev(), of.ino());
            fs::metadata(&self.path).is_ok_and(|found| id(&found) == id(&locked))
        })
    }

    /// Removes every pin, as [`detach`] does. While the lock is held no other daemon can begin
    /// with pins that are about to go. `false` where none of them is ours any more.
    pub(super) fn remove(&self) -> Result<bool, FirewallError> {
        if !self.is_ours() {
            return Ok(false);
        }
        remove(&self.path).map(|_| true)
    }

    /// From here on the pins stay when this is dropped. A crash in between loses nothing: what
    /// has not taken its place yet is made anew by the next start.
    pub(super) fn keep(&mut self) {
        for name in std::mem::take(&mut self.replaced) {
            Self::rename(&self.path.join(next(name)), &self.path.join(name));
        }
        self.created.clear();
        self.free.clear();
        self.kept = true;
    }

    /// It is too late to fail: the program runs with what is at `from`.
    fn rename(from: &Path, to: &Path) {
        if let Err(error) = fs::rename(from, to) {
            tracing::error!(
                "{} cannot be renamed over the one before it ({error}): the bans from now on will \
                 be lost at the next start",
                from.display()
            );
        }
    }
}

impl Drop for PinDir {
    /// Takes no descriptor: running out of them is one way a start fails.
    fn drop(&mut self) {
        // Detached by somebody meanwhile, what is there now is another one's.
        if !self.is_ours() {
            self.free.clear();
        }
        for name in &self.free {
            let _never_pinned = fs::remove_file(self.path.join(name));
        }
        drop(self.lock.take());
        for directory in self.created.iter().rev() {
            let _in_use_by_others = fs::remove_dir(directory);
        }
    }
}

fn lock(path: &Path) -> Result<File, FirewallError> {
    let directory =
        File::open(path).map_err(FirewallError::io(format!("open {}", path.display())))?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(directory),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(FirewallError::PinsInUse(path.to_owned())),
        Err(error) => Err(FirewallError::io(format!("lock {}", path.display()))(error.into())),
    }
}

/// Where every map of ours may be pinned below `path`.
pub(super) fn maps(path: &Path) -> impl Iterator<Item = PathBuf> {
    let names = NAMES.into_iter().filter(|&name| name != PROGRAM);
    names.flat_map(|name| [name.to_owned(), next(name), grown(name)]).map(|name| path.join(name))
}

/// What is to take the place of `name`.
fn next(name: &str) -> String {
    format!("{name}_next")
}

/// What has more room than `name` and is to take its place.
fn grown(name: &str) -> String {
    format!("{name}_grown")
}

/// What ought to be pinned in `path`, besides links, and is not.
pub(super) fn missing(path: &Path) -> Vec<&'static str> {
    NAMES.into_iter().filter(|name| !is_there(&path.join(name))).collect()
}

fn all_names() -> impl Iterator<Item = String> {
    NAMES.into_iter().flat_map(|name| [name.to_owned(), next(name), grown(name)])
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The pinned links below `path`: interface as the name of the pin has it, and the pin. The
/// name alone decides, and what is no file is no pin.
pub(super) fn links(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut links = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if let Some(interface) = interface_of(&entry.file_name())
            && entry.file_type()?.is_file()
        {
            links.push((interface, entry.path()));
        }
    }
    links.sort();
    Ok(links)
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
    let lock = match File::open(path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot_detach(path)(error)),
    };
    bpffs::require_directory_below(path)?;
    let daemon_running = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err();
    let interfaces = remove(path)?;
    Ok(Some(Detached { interfaces, daemon_running }))
}

/// Says from where.
fn remove(path: &Path) -> Result<Vec<String>, FirewallError> {
    let links = links(path).map_err(cannot_detach(path))?;
    let left = dispatcher::leave_all(path);
    let guarded = links.iter().filter_map(|(name, _)| Interface::named(name).ok()).collect();
    remove_all(path, &links)?;
    wait_for_the_kernel(guarded);
    Ok(links.into_iter().map(|(interface, _)| interface).chain(left).collect())
}

fn cannot_detach(path: &Path) -> impl FnOnce(io::Error) -> FirewallError {
    FirewallError::io(format!("detach the pins in {}", path.display()))
}

/// The kernel frees a link whose pin is removed a moment later. Who is told that packets pass
/// should be able to rely on it; the wait is bounded because somebody else may hold the link.
fn wait_for_the_kernel(mut guarded: Vec<Interface>) {
    for _ in 0..100 {
        guarded.retain(|before| {
            let now = Interface::with_index(before.index);
            before.xdp.is_some() && now.is_some_and(|now| now.xdp == before.xdp)
        });
        if guarded.is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Removes what doveblock pins and nothing else; the directory too once it is empty. Links
/// go first: from then on nothing is dropped, whatever happens to the rest. What cannot be
/// removed is reported after everything else is gone.
fn remove_all(path: &Path, links: &[(String, PathBuf)]) -> Result<(), FirewallError> {
    let mut failed = None;
    let pins = links.iter().map(|(_, pin)| pin.clone());
    for pin in pins.chain(all_names().map(|name| path.join(name))) {
        match fs::remove_file(&pin) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let action = format!("remove {} (all other pins are removed)", pin.display());
                failed.get_or_insert(FirewallError::io(action)(error));
            }
            _ => {}
        }
    }
    match fs::remove_dir(path) {
        // As a service the daemon owns the directory, and not the one that it is in.
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::DirectoryNotEmpty
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::ResourceBusy
            ) =>
        {
            let action = format!("remove {}", path.display());
            failed.get_or_insert(FirewallError::io(action)(error));
        }
        _ => {}
    }
    failed.map_or(Ok(()), Err)
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
