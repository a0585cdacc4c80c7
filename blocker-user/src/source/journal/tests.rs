//! The journal, with a shell script for journalctl.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Journal, Selection, State};
use crate::source::{Position, Progress, Waiter};

struct World {
    dir: tempfile::TempDir,
    journal: Journal,
    waiter: Waiter,
}

impl World {
    /// `past` is what the run does that ends, `future` what the other one does.
    fn new(past: &str, future: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::new(Selection::default());
        let program = dir.path().join("journalctl");
        let script = format!(
            "#!/bin/sh\ncd {}\necho \"$@\" >>asked\ncase \"$*\" in\n*--follow*) {future};;\n\
             *) {past};;\nesac\n",
            dir.path().display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        journal.program = program.display().to_string();
        Self { dir, journal, waiter: Waiter::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Reads until it is done, and gives the messages. It would wait for ever for what does not
    /// come.
    fn until(
        &mut self,
        mut is_done: impl FnMut(Progress, &[String], &Journal) -> bool,
    ) -> Vec<String> {
        let mut found = Vec::new();
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < Duration::from_secs(120), "no end after {found:?}");
            let mut each = |line: &[u8]| {
                let line: serde_json::Value = serde_json::from_slice(line).unwrap();
                found.push(line["MESSAGE"].as_str().unwrap().to_owned());
            };
            let progress = self.journal.read(&mut self.waiter, &mut each);
            if is_done(progress, &found, &self.journal) {
                return found;
            }
            if progress != Progress::More {
                self.waiter.wait().unwrap();
            }
        }
    }

    /// Everything that there was.
    fn past(&mut self) -> Vec<String> {
        self.until(|progress, _, _| progress == Progress::Idle)
    }

    fn lines(&mut self, count: usize) -> Vec<String> {
        self.until(|_, found, _| found.len() >= count)
    }

    fn asked(&self) -> Vec<String> {
        let asked = fs::read_to_string(self.path("asked")).unwrap();
        asked.lines().map(str::to_owned).collect()
    }

    fn child(&self) -> u32 {
        match &self.journal.state {
            State::Running(child, _, _) => child.id(),
            State::Waiting(_) => panic!("no journalctl runs"),
        }
    }
}

/// A command that prints entry number `number`.
fn entry(number: u32) -> String {
    format!(r#"echo '{{"__CURSOR":"i={number};t={number}","MESSAGE":"{number}"}}'"#)
}

fn entries(numbers: &[u32]) -> String {
    numbers.iter().map(|number| entry(*number)).collect::<Vec<_>>().join(";")
}

fn cursor(number: u32) -> Position {
    Position::Cursor(format!("i={number};t={number}"))
}

const STAYS: &str = "; exec sleep 1000";

/// Whether there is such a process, be it a zombie.
fn exists(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

#[test]
fn the_past_comes_first_and_the_future_behind_it() {
    let mut world = World::new(&entries(&[1, 2]), &(entries(&[2, 3]) + STAYS));
    assert_eq!(world.journal.position(), None);
    assert_eq!(world.lines(3), ["1", "2", "3"]);
    assert_eq!(world.journal.position(), Some(cursor(3)));
    let asked = world.asked();
    assert!(asked[0].contains("--since=-") && !asked[0].contains("--follow"), "{asked:?}");
    assert!(asked[1].contains("--cursor=i=2;t=2") && asked[1].contains("--no-tail"), "{asked:?}");
}

#[test]
fn it_is_idle_only_when_the_past_is_over() {
    let wait = "while [ ! -e go ]; do sleep 0.01; done;";
    let mut world = World::new(&format!("{wait}{}", entry(1)), &(entry(1) + STAYS));
    for _ in 0..3 {
        assert_eq!(world.journal.read(&mut world.waiter, &mut |_| ()), Progress::Pending);
    }
    fs::write(world.path("go"), "").unwrap();
    assert_eq!(world.past(), ["1"]);
}

#[test]
fn a_journal_without_entries_is_read_to_its_end_at_once() {
    let mut world = World::new("echo '-- No entries --'", &(entry(1) + STAYS));
    assert_eq!(world.lines(1), ["1"]);
}

#[test]
fn goes_on_behind_the_entry_that_was_read_last() {
    let mut world = World::new(&entries(&[7, 8]), &(entry(8) + STAYS));
    world.journal.resume(cursor(7));
    assert_eq!(world.past(), ["8"]);
    assert!(world.asked()[0].contains("--cursor=i=7;t=7"), "{:?}", world.asked());
}

#[test]
fn goes_on_with_the_oldest_where_that_entry_is_gone() {
    let mut world = World::new(&entries(&[8, 9]), &(entries(&[9, 10]) + STAYS));
    world.journal.resume(cursor(7));
    assert_eq!(world.lines(3), ["8", "9", "10"]);
    // And where nothing is left.
    let mut world = World::new("true", &(entry(8) + STAYS));
    world.journal.resume(cursor(7));
    assert_eq!(world.lines(1), ["8"]);
}

#[test]
fn what_is_no_cursor_is_not_handed_to_journalctl() {
    let mut world = World::new(&entry(1), &(entry(1) + STAYS));
    world.journal.resume(Position::Cursor("--rotate".to_owned()));
    world.journal.resume(Position::Files(Vec::new()));
    assert_eq!(world.past(), ["1"]);
    assert!(world.asked()[0].contains("--since"), "{:?}", world.asked());
}

#[test]
fn a_cursor_that_journalctl_refuses_is_forgotten() {
    let refuses = format!(
        "case \"$*\" in *--cursor=i=7*) echo 'Failed to seek to cursor: Invalid argument' >&2; \
         exit 1;; esac; {}",
        entry(1)
    );
    let mut world = World::new(&refuses, &(entry(1) + STAYS));
    world.journal.resume(cursor(7));
    assert_eq!(world.past(), ["1"]);
}

#[test]
fn a_child_that_dies_is_started_again_where_it_was_and_leaves_no_zombie() {
    // The first run of the future dies in the middle of a line.
    let dies = format!(
        "[ -e died ] || {{ echo $$ >died; {}; printf '{{\"__CUR'; kill -9 $$; }}",
        entries(&[1, 2])
    );
    let past = format!("if [ -e died ]; then {}; else {}; fi", entries(&[2, 3]), entry(1));
    let mut world = World::new(&past, &format!("{dies}; {}{STAYS}", entries(&[3, 4])));
    assert_eq!(world.lines(4), ["1", "2", "3", "4"]);
    let first = fs::read_to_string(world.path("died")).unwrap().trim().parse().unwrap();
    assert_ne!(world.child(), first);
    assert!(!exists(first), "journalctl is a zombie");
}

#[test]
fn nothing_is_left_of_it_when_it_is_stopped() {
    let mut world = World::new("true", "exec sleep 1000");
    world.past();
    let child = world.child();
    assert!(exists(child));
    drop(world.journal);
    assert!(!exists(child));
}

#[test]
fn complaints_are_taken_down_once_and_never_fill_their_pipe() {
    let complains = "i=0; while [ $i -lt 3000 ]; do echo 'No journal files were found.' >&2; \
                     i=$((i+1)); done; echo other >&2";
    let mut world = World::new(complains, &format!("{complains}; {}{STAYS}", entry(1)));
    assert!(world.past().is_empty());
    assert_eq!(
        world.journal.said.first().map(String::as_str),
        Some("No journal files were found.")
    );
    assert!(world.journal.said.len() <= 2, "{:?}", world.journal.said);
    assert_eq!(world.lines(1), ["1"]);
}

#[test]
fn without_journalctl_it_waits() {
    let mut world = World::new("true", "true");
    fs::remove_file(world.path("journalctl")).unwrap();
    world.until(|_, _, journal| journal.is_failing);
    assert_eq!(world.journal.read(&mut world.waiter, &mut |_| ()), Progress::Pending);
}
