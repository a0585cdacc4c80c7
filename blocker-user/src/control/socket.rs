//! The socket's place in the file system: taken once, given back only if it is still ours.
//!
//! Starts and stops take turns by a lock on the directory, so that of two daemons that start
//! at once only one finds the place free, and none removes what the other has just bound.

use std::{
    fs::{self, File},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _, chown},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::unistd::Group;
use rustix::{
    fs::{FlockOperation, Mode, flock},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
    process::umask,
};

/// What `sockaddr_un` has room for, less the NUL at its end.
const MAX_PATH: usize = 107;
/// Only the owner and the group of the socket may connect, from its first moment on.
const NOT_FOR_OTHERS: Mode = Mode::from_raw_mode(0o117);
/// Others hold the lock for milliseconds; who holds it longer is no doveblock.
const TURN_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error(
        "{} cannot be a socket: its path has {} bytes, and at most {MAX_PATH} are possible; name a \
         shorter one with --socket", .0.display(), .0.as_os_str().len()
    )]
    TooLong(PathBuf),
    #[error(
        "cannot listen on {}: it is {what} and no socket; remove it, or name another place with \
         --socket", path.display()
    )]
    NoSocket { path: PathBuf, what: &'static str },
    #[error(
        "cannot listen on {}: another doveblock is running and answers there; --socket names \
         another place", .0.display()
    )]
    InUse(PathBuf),
    #[error(
        "there is no group {0:?} to give the control socket to; make it (groupadd --system {0}), or \
         name another one as socket_group"
    )]
    UnknownGroup(String),
    #[error("cannot listen on {}: {source}; --socket names another place", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl SocketError {
    /// Whether another --socket would help.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}

pub(super) fn check_length(path: &Path) -> Result<(), SocketError> {
    if path.as_os_str().as_bytes().len() > MAX_PATH {
        return Err(SocketError::TooLong(path.to_owned()));
    }
    Ok(())
}

/// A place that is taken. Drop gives it back.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Device and inode of what was bound.
    identity: (u64, u64),
}

impl Place {
    /// Takes the place of a socket that nobody listens on any more, and of nothing else.
    pub(super) fn take(path: &Path) -> Result<(UnixListener, Self), SocketError> {
        check_length(path)?;
        let failed = |source| SocketError::Io { path: path.to_owned(), source };
        let dir = directory(path);
        fs::create_dir_all(dir).map_err(failed)?;
        let _turn = turn(dir).map_err(failed)?;
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(SocketError::NoSocket { path: path.to_owned(), what: kind(&found) });
            }
            Ok(_) if is_listened_on(path).map_err(failed)? => {
                return Err(SocketError::InUse(path.to_owned()));
            }
            Ok(_) => fs::remove_file(path).map_err(failed)?,
        }
        let usual = umask(NOT_FOR_OTHERS);
        let bound = UnixListener::bind(path);
        umask(usual);
        let listener = bound.map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let identity = identity(path).map_err(failed)?;
        Ok((listener, Self { path: path.to_owned(), identity }))
    }

    /// Lets the members of `group` use the socket as well. Where the process may not do that, as
    /// under the packaged unit, fewer can use it than should, and that is said: nobody would be
    /// banned if it stopped the start.
    pub(super) fn give_to(&self, group: &str) -> Result<(), SocketError> {
        let found = Group::from_name(group).ok().flatten();
        let gid = found.ok_or_else(|| SocketError::UnknownGroup(group.to_owned()))?.gid;
        if let Err(error) = chown(&self.path, None, Some(gid.as_raw())) {
            tracing::error!(
                "cannot give {} to the group {group}: {error}; the control socket stays with this \
                 process's own group; with the packaged unit, a drop-in with Group={group} does \
                 it in place of socket_group",
                self.path.display()
            );
        }
        Ok(())
    }

    /// Removes the socket, unless it has been replaced by somebody else's meanwhile.
    pub(super) fn give_back(&self) {
        // Without the lock the check below is still right but for a moment's chance.
        let _turn = turn(directory(&self.path));
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The lock on the directory; it is released with the descriptor.
fn turn(dir: &Path) -> io::Result<File> {
    let dir = File::open(dir)?;
    let end = Instant::now() + TURN_LIMIT;
    loop {
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(dir),
            Err(Errno::WOULDBLOCK) if Instant::now() < end => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(io::Error::other("another process holds the lock on its directory"));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Does not wait for a listener that hangs: one whose queue is full is one as well.
fn is_listened_on(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&probe, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn kind(found: &fs::Metadata) -> &'static str {
    let kind = found.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_file() {
        "a file"
    } else {
        "a device or a pipe"
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, os::unix::net::UnixListener, thread};

    use super::{Place, SocketError};

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        drop(UnixListener::bind(&path).unwrap());
        let (_listener, place) = Place::take(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(Place::take(&path), Err(SocketError::InUse(_))));
        drop(place);
        assert!(!path.exists());
    }

    #[test]
    fn somebody_elses_socket_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let (_old_listener, old) = Place::take(&path).unwrap();
        fs::rename(&path, dir.path().join("moved")).unwrap();
        let (_listener, _new) = Place::take(&path).unwrap();
        drop(old);
        assert!(path.exists(), "the stopping daemon removed the socket of the next one");
    }

    #[test]
    fn of_many_starts_at_once_one_gets_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        for _ in 0..20 {
            drop(UnixListener::bind(&path).unwrap());
            let starts: Vec<_> = (0..8)
                .map(|_| {
                    let path = path.clone();
                    thread::spawn(move || Place::take(&path))
                })
                .collect();
            let taken: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
            assert_eq!(taken.iter().filter(|place| place.is_ok()).count(), 1, "{taken:?}");
        }
    }

    #[test]
    fn what_is_no_socket_stays_and_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "kept").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for (path, what) in
            [(&file, "a file"), (&link, "a symbolic link"), (&dir.path().to_owned(), "a directory")]
        {
            let error = Place::take(path).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(what), "{error}");
        }
        assert_eq!(fs::read_to_string(&link).unwrap(), "kept");
    }

    #[test]
    fn too_long_a_path_is_told_the_limit() {
        let path = std::env::temp_dir().join("x".repeat(120));
        let error = Place::take(&path).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("107"), "{error}");
    }
}
