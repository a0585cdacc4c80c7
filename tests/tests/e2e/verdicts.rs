//! Debian's fail2ban-regex as the judge of our verdicts, line by line and in both modes. It is
//! not always right; every difference belongs to a class that is named here, with its reason
//! and an example in docs/fail2ban-differences.md.

use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    client::{Client, Protocol},
    doveblock::binary,
    dovecot::{Dovecot, PASSWORD, USER as NAME},
    needs,
    netns::{ATTACKER, Family, USER, World},
    process::{command, output, run},
    wait::{self, LIMIT},
};
use libtest_mimic::{Completion, Failed, Trial};

use crate::{DOVECOT, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("every_class_of_difference_is_documented", || {
            documented().map_err(|error| Failed::from(format!("{error:#}")))
        }),
        Trial::ignorable_test("judges_recorded_lines_as_fail2ban_does_or_says_why", || {
            if let Some(reason) = needs::missing_fail2ban() {
                return Ok(Completion::ignored_with(reason));
            }
            let tried = recorded().map(|()| Completion::Completed);
            tried.map_err(|error| Failed::from(format!("{error:#}")))
        }),
        trial(
            "judges_fresh_lines_as_fail2ban_does_or_says_why",
            &[needs::missing_dovecot, needs::missing_fail2ban],
            fresh,
        ),
        trial("hostile_names_all_count_and_only_for_their_sender", DOVECOT, hostile),
    ]
}

const PAGE: &str = include_str!("../../../docs/fail2ban-differences.md");
const CORPORA: [&str; 2] = ["dovecot-2.3.19.tsv", "dovecot-2.4.1.tsv"];

/// One line, and what each of the two says of it.
struct Judged {
    line: String,
    rule: Option<String>,
    ours: Option<IpAddr>,
    theirs: Option<IpAddr>,
}

/// A reason to differ from fail2ban.
struct Class {
    name: &'static str,
    is: fn(&Judged) -> bool,
}

/// The first that fits explains a line.
const CLASSES: [Class; 15] = [
    Class { name: "forged-address", is: |it| it.ours.is_some() && it.theirs.is_some() },
    Class { name: "certificate-refused", is: |it| only_theirs(it) && it.has("alert ") },
    Class { name: "auth-not-ready", is: |it| only_theirs(it) && it.has("auth was ready") },
    Class { name: "queue-full", is: |it| only_theirs(it) && it.has("queue full") },
    Class { name: "next-passdb", is: |it| only_theirs(it) && it.has(" - trying the next passdb") },
    Class { name: "quoted-address", is: |it| only_theirs(it) && it.has("(given password: ") },
    Class { name: "rfc-5424", is: |it| only_ours(it) && is_rfc_5424(&it.line) },
    Class { name: "repeated", is: |it| only_ours(it) && it.has(": message repeated ") },
    Class { name: "wording-of-2.4", is: |it| only_ours(it) && is_of_2_4(&it.line) },
    Class {
        name: "unsupported-mechanism",
        is: |it| only_ours(it) && it.rule.as_deref() == Some("unsupported-mechanism"),
    },
    Class { name: "invalid-base64", is: |it| only_ours(it) && it.has("(sent invalid base64 ") },
    Class { name: "address-before-user", is: |it| only_ours(it) && it.has("): rip=") },
    Class { name: "more-parentheses", is: |it| only_ours(it) && cause_has_parentheses(&it.line) },
    Class { name: "digit-in-driver", is: |it| only_ours(it) && it.has(" cram-md5(") },
    Class { name: "hostile-name", is: |it| only_ours(it) && name_is_hostile(&it.line) },
];

impl Judged {
    fn has(&self, words: &str) -> bool {
        self.line.contains(words)
    }
}

fn only_ours(it: &Judged) -> bool {
    it.ours.is_some() && it.theirs.is_none()
}

fn only_theirs(it: &Judged) -> bool {
    it.theirs.is_some() && it.ours.is_none()
}

fn is_of_2_4(line: &str) -> bool {
    let names_the_passdb_last = || line.contains(" auth(") || line.contains(" auth-worker(");
    let login = line.contains("-login: ") && line.contains("Login aborted: ");
    login || (names_the_passdb_last() && line.contains(")<"))
}

/// With or without its priority and version.
fn is_rfc_5424(line: &str) -> bool {
    line.contains(" dovecot - - ")
}

fn cause_has_parentheses(line: &str) -> bool {
    let login = line.split_once("-login: ").map_or("", |(_, message)| message);
    login.split_once("): user=").is_some_and(|(words, _)| words.matches('(').count() > 1)
}

