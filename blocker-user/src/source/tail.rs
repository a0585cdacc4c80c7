//! A log file that grows, is renamed and made anew, cut back, or is not there yet.
//!
//! The path is what counts, not the file: when another file takes the path, the old one is
//! read on for a while (its writer may still hold it open), then the new one from its start.
//! Nothing that happens to a file ends this: what cannot be read is said once and tried again.

mod file;
mod mark;
mod part;
mod resume;

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{FilePosition, Position, Progress, watch::Waiter};
use file::LogFile;
use part::Part;
use resume::{Resumed, copy, resume};

pub(super) use file::FileId;

const CHUNK: usize = 64 * 1024;
/// How long a file that lost its path is read on after its last line. Dovecot keeps writing
/// to it until it is told to reopen its log.
const RETIREMENT: Duration = Duration::from_secs(60);

pub struct Tail {
    path: PathBuf,
    /// Where an earlier life had got to, until it is looked for.
    before: Option<Vec<FilePosition>>,
    /// How far the last file was read that is not read any more. While nothing of the next was,
    /// this tells where reading is to go on: an empty file cannot be known again.
    done: Option<FilePosition>,
    /// What is still to be read of what was written before the current file.
    backlog: VecDeque<Part>,
    current: Option<LogFile>,
    retired: Option<(LogFile, Instant)>,
    /// Why it cannot be read, as last said.
    trouble: Option<io::ErrorKind>,
    chunk: Box<[u8]>,
}

