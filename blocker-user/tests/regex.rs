//! `doveblock regex` as it is typed: what it prints, where, and how it exits.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up fails")]

use std::{
    fs,
    io::{Read as _, Write as _},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// A directory of logs, in which `doveblock regex` runs.
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

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doveblock"));
        command.arg("regex").args(words).current_dir(self.0.path()).env("TZ", "UTC");
        command.stdin(Stdio::null());
        command
    }

    fn regex(&self, words: &[&str]) -> Ended {
        Ended::from(&self.command(words).output().expect("doveblock to start"))
    }

    fn regex_of(&self, input: &[u8], words: &[&str]) -> Ended {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("doveblock to start");
        let mut stdin = child.stdin.take().expect("its input");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let ended = child.wait_with_output().expect("doveblock to end");
        // It may have ended without reading everything.
        let _unread = writer.join().expect("the writer to end");
        Ended::from(&ended)
    }
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<&Output> for Ended {
    fn from(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ended {
    /// The addresses of the matched lines, in order, of `--format json`.
    fn addresses(&self) -> Vec<String> {
        let line = |line: &str| -> serde_json::Value {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        let lines: Vec<_> = self.out.lines().map(line).collect();
        for (number, line) in (1..).zip(&lines) {
            assert_eq!(line["line"], serde_json::json!(number), "{line}");
        }
        let ips = lines.iter().filter_map(|line| line["ip"].as_str());
        ips.map(str::to_owned).collect()
    }

    fn has(&self, text: &str) -> bool {
        self.out.contains(text)
    }
}

/// A probe from 192.0.2.`host`, `host` minutes past five.
fn probe(host: u8) -> String {
    let minute = host % 60;
    format!(
        "Nov 24 17:{minute:02}:00 mail dovecot: imap-login: Disconnected: Connection closed (no auth \
         attempts in 2 secs): user=<>, rip=192.0.2.{host}, lip=192.0.2.100, session=<s>\n"
    )
}

/// A guess from 192.0.2.`host`, as rsyslog writes it with all its digits.
fn guess(host: u8) -> String {
    format!(
        "2026-11-24T17:{host:02}:00.5+00:00 mail dovecot: imap-login: Aborted login (auth failed, 1 \
         attempts): user=<a>, method=PLAIN, rip=192.0.2.{host}, lip=192.0.2.100\n"
    )
}

const LOGIN: &str = "Nov 24 17:00:00 mail dovecot: imap-login: Login: user=<bob>, method=PLAIN, \
     rip=192.0.2.50, lip=192.0.2.100, mpid=1, TLS, session=<s>\n";
const POSTFIX: &str = "Nov 24 17:00:00 mail postfix/smtpd[9]: connect from unknown[192.0.2.51]\n";

fn gzip(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).expect("room in memory");
    packer.finish().expect("room in memory")
}

fn zstd(text: &str) -> Vec<u8> {
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    ruzstd::encoding::compress_to_vec(text.as_bytes(), level)
}

fn xz(text: &str) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut packer = lzma_rust2::XzWriter::new(Vec::new(), options).expect("room in memory");
    packer.write_all(text.as_bytes()).expect("room in memory");
    packer.finish().expect("room in memory")
}

const AGGRESSIVE: &str = "dovecot[mode=aggressive]";

#[test]
fn totals_rules_formats_and_addresses_are_printed_as_admins_know_them() {
    let log =
        [probe(1), guess(2), guess(2), LOGIN.into(), POSTFIX.into(), "noise\n".into()].concat();
    let logs = Logs::new(&[("mail.log", log.as_bytes())]);
    let ended = logs.regex(&["mail.log", AGGRESSIVE]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    for part in [
        "filter    dovecot[mode=aggressive]\n",
        "logs      mail.log\n",
        "period    2026-11-24T17:00:00Z to 2026-11-24T17:02:00.5Z\n",
        "lines     6: 3 matched, 3 missed (1 of them logins), 0 ignored\n",
        "        3  Nov 24 17:00:00\n",
        "        2  2026-11-24T17:00:00[.123456][+01:00]\n",
        "        1  no known timestamp",
        "        2  auth-failed\n",
        "        1  no-auth-attempts\n",
        "        2  192.0.2.2\n",
        "        1  192.0.2.1\n",
        "\nmissed lines\n",
        "           noise\n",
    ] {
        assert!(ended.has(part), "{part:?} is not in\n{}", ended.out);
    }
    let normal = logs.regex(&["mail.log"]);
    assert!(normal.has("lines     6: 2 matched, 4 missed"), "{}", normal.out);
}

#[test]
fn lines_are_printed_by_their_fate() {
    let log = [probe(1), guess(2), LOGIN.into(), POSTFIX.into()].concat();
    let logs = Logs::new(&[("mail.log", log.as_bytes())]);
    let printed = |options: &[&str]| {
        let ended =
            logs.regex(&[&["mail.log", AGGRESSIVE, r"rip=192\.0\.2\.1,"], options].concat());
        let fates = ended.out.lines().filter_map(|line| {
            let (fate, line) = line.split_once("  ")?;
            ["matched", "missed", "ignored"].contains(&fate).then(|| {
                let line = line.trim_start();
                format!("{} {}", fate.trim(), line.get(..20).unwrap_or(line).trim_end())
            })
        });
        (fates.collect::<Vec<_>>(), ended)
    };
    assert_eq!(printed(&["--print-all-matched"]).0, ["matched auth-failed"]);
    assert_eq!(printed(&["--print-all-ignored"]).0, ["ignored Nov 24 17:01:00 mail"]);
    let missed = "missed Nov 24 17:00:00 mail";
    assert_eq!(printed(&["--print-all-missed"]).0, [missed, missed]);
    let (none, ended) = printed(&["--print-no-missed", "--print-no-ignored"]);
    assert!(none.is_empty() && !ended.has("\nmissed lines\n"), "{}", ended.out);
    assert!(ended.has("lines     4: 1 matched, 2 missed (1 of them logins), 1 ignored"));
    assert!(printed(&[]).1.has("\nignored lines\n"));
}

#[test]
fn many_missed_lines_are_only_counted() {
    let logs = Logs::new(&[("mail.log", POSTFIX.repeat(21).as_bytes())]);
    let ended = logs.regex(&["mail.log"]);
    assert!(ended.has("21 lines missed: --print-all-missed prints them"), "{}", ended.out);
    assert!(!ended.has("postfix"), "{}", ended.out);
}

#[test]
fn json_is_one_object_a_line_and_nothing_else() {
    let logs = Logs::new(&[("mail.log", [POSTFIX, &probe(7), "\n"].concat().as_bytes())]);
    let ended = logs.regex(&["mail.log", AGGRESSIVE, "--format", "json"]);
    let lines: Vec<&str> = ended.out.lines().collect();
    let nothing = |number| {
        format!(
            r#"{{"line":{number},"matched":false,"ip":null,"rule":null,"mode":"aggressive","time":null}}"#
        )
    };
    assert_eq!(lines.len(), 3, "{}", ended.out);
    assert_eq!(lines[0], nothing(1));
    assert_eq!(lines[2], nothing(3));
    assert_eq!(
        lines[1],
        r#"{"line":2,"matched":true,"ip":"192.0.2.7","rule":"no-auth-attempts","mode":"aggressive","time":"2026-11-24T17:07:00Z"}"#
    );
}

#[test]
fn a_rotated_set_is_read_oldest_first_whatever_it_is_packed_with() {
    let logs = Logs::new(&[
        ("mail.log", probe(7).as_bytes()),
        ("mail.log.1", probe(6).as_bytes()),
        ("mail.log.2.gz", &gzip(&probe(5))),
        ("mail.log.10.xz", &xz(&probe(4))),
        ("mail.log.11", &zstd(&probe(3))),
        ("mail.log-20261108.zst", &zstd(&probe(2))),
        ("mail.log-20261101.gz", &[gzip(&probe(0)), gzip(&probe(1))].concat()),
    ]);
    let expected: Vec<String> = (0..8).map(|host| format!("192.0.2.{host}")).collect();
    // As a shell expands mail.log*.
    let glob = [
        "mail.log",
        "mail.log-20261101.gz",
        "mail.log-20261108.zst",
        "mail.log.1",
        "mail.log.10.xz",
        "mail.log.11",
        "mail.log.2.gz",
    ];
    for threads in ["1", "3"] {
        let options = [AGGRESSIVE, "--format", "json", "--threads", threads];
        let ended = logs.regex(&[&glob[..], &options].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.addresses(), expected);
    }
}

#[test]
fn several_threads_print_what_one_prints() {
    let log: String = (0..60_u8).cycle().take(20_000).map(probe).collect();
    let logs = Logs::new(&[("mail.log", [log.as_str(), LOGIN].concat().as_bytes())]);
    for options in [&["--format", "json"][..], &["--print-all-matched"], &[]] {
        let of = |threads| {
            logs.regex(&[&["mail.log", AGGRESSIVE, "--threads", threads], options].concat()).out
        };
        assert!(of("1") == of("4"), "{options:?} differs");
    }
}

#[test]
fn what_precedes_the_damage_of_an_archive_is_judged_and_the_exit_code_says_so() {
    let text: String = (0..60).cycle().take(5_000).map(probe).collect();
    let text = text.replace("session=<s>", "session=<AAAAAAAAAADAAAIH>");
    let mut whole = gzip(&text);
    whole.truncate(whole.len() / 2);
    let logs = Logs::new(&[("mail.log.1.gz", &whole), ("mail.log", probe(99).as_bytes())]);
    for threads in ["1", "3"] {
        let ended = logs.regex(&["mail.log.1.gz", "mail.log", AGGRESSIVE, "-j", threads, "-v"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("mail.log.1.gz is damaged or ends early"), "{}", ended.err);
        assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
        assert!(ended.has(" matched, 0 missed"), "a line was judged in part:\n{}", ended.out);
        assert!(ended.has("  192.0.2.99\n") && ended.has("  192.0.2.3\n"), "{}", ended.out);
    }
}

#[test]
fn a_log_can_be_standard_input_or_a_line_in_quotes() {
    let logs = Logs::new(&[]);
    for input in [probe(3).into_bytes(), gzip(&probe(3))] {
        let ended = logs.regex_of(&input, &["-", AGGRESSIVE, "--format", "json"]);
        assert_eq!(ended.addresses(), ["192.0.2.3"]);
    }
    let ended = logs.regex(&[probe(4).trim(), AGGRESSIVE, "--format", "json"]);
    assert_eq!(ended.addresses(), ["192.0.2.4"]);
    let ended = logs.regex(&["not a line of any log", AGGRESSIVE]);
    assert!(ended.has("lines     1: 0 matched, 1 missed"), "{}", ended.out);
}

#[test]
fn options_of_fail2ban_regex_are_taken_or_answered() {
    let logs = Logs::new(&[("mail.log", probe(1).as_bytes())]);
    let taken = [
        &["-v"][..],
        &["--verbosity=2"],
        &["--VD"],
        &["-e", "utf-8"],
        &["--usedns=no"],
        &["-r"],
        &["-L", "1"],
        &["--no-check-all"],
        &["--print-no-missed"],
        &["--TZ", "Europe/Berlin"],
    ];
    for option in taken {
        let ended = logs.regex(&[&["mail.log", AGGRESSIVE], option].concat());
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{option:?}");
        assert!(ended.has("1: 1 matched"), "{option:?}");
    }
    let answered = [
        (&["-d", "%Y"][..], "--datepattern"),
        (&["-m", "_COMM=dovecot"], "journalctl"),
        (&["-l", "debug"], "--verbose"),
        (&["-c", "/etc/fail2ban"], "leave them out, or FILTER"),
        (&["-o", "ip"], "--format json"),
        (&["-D"], "--debuggex"),
        (&["-t"], "leave them out"),
        (&["-L", "3"], "one line"),
        (&["-e", "utf-16"], "iconv"),
        (&["--usedns=yes"], "--usedns=no"),
        (&["--TZ=Nowhere"], "Europe/Berlin"),
    ];
    for (option, remedy) in answered {
        let ended = logs.regex(&[&["mail.log", AGGRESSIVE], option].concat());
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{option:?}");
        assert!(ended.err.contains(remedy), "{option:?}: {}", ended.err);
    }
    for option in ["-V", "--version"] {
        let ended = logs.regex(&[option]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{option}");
        assert!(ended.has(env!("CARGO_PKG_VERSION")), "{option}: {}", ended.out);
    }
    let with_logtype = logs.regex(&["mail.log", "dovecot[mode=aggressive, logtype=journal]"]);
    assert!(with_logtype.has("1: 1 matched"), "{}", with_logtype.err);
    let verbose = logs.regex(&["mail.log", AGGRESSIVE, "-v"]);
    assert!(verbose.has("        0  2026-11-24T17:00:00"), "{}", verbose.out);
    let berlin = logs.regex(&["mail.log", AGGRESSIVE, "--timezone=UTC+0100"]);
    assert!(berlin.has("period    2026-11-24T16:01:00Z"), "{}", berlin.out);
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_is_judged() {
    let logs = Logs::new(&[
        ("mail.log", probe(1).as_bytes()),
        ("own.conf", b"[Definition]\nfailregex = <HOST>\n"),
    ]);
    for (words, remedy) in [
        (&["missing.log", "dovecot"][..], "missing.log cannot be read"),
        (&["mail.log", "missing.log"], "\"missing.log\" is neither a file nor a filter"),
        (&["mail.log", "sshd[mode=x]"], "the filters are dovecot"),
        (&["mail.log", "own.conf"], "a file of filters, which is not read"),
        (&["mail.log", "dovecot[mode=ddos]"], "normal and aggressive"),
        (&["mail.log", "dovecot[maxlines=2]"], "\"maxlines=2\" is not an option"),
        (&["mail.log", "dovecot", "("], "IGNOREREGEX"),
        (&["mail.log", "dovecot", "a <HSOT>"], "IGNOREREGEX, column 3: <HSOT> is no tag"),
        (&["mail.log", "^ü <HOST> ("], "FILTER, column 11: this ( is never closed"),
        (&["mail.log", "(?=x) <HOST>"], "FILTER, column 1: (?= looks around"),
        (&["mail.log", "^x <HOTS>"], "neither a file nor a filter"),
        (&["mail.log", "--config", "none.conf"], "none.conf"),
        (&["mail.log", "--config", "."], "--fail2ban"),
        (&["mail.log", "--fail2ban", "."], "no configuration of fail2ban"),
        (&["mail.log", "dovecot", "a", "b"], "one word too many"),
        (&["systemd-journal", "dovecot"], "journalctl"),
        (&[".", "dovecot"], "directory"),
        (&[], "LOG"),
    ] {
        let ended = logs.regex(words);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{words:?}: {}", ended.err);
        assert!(ended.err.contains(remedy), "{words:?}: {}", ended.err);
    }
}

#[test]
fn a_failregex_of_ones_own_stands_in_for_the_rules() {
    let log = [guess(1), probe(2), LOGIN.into(), POSTFIX.into(), POSTFIX.into()].concat();
    let logs = Logs::new(&[("mail.log", log.as_bytes())]);
    let connect = r"postfix/smtpd\[\d+\]: connect from [^\[]+\[<HOST>\]$";
    let ended = logs.regex(&["mail.log", connect]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    for part in [
        &format!("filter    {connect}\n"),
        "lines     5: 2 matched, 3 missed (1 of them logins), 0 ignored\n",
        "\nhits by rule\n        2  failregex\n\n",
        "        2  192.0.2.51\n",
    ] {
        assert!(ended.has(part), "{part:?} is not in\n{}", ended.out);
    }
    for threads in ["1", "3"] {
        let options = ["mail.log", connect, "<ADDR>, lip", "--format", "json", "-j", threads];
        let ended = logs.regex(&options);
        assert_eq!(ended.addresses(), ["192.0.2.51", "192.0.2.51"], "{}", ended.err);
        assert!(ended.has(r#""rule":"failregex""#), "{}", ended.out);
    }
    // A tag in what is to be ignored, and the line of a login, which is one.
    let ended = logs.regex(&["mail.log", connect, "rip=<ADDR>, lip="]);
    assert!(ended.has("lines     5: 2 matched, 0 missed (0 of them logins), 3 ignored"));
    let ended = logs.regex(&["mail.log", connect, r"from unknown\[<HOST>\]$"]);
    assert!(ended.has("lines     5: 0 matched, 3 missed (1 of them logins), 2 ignored"));
    assert!(!logs.regex(&["mail.log"]).has("failregex"), "a rule that is not there");
}

#[test]
fn a_configuration_is_tried_as_run_would_use_it() {
    let log = [guess(1), probe(2), probe(3), POSTFIX.into()].concat();
    let own = "[dovecot]\nmode = aggressive\nignoreregex = rip=192\\.0\\.2\\.3,\n\
               failregex = %(known/failregex)s\n    connect from unknown\\[<HOST>\\]$\n";
    let wrong = "[dovecot]\nfailregex = ^ mail x: <HOST>$\n    ^(?=x)<HOST>\n";
    let logs = Logs::new(&[
        ("mail.log", log.as_bytes()),
        ("own.conf", own.as_bytes()),
        ("wrong.conf", wrong.as_bytes()),
        ("jail.local", b"[dovecot]\nfilter = dovecot[mode=aggressive]\nmaxretry = 9\n"),
    ]);
    let ended = logs.regex(&["mail.log", "-c", "own.conf"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    for part in [
        "filter    dovecot[mode=aggressive], 1 failregex, 1 ignoreregex of own.conf\n",
        "lines     4: 3 matched, 0 missed (0 of them logins), 1 ignored\n",
        "        1  auth-failed\n",
        "        1  failregex\n",
        "        1  no-auth-attempts\n",
    ] {
        assert!(ended.has(part), "{part:?} is not in\n{}", ended.out);
    }
    assert!(ended.err.contains("does not begin with ^"), "{}", ended.err);
    let ended = logs.regex(&["mail.log", "--fail2ban", "."]);
    assert!(ended.has("lines     4: 3 matched"), "{}{}", ended.err, ended.out);
    assert!(ended.has("filter    dovecot[mode=aggressive] of ./jail.local\n"), "{}", ended.out);
    let ended = logs.regex(&["mail.log", "--config", "wrong.conf"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
    for part in ["wrong.conf:3", "column 2", "looks around"] {
        assert!(ended.err.contains(part), "{part:?} is not in\n{}", ended.err);
    }
}

#[test]
fn nobody_reading_on_ends_it_quietly() {
    let log: String = (0..60).cycle().take(30_000).map(probe).collect();
    let logs = Logs::new(&[("mail.log", log.as_bytes())]);
    for threads in ["1", "3"] {
        let mut command =
            logs.command(&["mail.log", AGGRESSIVE, "--print-all-matched", "-j", threads]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("doveblock to start");
        let mut out = child.stdout.take().expect("its output");
        out.read_exact(&mut [0; 100]).expect("a first line");
        drop(out);
        let ended = Ended::from(&child.wait_with_output().expect("doveblock to end"));
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{threads} threads");
    }
}

#[test]
fn a_long_log_has_no_progress_bar_where_nobody_watches() {
    let logs = Logs::new(&[("mail.log", b"")]);
    let log = fs::File::create(logs.path("mail.log")).expect("a log");
    log.set_len(100 * 1024 * 1024).expect("a log with a hole");
    let ended = logs.regex(&["mail.log"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
}

#[test]
fn neither_a_line_without_end_nor_a_bomb_takes_much_memory() {
    // 256 MiB of zeros in a quarter of a megabyte.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1024 * 1024];
    for _ in 0..256 {
        packer.write_all(&zeros).expect("room in memory");
    }
    packer.write_all(b"\n").expect("room in memory");
    packer.write_all(probe(1).as_bytes()).expect("room in memory");
    let bomb = packer.finish().expect("room in memory");
    let logs = Logs::new(&[("bomb.gz", &bomb)]);
    let limited = format!("ulimit -v 400000; exec \"$0\" regex bomb.gz '{AGGRESSIVE}' -j 2");
    let output = Command::new("sh")
        .args(["-c", &limited, env!("CARGO_BIN_EXE_doveblock")])
        .current_dir(logs.0.path())
        .output()
        .expect("a shell");
    let ended = Ended::from(&output);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.has("lines     2: 1 matched, 1 missed"), "{}", ended.out);
}
