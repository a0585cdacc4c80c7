//! A log under everything that happens to logs.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use super::Tail;
use crate::source::{Progress, Waiter};

struct World {
    dir: tempfile::TempDir,
    tail: Tail,
    waiter: Waiter,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tail = Tail::new(dir.path().join("mail.log"));
        Self { tail, dir, waiter: Waiter::new().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mail.log")
    }

    /// Every line there is by now.
    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut each = |line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
        while self.tail.read(&mut self.waiter, &mut each) == Progress::More {}
        lines
    }
}

fn append(path: &Path, text: &str) -> File {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn reads_what_is_there_and_what_is_appended() {
    let mut world = World::new();
    append(&world.path(), "one\ntwo\nthr");
    assert_eq!(world.lines(), ["one", "two"]);
    append(&world.path(), "ee\n");
    assert_eq!(world.lines(), ["three"]);
    assert_eq!(world.lines(), [""; 0]);
}

#[test]
fn waits_for_a_log_that_is_not_there() {
    let mut world = World::new();
    assert_eq!(world.lines(), [""; 0]);
    append(&world.path(), "one\n");
    assert_eq!(world.lines(), ["one"]);
}

#[test]
fn follows_the_path_to_a_new_file_and_hears_the_old_one_out() {
    let mut world = World::new();
    let mut old = append(&world.path(), "one\n");
    assert_eq!(world.lines(), ["one"]);
    fs::rename(world.path(), world.dir.path().join("mail.log.1")).unwrap();
    old.write_all(b"two\n").unwrap();
    assert_eq!(world.lines(), ["two"]);
    append(&world.path(), "three\n");
    assert_eq!(world.lines(), ["three"]);
    old.write_all(b"late\n").unwrap();
    append(&world.path(), "four\n");
    assert_eq!(world.lines(), ["late", "four"]);
}

#[test]
fn a_line_that_its_writer_never_finished_is_dropped_with_its_file() {
    let mut world = World::new();
    append(&world.path(), "one\npartial");
    assert_eq!(world.lines(), ["one"]);
    for (next, name) in ["two", "three"].into_iter().zip(["mail.log.1", "mail.log.2"]) {
        fs::rename(world.path(), world.dir.path().join(name)).unwrap();
        append(&world.path(), &format!("{next}\n"));
        assert_eq!(world.lines(), [next]);
    }
}

#[test]
fn a_file_that_gets_its_name_back_is_read_on_where_it_was() {
    let mut world = World::new();
    let aside = world.dir.path().join("mail.log.1");
    append(&world.path(), "one\n");
    assert_eq!(world.lines(), ["one"]);
    fs::rename(world.path(), &aside).unwrap();
    append(&world.path(), "two\n");
    assert_eq!(world.lines(), ["two"]);
    fs::rename(&aside, world.path()).unwrap();
    append(&world.path(), "three\n");
    assert_eq!(world.lines(), ["three"]);
}

#[test]
fn what_is_no_regular_file_is_waited_out_and_never_waited_in() {
    let mut world = World::new();
    fs::create_dir(world.path()).unwrap();
    assert_eq!(world.lines(), [""; 0]);
    fs::remove_dir(world.path()).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.path(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(world.lines(), [""; 0]);
    fs::remove_file(world.path()).unwrap();
    append(&world.path(), "one\n");
    assert_eq!(world.lines(), ["one"]);
}

#[test]
fn starts_over_when_the_file_was_cut_back_and_has_grown_past_the_old_end() {
    let mut world = World::new();
    let file = append(&world.path(), "one\ntwo\n");
    assert_eq!(world.lines(), ["one", "two"]);
    file.set_len(0).unwrap();
    append(&world.path(), "a1\na2\nlong3\nb4\n");
    assert_eq!(world.lines(), ["a1", "a2", "long3", "b4"]);
}

#[test]
fn a_writer_that_does_not_append_leaves_a_hole_and_no_line_is_lost() {
    let mut world = World::new();
    let mut file = File::create(world.path()).unwrap();
    file.write_all(b"one\ntwo\n").unwrap();
    assert_eq!(world.lines(), ["one", "two"]);
    file.set_len(0).unwrap();
    file.write_all(b"three\n").unwrap();
    assert_eq!(world.lines(), ["three"]);
}

#[test]
fn starts_over_when_the_file_is_cut_back() {
    let mut world = World::new();
    let file = append(&world.path(), "one\ntwo\n");
    assert_eq!(world.lines(), ["one", "two"]);
    file.set_len(0).unwrap();
    append(&world.path(), "three\n");
    assert_eq!(world.lines(), ["three"]);
}

#[test]
fn what_was_not_read_before_it_was_cut_back_is_read_from_the_copy() {
    let mut world = World::new();
    let file = append(&world.path(), "one\n");
    assert_eq!(world.lines(), ["one"]);
    append(&world.path(), "two\nthr");
    append(&world.path(), "ee\n");
    fs::copy(world.path(), world.dir.path().join("mail.log.1")).unwrap();
    file.set_len(0).unwrap();
    append(&world.path(), "4\n");
    assert_eq!(world.lines(), ["two", "three", "4"]);
    assert_eq!(world.lines(), [""; 0]);
}

#[test]
fn garbage_is_lines_like_others_and_long_ones_are_bounded() {
    let mut world = World::new();
    let path = world.path();
    let mut file = append(&path, "");
    file.write_all(b"\xff\xfe\0x\n\x80\n").unwrap();
    file.write_all(&vec![b'y'; 1 << 20]).unwrap();
    assert_eq!(world.lines(), ["\u{fffd}\u{fffd}\0x", "\u{fffd}"]);
    file.write_all(b"\nafter\n").unwrap();
    let lines = world.lines();
    assert_eq!((lines[0].len(), lines[1].as_str()), (64 * 1024, "after"));
}

#[test]
fn a_link_is_followed_to_whatever_it_leads_to() {
    let mut world = World::new();
    let place = |name: &str| world.dir.path().join(name);
    let (one, two, link) = (place("one"), place("two"), place("mail.log"));
    append(&one, "one\n");
    append(&two, "two\n");
    std::os::unix::fs::symlink(&one, &link).unwrap();
    assert_eq!(world.lines(), ["one"]);
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&two, &link).unwrap();
    assert_eq!(world.lines(), ["two"]);
}

#[test]
fn another_file_with_the_same_inode_is_another_file() {
    let mut world = World::new();
    append(&world.path(), "one\n");
    assert_eq!(world.lines(), ["one"]);
    // While it is read, its inode is taken; as after a failed read it is not.
    for (text, expected) in [("two\n", "two"), ("longer\nthan\nbefore\n", "longer")] {
        fs::remove_file(world.path()).unwrap();
        append(&world.path(), text);
        assert_eq!(world.lines()[0], expected);
    }
}

#[test]
fn wakes_up_when_the_log_grows() {
    let mut world = World::new();
    append(&world.path(), "one\n");
    world.lines();
    let mut found = Vec::new();
    append(&world.path(), "two\n");
    while found.is_empty() {
        world.waiter.wait().unwrap();
        found = world.lines();
    }
    assert_eq!(found, ["two"]);
}