/// Whether the name holds what fail2ban takes for its end.
fn name_is_hostile(line: &str) -> bool {
    let login = line.split_once("user=<").map(|(_, rest)| rest);
    let name = login.and_then(|rest| rest.rsplit_once(", lip=")).map(|(name, _)| name);
    let auth = || {
        let (head, _) = line.rsplit_once("): ")?;
        let of = |driver: &&str| head.split_once(*driver).map(|(_, name)| name);
        [" passwd-file(", " sql(", " ldap(", " lua(", " pam("].iter().find_map(of)
    };
    match name {
        Some(name) => name.matches('>').count() > 1 || name.matches("rip=").count() > 1,
        None => auth().is_some_and(|name| name.contains(char::is_whitespace)),
    }
}

/// The page has a section of the name of each class, and no other.
fn documented() -> Result<()> {
    let sections: BTreeSet<&str> =
        PAGE.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let classes: BTreeSet<&str> = CLASSES.iter().map(|class| class.name).collect();
    ensure!(sections == classes, "documented: {sections:?}\nin the test: {classes:?}");
    Ok(())
}

fn recorded() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../blocker-user/tests/corpus");
    let mut met = BTreeSet::new();
    for corpus in CORPORA {
        let text = fs::read(corpora.join(corpus)).with_context(|| corpus.to_owned())?;
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.filter_map(|line| Some(line.split_once('\t')?.1));
        let log = dir.path().join(corpus);
        fs::write(&log, lines.flat_map(|line| [line, "\n"]).collect::<String>())?;
        met.extend(compare(&log)?);
    }
    if other_fail2ban().is_some() {
        println!("classes met: {met:?}");
        return Ok(());
    }
    // Debian's fail2ban reads no line of 2.4; its development branch is wrong on those.
    let never = BTreeSet::from(["next-passdb"]);
    let all: BTreeSet<&str> = CLASSES.iter().map(|class| class.name).collect();
    let idle: Vec<&&str> = all.difference(&met).filter(|name| !never.contains(*name)).collect();
    ensure!(idle.is_empty(), "classes that explain nothing: {idle:?}");
    Ok(())
}

/// Judges what a Dovecot writes about honest, wrong and hostile clients right now.
fn fresh(world: &World) -> Result<()> {
    let dovecot = Dovecot::with(world, "auth_username_chars =\nauth_verbose = yes")?;
    let user = Client::new(world, USER, Family::V4);
    let attacker = Client::new(world, ATTACKER, Family::V6);
    ensure!(user.log_in(Protocol::Imap, NAME, PASSWORD)?, "the right password was refused");
    for protocol in [Protocol::Imap, Protocol::Pop3, Protocol::Sieve] {
        attacker.guess(protocol)?;
        attacker.probe(protocol.port())?;
    }
    for name in HOSTILE_NAMES {
        ensure!(!attacker.log_in(Protocol::Sieve, name, "letmein")?);
    }
    compare(&settled(world, &dovecot, HOSTILE_NAMES.len())?).map(drop)
}

/// Names that look like the rest of the line they end up on, and some that look like nothing.
const HOSTILE_NAMES: [&str; 16] = [
    "x>, rip=203.0.113.9, lip=",
    "a,203.0.113.9): unknown user",
    "a,203.0.113.9,<AQIDBAUGBwjLAHEJ>): Password mismatch",
    "a>, session=<AQIDBAUGBwjLAHEJ>, rip=203.0.113.9",
    ">",
    "a>b",
    "\"quoted\" 'name'",
    "a, b, c",
    "rip=203.0.113.9",
    "x): Password mismatch (",
    "x rhost=203.0.113.9  user=x",
    "(auth failed, 99 attempts in 1 secs): user=<>, rip=203.0.113.9",
    "a,203.0.113.9,sasl:plain)<AQIDBAUGBwjLAHEJ>: passwd-file: unknown user",
    "line\u{2028}rip=203.0.113.9",
    "caf\u{e9} \u{85} \u{6f22}\u{5b57}",
    "%{rip} %r {literal}",
];

/// Through a real Dovecot that takes any name and logs it, twice.
fn hostile(world: &World) -> Result<()> {
    const LONG: usize = 600;
    const TOO_LONG: usize = 20_000;
    let settings = "auth_username_chars =\nauth_verbose = yes\nauth_verbose_passwords = plain";
    let dovecot = Dovecot::with(world, settings)?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    for name in HOSTILE_NAMES {
        // The name for a password as well, which the auth process quotes.
        ensure!(!attacker.log_in(Protocol::Sieve, name, name)?, "{name} logged in");
    }
    ensure!(!attacker.log_in(Protocol::Sieve, &"l".repeat(LONG), "letmein")?);
    // Dovecot hangs up on this one, and says so.
    let refused = attacker.log_in(Protocol::Imap, &"l".repeat(TOO_LONG), "letmein");
    ensure!(!refused.unwrap_or(false));
    let log = settled(world, &dovecot, HOSTILE_NAMES.len() + 2)?;
    let judged = ours(&log, "dovecot[mode=aggressive]")?;
    let rules = ["auth-failed", "input-buffer-full"].map(Some);
    let counts = |it: &&Judged| rules.contains(&it.rule.as_deref());
    let log = || fs::read_to_string(&log).unwrap_or_default();
    let counted = judged.iter().filter(counts).count();
    ensure!(counted == HOSTILE_NAMES.len() + 2, "{counted}: {}", log());
    let blamed: BTreeSet<IpAddr> = judged.iter().filter_map(|it| it.ours).collect();
    ensure!(blamed == BTreeSet::from([attacker.address()]), "{blamed:?}: {}", log());
    Ok(())
}

