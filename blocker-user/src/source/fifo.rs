//! A FIFO as a log, which syslog daemons can write into. It ends when its last writer closes
//! it, and goes on with the next one.

use std::{
    fs::OpenOptions,
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{Progress, Waiter, pipe::Pipe};

pub struct Fifo {
    path: PathBuf,
    pipe: Option<Pipe>,
    /// Why it cannot be read, as last said.
    trouble: Option<io::ErrorKind>,
}

impl Fifo {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, pipe: None, trouble: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn read(&mut self, waiter: &mut Waiter, each: &mut dyn FnMut(&[u8])) -> Progress {
        if self.pipe.is_none() {
            self.open(waiter);
        }
        let Some(pipe) = &mut self.pipe else { return Progress::Idle };
        match pipe.read(each) {
            Ok(Progress::Ended) => {
                // Whoever was between two opens keeps what he has written: the new end is there
                // before the old one goes. It has had no writer, so that it does not end at once.
                let old = self.pipe.take();
                self.open(waiter);
                if let Some(old) = old {
                    waiter.forget(&old.descriptor());
                }
                Progress::Idle
            }
            Ok(progress) => progress,
            Err(error) => {
                self.explain(&error);
                Progress::Idle
            }
        }
    }

    fn open(&mut self, waiter: &mut Waiter) {
        match open(&self.path) {
            Ok(pipe) => {
                waiter.also(&pipe.descriptor());
                self.pipe = Some(pipe);
                if self.trouble.take().is_some() {
                    tracing::info!("{} can be read now", self.path.display());
                }
            }
            Err(error) => self.explain(&error),
        }
    }

    fn explain(&mut self, error: &io::Error) {
        if self.trouble.replace(error.kind()) != Some(error.kind()) {
            tracing::warn!("{} cannot be read ({error}): waiting for it", self.path.display());
        }
    }
}

/// Without a wait for a writer.
fn open(path: &Path) -> io::Result<Pipe> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no FIFO any more"));
    }
    Pipe::new(OwnedFd::from(file))
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write as _};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::Fifo;
    use crate::source::{Progress, Waiter};

    #[test]
    fn outlives_its_writers_and_waits_for_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (mut fifo, mut waiter) = (Fifo::new(path.clone()), Waiter::new().unwrap());
        let mut lines = Vec::new();
        let mut read_all = |fifo: &mut Fifo, waiter: &mut Waiter| {
            let mut each = |line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
            while fifo.read(waiter, &mut each) == Progress::More {}
            std::mem::take(&mut lines)
        };
        assert!(read_all(&mut fifo, &mut waiter).is_empty());
        for text in ["one", "two"] {
            let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
            writeln!(writer, "{text}").unwrap();
            write!(writer, "half").unwrap();
            drop(writer);
            assert_eq!(read_all(&mut fifo, &mut waiter), [text]);
            assert!(read_all(&mut fifo, &mut waiter).is_empty());
        }
    }
}
