//! `doveblock simulate` and `doveblock anonymize` as they are typed. What they find is tested in
//! the crate `tests`.

#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

const CORPORA: [&[u8]; 2] =
    [include_bytes!("corpus/dovecot-2.3.19.tsv"), include_bytes!("corpus/dovecot-2.4.1.tsv")];

/// A directory of logs, in which everything runs.
struct Logs(TempDir);

impl Logs {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let logs = Self(TempDir::new().expect("a directory for the logs"));
        for (name, content) in files {
            fs::write(logs.path(name), content).expect("a log to be written");
        }
        logs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doveblock"));
        command.args(words).current_dir(self.0.path()).env("TZ", "UTC").stdin(Stdio::null());
        command.output().expect("doveblock to start")
    }

    fn report(&self, words: &[&str]) -> Value {
        let words = [&["simulate", "--format", "json", "--no-sweep"], words].concat();
        let ended = self.run(&words);
        assert!(ended.status.success(), "{ended:?}");
        serde_json::from_slice(&ended.stdout).expect("JSON")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// From 192.0.2.`host`, at a second of 17 h of 24 November 2026.
fn guess(second: u32, host: u8) -> String {
    let (minute, second) = (second / 60, second % 60);
    format!(
        "Nov 24 17:{minute:02}:{second:02} mail dovecot: imap-login: Disconnected (auth failed, 1 \
         attempts in 0 secs): user=<bob@example.org>, method=PLAIN, rip=192.0.2.{host}, \
         lip=192.0.2.100\n"
    )
}

fn probe(second: u32, host: u8) -> String {
    let (minute, second) = (second / 60, second % 60);
    format!(
        "Nov 24 17:{minute:02}:{second:02} mail dovecot: imap-login: Disconnected (no auth attempts \
         in 0 secs): user=<>, rip=192.0.2.{host}, lip=192.0.2.100\n"
    )
}

const LOGIN: &str = "Nov 24 17:30:00 mail dovecot: imap-login: Login: user=<bob>, method=PLAIN, \
    rip=192.0.2.50, lip=192.0.2.100, mpid=1, TLS\n";

/// The lines of real daemons.
fn corpus() -> Vec<Vec<u8>> {
    let lines = CORPORA.iter().flat_map(|corpus| corpus.split(|byte| *byte == b'\n'));
    let logged = lines.filter(|line| !line.starts_with(b"#")).filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'\t')?;
        line.get(at + 1..).map(<[u8]>::to_vec)
    });
    logged.collect()
}

#[test]
fn a_report_fits_a_terminal_and_says_what_was_tried() {
    let log: String =
        (0..40).map(|n| guess(10 * n, 7)).chain((0..40).map(|n| probe(400 + n, 8))).collect();
    let log = format!("{log}{LOGIN}");
    let logs = Logs::new(&[("mail.log", log.as_bytes())]);
    let ended = logs.run(&["simulate", "mail.log"]);
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    let out = text(&ended.stdout);
    for part in [
        "81 lines: 80 failures, 1 logins, 3 clients\n",
        "mode normal, maxretry 5, findtime 10m, bantime 10m\n",
        "nobody who logs in would have been banned\n",
        "192.0.2.7",
        "[dovecot]\nmode = normal\n",
        "Neither --config nor --fail2ban was given",
    ] {
        assert!(out.contains(part), "{part:?} is not in\n{out}");
    }
    let widest = out.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{widest:?}\n{out}");
}

/// The strictest setting would look best.
#[test]
fn without_logins_nothing_is_recommended() {
    let log: String = (0..40).map(|n| guess(10 * n, 7)).collect();
    let logs = Logs::new(&[("mail.log", log.as_bytes())]);
    let out = text(&logs.run(&["simulate", "mail.log"]).stdout);
    assert!(!out.contains("Recommended") && out.contains("nothing is recommended."), "{out}");
}

#[test]
fn all_bans_are_printed_where_that_is_asked_for() {
    let log: String = (0..30_u8).flat_map(|host| (0..5).map(move |n| guess(n, host))).collect();
    let logs = Logs::new(&[("mail.log", log.as_bytes())]);
    let some = text(&logs.run(&["simulate", "mail.log", "--no-sweep"]).stdout);
    let all = text(&logs.run(&["simulate", "mail.log", "--no-sweep", "--all-bans"]).stdout);
    assert!(some.contains("and 20 more\n"), "{some}");
    let bans =
        |out: &str| out.lines().filter(|line| line.contains("2026-11-24T17:00:04Z  10m")).count();
    assert_eq!((bans(&some), bans(&all)), (10, 30), "{all}");
}