impl Tail {
    pub(super) fn new(path: PathBuf) -> Self {
        let chunk = vec![0; CHUNK].into_boxed_slice();
        let (before, done, backlog) = (None, None, VecDeque::new());
        Self { path, before, done, backlog, current: None, retired: None, trouble: None, chunk }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this file is being read, whatever it is called by now.
    pub(super) fn holds(&self, id: FileId) -> bool {
        let retired = self.retired.as_ref().map(|(file, _)| file);
        self.current.iter().chain(retired).any(|file| file.id() == id)
    }

    pub(super) fn resume(&mut self, position: Position) {
        if let Position::Files(files) = position {
            self.before = Some(files);
        }
    }

    /// Of everything that has been begun and may not have been read to its end. What is newer
    /// than the last one has not been read at all, so it need not be named, and can be renamed
    /// or packed before it is.
    pub(super) fn position(&self) -> Option<Position> {
        if let Some(before) = &self.before {
            return Some(Position::Files(before.clone()));
        }
        let backlog = self.backlog.iter().map(Part::position);
        let retired = self.retired.iter().map(|(old, _)| old.log_position());
        let all = backlog.chain(retired).chain(self.current.iter().map(LogFile::log_position));
        let mut files: Vec<FilePosition> = all.collect();
        let first = files.first().copied();
        files.retain(|file| file.offset > 0);
        if files.is_empty() {
            files.extend(self.done.or(first));
        }
        (!files.is_empty()).then_some(Position::Files(files))
    }

    /// Of the file that has the path. What is left of those before it is not counted.
    pub(super) fn behind(&self) -> u64 {
        self.current.as_ref().map_or(0, LogFile::behind)
    }

    pub(super) fn read(&mut self, waiter: &mut Waiter, each: &mut dyn FnMut(&[u8])) -> Progress {
        if let Some(files) = self.before.take() {
            self.go_on(waiter, &files);
        }
        if !self.backlog.is_empty() {
            self.read_backlog(each);
            return Progress::More;
        }
        if let Some((old, heard)) = &mut self.retired {
            match old.read(&mut self.chunk, each) {
                Ok(Progress::More) => {
                    *heard = Instant::now();
                    return Progress::More;
                }
                Ok(_) if heard.elapsed() <= RETIREMENT => {}
                // Its time is over, or it cannot be read any more.
                Ok(_) | Err(_) => self.drop_retired(waiter),
            }
        }
        let read = self.current.as_mut().map(|file| file.read(&mut self.chunk, each));
        if let Some(file) = &mut self.current
            && let Some(cut) = file.was_cut()
            && let Some(part) = copy(&self.path, &cut)
        {
            // What had not been read is in there.
            file.forget_cut();
            // It is newer than what is retired, which was read a moment ago.
            self.drop_retired(waiter);
            self.backlog.push_back(part);
            return Progress::More;
        }
        match read {
            Some(Ok(Progress::More)) => Progress::More,
            Some(Err(error)) => {
                // The next look opens it anew and goes on where this one ended.
                self.explain(&error);
                Progress::Idle
            }
            Some(Ok(_)) | None => self.follow_path(waiter),
        }
    }

    /// Goes on in the files that were being read, the current one among them if it still is one.
    fn go_on(&mut self, waiter: &mut Waiter, files: &[FilePosition]) {
        let Resumed { backlog, current } = resume(&self.path, files);
        self.backlog = backlog.into();
        if let Some(file) = current {
            self.current = Some(file.watched(waiter.watch_file(&self.path)));
            self.watch_parent(waiter);
        } else if !self.backlog.is_empty() {
            // Opened before the others are read, which can take longer than until the next one.
            self.follow_path(waiter);
        }
    }

    fn read_backlog(&mut self, each: &mut dyn FnMut(&[u8])) {
        let Some(part) = self.backlog.front_mut() else { return };
        match part.read(&mut self.chunk, each) {
            Ok(Progress::More) => return,
            Ok(_) => {}
            Err(error) => tracing::error!(
                "{}: a file from before it cannot be read to its end: {error}",
                self.path.display()
            ),
        }
        let Some(part) = self.backlog.pop_front() else { return };
        self.finish(part.position());
        // Whoever writes to the last of them has perhaps not heard of the new file yet.
        if let Part::Plain(file) = part
            && self.backlog.is_empty()
            && self.retired.is_none()
        {
            self.retired = Some((file, Instant::now()));
        }
    }

    fn finish(&mut self, position: FilePosition) {
        if position.offset > 0 {
            self.done = Some(position);
        }
    }

    /// Looks whether the path leads to another file by now.
    fn follow_path(&mut self, waiter: &mut Waiter) -> Progress {
        let id = match FileId::at(&self.path) {
            Ok(id) => id,
            Err(error) => return self.wait_for_it(waiter, &error),
        };
        if self.current.as_ref().is_some_and(|file| file.id() == id) {
            return Progress::Idle;
        }
        if self.retired.as_ref().is_some_and(|(old, _)| old.id() == id) {
            return self.take_back();
        }
        // Watched before it is read for the first time, so that nothing falls between.
        let watch = waiter.watch_file(&self.path);
        self.watch_parent(waiter);
        let file = match LogFile::open(&self.path, watch) {
            Ok(file) => file,
            Err(error) => return self.wait_for_it(waiter, &error),
        };
        if self.trouble.take().is_some() {
            tracing::info!("{} is there now: reading it", self.path.display());
        }
        if let Some(old) = self.current.take() {
            tracing::info!("{} is a new file: reading on there", self.path.display());
            self.drop_retired(waiter);
            self.retired = Some((old, Instant::now()));
        }
        self.current = Some(file);
        Progress::More
    }

    /// The file before this one has its name again: it was read up to where it was read.
    fn take_back(&mut self) -> Progress {
        if let Some((old, _)) = self.retired.take() {
            tracing::info!("{} is the file before again: reading on there", self.path.display());
            let other = self.current.replace(old);
            self.retired = other.map(|file| (file, Instant::now()));
        }
        Progress::More
    }

    /// What it holds of a line that was never finished goes with it: half a line can name
    /// half an address.
    fn drop_retired(&mut self, waiter: &mut Waiter) {
        let Some((old, _)) = self.retired.take() else { return };
        self.finish(old.log_position());
        if let Some(watch) = old.into_watch() {
            waiter.unwatch(watch);
        }
    }

    fn wait_for_it(&mut self, waiter: &mut Waiter, error: &io::Error) -> Progress {
        self.watch_parent(waiter);
        self.explain(error);
        Progress::Idle
    }

    fn explain(&mut self, error: &io::Error) {
        if self.trouble.replace(error.kind()) != Some(error.kind()) {
            tracing::warn!("{} cannot be read ({error}): waiting for it", self.path.display());
        }
    }

    fn watch_parent(&self, waiter: &mut Waiter) {
        let watch = |path: &Path, waiter: &mut Waiter| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            waiter.watch_dir(parent.unwrap_or(".".as_ref()));
        };
        watch(&self.path, waiter);
        // Where a link leads to, files come and go in another directory.
        if let Ok(true) = self.path.symlink_metadata().map(|found| found.is_symlink())
            && let Ok(target) = self.path.canonicalize()
        {
            watch(&target, waiter);
        }
    }
}

#[cfg(test)]
mod tests;
