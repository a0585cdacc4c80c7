//! `check`, and what `run` makes of a configuration: exit codes and messages of the binary.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A directory with `d.conf` in it.
fn config(text: &str) -> io::Result<(TempDir, PathBuf)> {
    let dir = TempDir::new()?;
    let file = dir.path().join("d.conf");
    fs::write(&file, text)?;
    Ok((dir, file))
}

fn doveblock(args: &[&str], file: &Path) -> io::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doveblock"));
    command.args(args).arg("--config").arg(file).stdin(Stdio::null()).output()
}

/// Standard output and standard error, the exit code being `code`.
fn said(output: io::Result<Output>, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ended =
        output.map(|output| (output.status.code(), text(&output.stdout), text(&output.stderr)));
    let (found, out, err) = ended.unwrap_or_else(|error| (None, String::new(), error.to_string()));
    assert_eq!(found, Some(code), "{out}\n{err}");
    (out, err)
}

/// `run` without a network or a kernel program, to the end of its empty standard input.
fn run(dir: &Path, args: &[&str], file: &Path) -> io::Result<Output> {
    let socket = dir.join("s");
    let socket = socket.to_string_lossy();
    doveblock(&[&["run", "--dry-run", "--socket", &socket], args].concat(), file)
}

fn option<'j>(report: &'j Value, name: &str) -> Option<&'j Value> {
    report["options"].as_array()?.iter().find(|option| option["name"] == name)
}

#[test]
fn check_shows_what_holds_and_where_it_comes_from() {
    let (_dir, file) = config("[dovecot]\nmode = aggressive\nmaxretry = 3\n").unwrap();
    let (out, err) = said(doveblock(&["check"], &file), 0);
    let line = |name: &str| out.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line("mode").contains("aggressive") && line("mode").ends_with("d.conf:2"), "{out}");
    assert!(line("bantime ").ends_with("default"), "{out}");
    assert_eq!(err, "");

    let (out, _) = said(doveblock(&["check", "--format", "json"], &file), 0);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(option(&report, "maxretry").unwrap()["value"], "3");
    assert!(option(&report, "maxretry").unwrap()["from"].as_str().unwrap().ends_with("d.conf:3"));
    assert_eq!(option(&report, "findtime").unwrap()["from"], "default");
}

#[test]
fn check_names_file_line_option_and_the_nearest_one() {
    let (_dir, file) = config("[dovecot]\nmaxrety = 3\nfindtime = soon\n").unwrap();
    let (out, err) = said(doveblock(&["check"], &file), 2);
    assert_eq!(out, "");
    for word in ["2 errors", "d.conf:2", "maxrety", "did you mean maxretry?", "d.conf:3", "soon"] {
        assert!(err.contains(word), "no {word:?} in\n{err}");
    }
    let (out, _) = said(doveblock(&["check", "--format", "json"], &file), 2);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["ok"], report["faults"].as_array().unwrap().len()), (&false.into(), 2));
    let typo =
        report["faults"].as_array().unwrap().iter().find(|fault| fault["line"] == 2).unwrap();
    assert_eq!((&typo["option"], &typo["severity"]), (&"maxrety".into(), &"error".into()));
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let (_, err) = said(doveblock(&["check"], Path::new("/nowhere/d.conf")), 2);
    assert!(err.contains("/nowhere/d.conf"), "{err}");
    let (dir, _) = config("").unwrap();
    said(run(dir.path(), &["--log", "-"], Path::new("/nowhere/d.conf")), 2);
}

#[test]
fn run_starts_nothing_with_a_fault_in_its_configuration() {
    let (dir, file) = config("[dovecot]\nmode = extra\nbantime = never\n").unwrap();
    let (_, err) = said(run(dir.path(), &["--log", "-"], &file), 2);
    for word in ["d.conf:2", "extra", "d.conf:3", "never"] {
        assert!(err.contains(word), "no {word:?} in\n{err}");
    }
    assert!(!err.contains("ready"), "{err}");
    let (dir, file) = config("[dovecot]\nenabled = no\n").unwrap();
    let (_, err) = said(run(dir.path(), &["--log", "-"], &file), 2);
    assert!(err.contains("enabled = false"), "{err}");
}

#[test]
fn a_flag_overrides_the_file_and_the_lack_of_one_does_not() {
    let (dir, file) = config("[dovecot]\nmode = aggressive\nlogpath = /nowhere\n").unwrap();
    let (_, err) = said(run(dir.path(), &["--log", "-"], &file), 0);
    assert!(err.contains("ready: aggressive mode, reading standard input"), "{err}");
    let (_, err) = said(run(dir.path(), &["--log", "-", "--mode", "normal"], &file), 0);
    assert!(err.contains("ready: normal mode"), "{err}");
}