/// Of each mode, as if it alone had been asked for.
#[test]
fn a_pattern_of_the_admins_counts_in_normal_mode_what_no_rule_of_it_counts() {
    let log: String = (0..5).map(|n| probe(n, 7)).collect();
    let conf =
        "[dovecot]\nfailregex = %(known/failregex)s\n    ^.* \\(no auth attempts.*rip=<HOST>,\n";
    let logs = Logs::new(&[("mail.log", log.as_bytes()), ("d.conf", conf.as_bytes())]);
    for mode in ["normal", "aggressive"] {
        let report = logs.report(&["mail.log", "--config", "d.conf", "--mode", mode]);
        assert_eq!(report["read"]["failures"], 5, "{report:#}");
        for side in [&report["modes"][0], &report["modes"][1]] {
            assert_eq!(side["effect"]["bans"], 1, "{report:#}");
        }
        let cause = if mode == "normal" { "failregex" } else { "no-auth-attempts" };
        assert_eq!(report["bans"][0]["cause"], cause, "{report:#}");
    }
}

#[test]
fn of_an_anonymized_log_the_same_is_said_as_of_the_log() {
    let corpus = corpus();
    let log = corpus.join(&b'\n');
    let logs = Logs::new(&[("mail.log", &log)]);
    let ended = logs.run(&["anonymize", "mail.log", "--key", "a test"]);
    assert!(ended.status.success(), "{ended:?}");
    let anonymized: Vec<&[u8]> =
        ended.stdout.trim_ascii_end().split(|byte| *byte == b'\n').collect();
    assert_eq!(anonymized.len(), corpus.len());
    let kept = anonymized.iter().filter(|line| !line.ends_with(b"left out")).count();
    assert!(kept > 1600, "{kept}: {}", text(&ended.stderr));
    // What cannot be shown is left out of both.
    let both = |(line, shown): (&Vec<u8>, &&[u8])| {
        if shown.ends_with(b"left out") { shown.to_vec() } else { line.clone() }
    };
    let comparable: Vec<Vec<u8>> = corpus.iter().zip(&anonymized).map(both).collect();
    fs::write(logs.path("plain.log"), comparable.join(&b'\n')).expect("a log to be written");
    fs::write(logs.path("shown.log"), anonymized.join(&b'\n')).expect("a log to be written");
    let words = |log| [log, "--mode", "aggressive", "--maxretry", "30", "--findtime", "1h"];
    let (plain, shown) = (logs.report(&words("plain.log")), logs.report(&words("shown.log")));
    let key = ["--anonymize", "--anonymize-key", "a test"];
    let replaced = logs.report(&[&words("plain.log")[..], &key].concat());
    assert!(plain["effect"]["bans"].as_u64() > Some(5), "{plain:#}");
    for same in ["effect", "modes", "rules", "hours", "series"] {
        assert_eq!(plain[same], shown[same], "{same}");
    }
    // By the same words, the addresses are those of a report that is anonymized.
    assert_eq!(replaced["bans"], shown["bans"]);
    assert_eq!(replaced["anonymized"], true);
    let out = text(&ended.stdout);
    for secret in ["alice", "mallory", "192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:"] {
        assert!(!out.contains(secret), "{secret}");
        assert!(!replaced.to_string().contains(secret), "{secret} in {replaced:#}");
    }
}

#[test]
fn what_is_wrong_is_said_and_tells_in_the_exit_code() {
    let logs = Logs::new(&[("mail.log", b"")]);
    for verb in ["simulate", "anonymize"] {
        let ended = logs.run(&[verb, "none.log"]);
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(text(&ended.stderr).contains("none.log"), "{ended:?}");
        let ended = logs.run(&[verb, "mail.log", "--timezone", "Mars/Olympus"]);
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    }
    let ended = logs.run(&["simulate", "mail.log", "--html", "none/x.html"]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(text(&ended.stderr).contains("cannot write none/x.html"), "{ended:?}");
}