/// A copy of the log, which does not grow, made once `failures` connections have ended in it.
fn settled(world: &World, dovecot: &Dovecot, failures: usize) -> Result<PathBuf> {
    wait::until(LIMIT, &format!("{failures} failures in Dovecot's log"), || {
        let log = fs::read_to_string(dovecot.log())?;
        let ended = log.lines().filter(|line| line.contains("-login: Info: Disconnected"));
        Ok((ended.count() >= failures).then_some(()))
    })?;
    let copy = world.claim.dir().join("settled.log");
    fs::copy(dovecot.log(), &copy)?;
    Ok(copy)
}

/// Compares the verdicts on every line of `log` in both modes; returns the classes met.
fn compare(log: &Path) -> Result<BTreeSet<&'static str>> {
    let mut met = BTreeSet::new();
    for mode in ["normal", "aggressive"] {
        let judged = judge(log, mode)?;
        ensure!(!judged.is_empty(), "{} is empty", log.display());
        for it in judged.iter().filter(|it| it.ours != it.theirs) {
            let class = CLASSES.iter().find(|class| (class.is)(it)).with_context(|| {
                let Judged { line, ours, theirs, .. } = it;
                format!(
                    "{mode}: we say {ours:?}, fail2ban {theirs:?}, and no class says why: {line}"
                )
            })?;
            met.insert(class.name);
        }
    }
    Ok(met)
}

fn judge(log: &Path, mode: &str) -> Result<Vec<Judged>> {
    let filter = format!("dovecot[mode={mode}]");
    let mut judged = ours(log, &filter)?;
    // It prints the lines that it matched, in order.
    let mut rest = judged.iter_mut();
    for found in ask_fail2ban(log, &filter)?.split_terminator('\n') {
        let (ip, line) = found.split_once('\t').with_context(|| found.to_owned())?;
        let it = rest.find(|it| it.line.trim_end() == line.trim_end());
        it.with_context(|| format!("fail2ban found no line of the log: {line}"))?.theirs =
            Some(ip.parse()?);
    }
    Ok(judged)
}

/// Our verdicts; fail2ban's are still to come.
fn ours(log: &Path, filter: &str) -> Result<Vec<Judged>> {
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    let doveblock = binary().display().to_string();
    let said = run(command(&doveblock).arg("regex").arg(log).args([filter, "--format", "json"]))?;
    let mut verdicts = said.lines();
    let mut judged = Vec::new();
    for line in text.split_terminator('\n') {
        let verdict = verdicts.next().context("fewer verdicts than lines")?;
        let verdict: serde_json::Value = serde_json::from_str(verdict)?;
        let text_of = |key: &str| verdict[key].as_str().map(str::to_owned);
        let ours = text_of("ip").map(|ip| ip.parse()).transpose()?;
        judged.push(Judged { line: line.to_owned(), rule: text_of("rule"), ours, theirs: None });
    }
    ensure!(verdicts.next().is_none(), "more verdicts than lines");
    Ok(judged)
}

/// A checkout of another fail2ban than Debian's, to be asked in its place.
fn other_fail2ban() -> Option<PathBuf> {
    std::env::var_os("FAIL2BAN_TREE").map(PathBuf::from)
}

fn ask_fail2ban(log: &Path, filter: &str) -> Result<String> {
    const RUN: &str = "import sys; from fail2ban.client.fail2banregex import exec_command_line; \
                       exec_command_line(sys.argv[1:])";
    let mut regex = match other_fail2ban() {
        None => command("fail2ban-regex"),
        Some(tree) => {
            let mut python = command("/usr/bin/python3");
            python.env("PYTHONPATH", &tree).args(["-c", RUN, "-c"]).arg(tree.join("config"));
            python
        }
    };
    regex.env("PYTHONIOENCODING", "utf-8");
    regex.args(["-e", "utf-8", "-o", "<ip>\t<matches>"]).arg(log).arg(filter);
    let said = output(&mut regex)?;
    // It exits with 1 where no line matches.
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}