#[test]
fn the_journal_is_read_unless_a_log_is_named() {
    let (dir, file) = config("[dovecot]\nbackend = systemd\nlogpath = /a\n").unwrap();
    let logs = |journalctl: bool| {
        let bin = dir.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        if journalctl {
            fs::write(bin.join("journalctl"), "").unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_doveblock"));
        command.args(["check", "--config"]).arg(&file).env("PATH", bin).output()
    };
    let (_, err) = said(logs(false), 2);
    assert!(err.contains("backend = systemd") && err.contains("journalctl"), "{err}");
    let (out, _) = said(logs(true), 0);
    assert!(out.contains("logs: journal (_SYSTEMD_UNIT=dovecot.service) (backend"), "{out}");
    said(run(dir.path(), &["--log", "-"], &file), 0);
}

#[test]
fn without_a_log_it_is_looked_for_and_the_reason_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, file) = config("").unwrap();
    let doveconf = dir.path().join("doveconf");
    let log = dir.path().join("dovecot.log");
    let script = format!("#!/bin/sh\necho {}; echo; echo mail\n", log.display());
    fs::write(&doveconf, script).unwrap();
    fs::set_permissions(&doveconf, fs::Permissions::from_mode(0o755)).unwrap();
    let check = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doveblock"));
        command.arg("check").args(more).arg("--config").arg(&file).env("PATH", dir.path()).output()
    };
    let (out, _) = said(check(&[]), 0);
    let told = format!("logs: {} (Dovecot writes it, by log_path", log.display());
    assert!(out.contains(&told), "{out}");
    let (out, _) = said(check(&["--format", "json"]), 0);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["logs"]["names"][0], log.display().to_string());
    assert!(report["logs"]["why"].as_str().unwrap().contains("log_path"));
}

#[test]
fn standard_input_has_several_names_and_ends_the_daemon() {
    let (dir, file) = config("").unwrap();
    for name in ["-", "/dev/stdin", "/proc/self/fd/0"] {
        let (_, err) = said(run(dir.path(), &["--log", name], &file), 0);
        assert!(err.contains("reading standard input") && err.contains("stopped"), "{err}");
    }
}

#[test]
fn what_has_no_effect_yet_is_said() {
    let (dir, file) = config("[dovecot]\non_stop = detach\nbanaction = nftables\n").unwrap();
    let (_, err) = said(run(dir.path(), &["--log", "-"], &file), 0);
    assert!(err.contains("banaction") && !err.contains("on_stop"), "{err}");
}

#[test]
fn a_name_in_ignoreip_is_looked_up_and_may_be_missing() {
    let (dir, file) = config("[dovecot]\nignoreip = localhost no-such-host.invalid\n").unwrap();
    let (_, err) = said(run(dir.path(), &["--log", "-"], &file), 0);
    assert!(err.contains("ready"), "{err}");
}

#[test]
fn an_address_is_spared_for_its_name() {
    let log = "imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<a>, method=PLAIN, \
               rip=127.0.0.1, lip=127.0.0.1\n";
    let bans = |ignoreip: &str| {
        let text = format!("[dovecot]\nignoreself = no\nmaxretry = 3\nignoreip = {ignoreip}\n");
        let (dir, file) = config(&text).unwrap();
        let path = dir.path().join("mail.log");
        fs::write(&path, log.repeat(5)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_doveblock"));
        command.args(["run", "--dry-run", "--log", "-", "--socket"]).arg(dir.path().join("s"));
        command.arg("--config").arg(file).stdin(fs::File::open(path).unwrap());
        let (_, err) = said(command.output(), 0);
        err.contains("ban 127.0.0.1")
    };
    assert!(bans("192.0.2.7"), "the log is one that bans");
    assert!(!bans("localhost"));
}

#[test]
fn a_jail_local_with_a_mode_works_verbatim() {
    let dir = TempDir::new().unwrap();
    let stock = "[DEFAULT]\nmode = normal\nenabled = false\nfilter = %(__name__)s[mode=%(mode)s]\n\
                 action = x\n[dovecot]\nlogpath = /var/log/m\n";
    fs::write(dir.path().join("jail.conf"), stock).unwrap();
    fs::write(dir.path().join("jail.local"), "[dovecot]\nmode = aggressive\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_doveblock"));
    command.args(["run", "--dry-run", "--log", "-", "--socket"]).arg(dir.path().join("s"));
    let output = command.arg("--fail2ban").arg(dir.path()).stdin(Stdio::null()).output();
    let (_, err) = said(output, 0);
    assert!(err.contains("ready: aggressive mode"), "{err}");
    assert_eq!(err.matches("action").count(), 1, "{err}");
}
