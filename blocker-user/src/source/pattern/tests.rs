//! Patterns under everything that happens to the files they lead to.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::PathBuf,
};

use super::{found, logs};
use crate::source::{Progress, Source, Spec, Waiter};

struct World {
    dir: tempfile::TempDir,
    sources: Vec<Source>,
    waiter: Waiter,
}

impl World {
    fn new(pattern: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pattern = dir.path().join(pattern).display().to_string();
        let sources = vec![Source::new(&Spec::Pattern(pattern))];
        // Without inotify nothing tells when to look: every look is one.
        Self { dir, sources, waiter: Waiter::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Every line there is by now.
    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            // What the pipeline does between two waits.
            if let Source::Pattern(pattern) = &mut self.sources[0] {
                pattern.looked = None;
            }
            let mut any = false;
            self.sources.retain_mut(|source| {
                let mut each = |line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
                let progress = source.read(&mut self.waiter, &mut each);
                any |= progress == Progress::More;
                progress != Progress::Ended
            });
            let new = found(&mut self.sources.iter_mut().collect::<Vec<_>>());
            any |= !new.is_empty();
            self.sources.extend(new);
            if !any {
                return lines;
            }
        }
    }
}

#[test]
fn finds_what_is_there_and_what_comes() {
    let mut world = World::new("*/dovecot*.log");
    world.append("a/dovecot.log", "one\n");
    world.append("a/other.log", "other\n");
    assert_eq!(world.lines(), ["one"]);
    world.append("a/dovecot-info.log", "two\n");
    world.append("b/dovecot.log", "three\n");
    assert_eq!(world.lines(), ["two", "three"]);
    world.append("b/dovecot.log", "four\n");
    assert_eq!(world.lines(), ["four"]);
}

#[test]
fn a_rotated_log_is_read_once() {
    let mut world = World::new("mail*");
    world.append("mail.log", "one\n");
    assert_eq!(world.lines(), ["one"]);
    for aside in ["mail.log.1", "mail.log-20261101", "mail-old", "mail.log.1.gz"] {
        fs::rename(world.path("mail.log"), world.path(aside)).unwrap();
        assert!(world.lines().is_empty(), "{aside}");
        world.append("mail.log", "two\n");
        assert_eq!(world.lines(), ["two"], "{aside}");
    }
}

#[test]
fn a_file_put_aside_is_known_when_nobody_reads_it_any_more() {
    let mut world = World::new("mail*");
    world.append("mail.log", "one\n");
    assert_eq!(world.lines(), ["one"]);
    fs::rename(world.path("mail.log"), world.path("mail-old")).unwrap();
    assert!(world.lines().is_empty());
    world.sources.truncate(1);
    assert!(world.lines().is_empty());
    // Another file of that name is another log.
    fs::rename(world.path("mail-old"), world.path("elsewhere")).unwrap();
    world.append("mail-old", "two\n");
    assert_eq!(world.lines(), ["two"]);
}

#[test]
fn parts_of_logs_that_were_there_before_are_not_read() {
    let mut world = World::new("mail.log*");
    for name in ["mail.log", "mail.log.1", "mail.log.2.gz", "mail.log-20261101"] {
        world.append(name, "old\n");
    }
    assert_eq!(world.lines(), ["old"]);
}

#[test]
fn logs_with_a_date_in_their_names_are_followed_from_day_to_day() {
    let mut world = World::new("dovecot-*");
    world.append("dovecot-20261124", "one\n");
    assert_eq!(world.lines(), ["one"]);
    world.append("dovecot-20261125", "two\n");
    assert_eq!(world.lines(), ["two"]);
}

#[test]
fn only_files_that_are_not_hidden_are_logs() {
    let world = World::new("*");
    world.append(".hidden", "");
    world.append("dir/file", "");
    world.append("log", "");
    let pattern = world.path("*").display().to_string();
    assert_eq!(logs(&pattern).unwrap(), [world.path("log")]);
    assert!(logs("/a/***").is_err());
}

#[test]
fn a_new_name_wakes_the_pipeline() {
    let mut world = World::new("*.log");
    assert!(world.lines().is_empty());
    let names = world.waiter.names();
    world.append("a.log", "one\n");
    while world.waiter.names() == names {
        world.waiter.wait().unwrap();
    }
    assert_eq!(world.lines(), ["one"]);
}
