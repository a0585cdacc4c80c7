//! Hosts of all kinds, with stand-ins for the programs that are asked.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Choice, Host, Log};
use crate::source::Selection;

const ENTRY: &str = "echo '{\"MESSAGE\":\"a\"}'";
const SYSLOG: &str = "echo syslog; echo; echo mail";

struct World {
    dir: tempfile::TempDir,
    host: Host,
}

impl World {
    /// Without doveconf, journalctl and logs.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let host = Host {
            doveconf: path("doveconf"),
            journalctl: path("journalctl"),
            usual: vec![path("mail.log"), path("syslog")],
            limit: Duration::from_secs(20),
        };
        Self { dir, host }
    }

    fn with(self, program: &str, script: &str) -> Self {
        let path = self.path(program);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn with_log(self, name: &str, text: &str) -> Self {
        fs::write(self.path(name), text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn choice(&self) -> Choice {
        self.host.choose(&Selection::default())
    }

    /// Expects the file of this name, and these words in the reason.
    fn expect(&self, name: &str, words: &[&str]) {
        let Choice { log, why } = self.choice();
        assert_eq!(log, Log::File(self.path(name)), "{why}");
        assert!(words.iter().all(|word| why.contains(word)), "{words:?} in {why}");
    }
}

#[test]
fn a_file_of_dovecots_own_comes_before_everything_else() {
    let world = World::new().with("journalctl", ENTRY).with_log("mail.log", "dovecot");
    let log = world.path("dovecot.log");
    let world = world.with("doveconf", &format!("echo {}; echo; echo mail", log.display()));
    world.expect("dovecot.log", &["log_path"]);
    let world = world.with("doveconf", &format!("echo syslog; echo {}; echo mail", log.display()));
    world.expect("dovecot.log", &["info_log_path"]);
}

#[test]
fn dovecot_is_asked_for_three_values() {
    let world = World::new();
    let asked = world.path("asked");
    let world = world.with("doveconf", &format!("echo \"$@\" >{}; {SYSLOG}", asked.display()));
    let _choice = world.choice();
    let expected = "-h log_path info_log_path syslog_facility\n";
    assert_eq!(fs::read_to_string(asked).unwrap(), expected);
}

#[test]
fn the_journal_is_taken_where_it_has_entries() {
    for (doveconf, word) in [
        (SYSLOG, "syslog, facility mail"),
        ("echo /dev/stderr; echo; echo mail", "standard output"),
        ("echo /proc/self/fd/2; echo; echo mail", "standard output"),
        ("exit 89", "exit status: 89"),
    ] {
        let world = World::new().with("doveconf", doveconf).with("journalctl", ENTRY);
        let Choice { log, why } = world.with_log("mail.log", "dovecot").choice();
        assert_eq!(log, Log::Journal, "{why}");
        assert!(why.contains(word) && why.contains("has entries"), "{why}");
    }
}

#[test]
fn without_entries_in_the_journal_the_first_file_that_names_dovecot_is_taken() {
    for (journalctl, word) in [
        ("true", "no entries"),
        ("echo '-- No entries --'", "no entries"),
        ("exit 1", "cannot be asked"),
    ] {
        let world = World::new().with("doveconf", SYSLOG).with("journalctl", journalctl);
        let world = world.with_log("syslog", "mail dovecot: imap-login: x\n");
        world.expect("syslog", &["facility mail", word, "the first that names it"]);
        let world = world.with_log("mail.log", "mail postfix: x\n");
        world.expect("syslog", &["the first that names it"]);
        let world = world.with_log("syslog", "");
        world.expect("mail.log", &["none of the usual files names it"]);
    }
}

#[test]
fn where_there_is_nothing_the_most_usual_is_waited_for() {
    World::new()
        .expect("mail.log", &["doveconf cannot be started", "none of the usual files is there"]);
}

#[test]
fn who_hangs_is_not_waited_for() {
    let mut world = World::new().with("doveconf", "sleep 1000").with("journalctl", "sleep 1000");
    world.host.limit = Duration::from_millis(100);
    world.expect("mail.log", &["doveconf did not answer", "journalctl did not answer"]);
}

#[test]
fn garbage_is_no_answer() {
    for garbage in [
        "true",
        "echo",
        "echo syslog",
        "echo syslog; echo; echo",
        "echo; echo; echo mail",
        "echo relative/path; echo; echo mail",
        "echo 'doveconf: Warning: x'; echo; echo mail",
        "printf '/a\\001b\\n\\nmail\\n'",
        "printf '\\377\\n\\nmail\\n'",
        "yes",
        "yes syslog",
    ] {
        let world = World::new().with("doveconf", garbage);
        world.expect("mail.log", &["Dovecot's configuration does not tell"]);
    }
}

#[test]
fn only_the_end_of_a_long_log_is_looked_through() {
    let world = World::new();
    let path = world.path("mail.log");
    let long = |before: &str, after: &str| {
        format!("{before}{}{after}", "x".repeat(usize::try_from(super::END).unwrap()))
    };
    fs::write(&path, long("dovecot", "")).unwrap();
    assert!(!super::names_dovecot(&path));
    fs::write(&path, long("", "dovecot")).unwrap();
    assert!(super::names_dovecot(&path));
    assert!(!super::names_dovecot(Path::new("/nowhere")));
}
