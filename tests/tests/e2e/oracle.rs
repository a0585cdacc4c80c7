//! fail2ban's own code as the judge of our counting.

mod increments;

use std::{io::Write as _, net::IpAddr, num::NonZeroU32, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{needs, process::command};
use blocker_user::{
    dovecot::{Failure, RULES},
    jail::{Bantime, Count, IgnoreList, Jail, Outcome, Policy},
    time::LogTime,
};
use libtest_mimic::{Completion, Failed, Trial};
use proptest::prelude::RngCore as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("counts_failures_as_fail2ban_does", counts),
        trial("makes_bans_longer_as_fail2ban_does", increments::longer),
        trial("draws_random_bantimes_from_where_fail2ban_does", increments::random),
    ]
}

fn trial(name: &str, body: fn() -> Result<()>) -> Trial {
    Trial::ignorable_test(name, move || {
        if let Some(reason) = needs::missing_fail2ban() {
            return Ok(Completion::ignored_with(reason));
        }
        let tried = body().map(|()| Completion::Completed);
        tried.map_err(|error| Failed::from(format!("{error:#}")))
    })
}

/// Feeds `seconds address` lines to fail2ban's failure manager and prints what it counts, and
/// whether that is a ban. Cleaned up before each line up to the second before it, as a
/// running fail2ban does in its idle moments.
const ASK_FAIL2BAN: &str = r#"
import sys
sys.path.insert(0, "/usr/lib/python3/dist-packages")
from fail2ban.server.failmanager import FailManager, FailManagerEmpty
from fail2ban.server.ticket import FailTicket
manager = FailManager()
manager.setMaxRetry(int(sys.argv[1]))
manager.setMaxTime(int(sys.argv[2]))
for line in sys.stdin:
    at, ip = line.split()
    manager.cleanup(int(at) - 1)
    attempts = manager.addFailure(FailTicket(ip, int(at)))
    try:
        manager.toBan(ip)
        print(attempts, "ban")
    except FailManagerEmpty:
        print(attempts, "-")
"#;

const MAXRETRY: u32 = 4;
const FINDTIME_SECS: u64 = 600;
const FAILURES: usize = 5000;
const CLIENTS: u64 = 5;

fn counts() -> Result<()> {
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]);
    let mut at = 1_795_539_600_i64;
    let failures: Vec<(i64, IpAddr)> = (0..FAILURES)
        .map(|_| {
            // Bursts, steady drips, and pauses of more than findtime.
            let pause = [0, 1, 20, 90, 300, 700][usize::try_from(rng.next_u32() % 6).unwrap_or(0)];
            at += pause;
            let client = u8::try_from(u64::from(rng.next_u32()) % CLIENTS).unwrap_or(0);
            (at, IpAddr::from([192, 0, 2, client]))
        })
        .collect();

    let theirs = ask_fail2ban(&failures)?;
    ensure!(theirs.len() == failures.len(), "{} answers", theirs.len());
    let ours = ask_the_jail(&failures)?;
    for (((at, ip), ours), theirs) in failures.iter().zip(ours).zip(theirs) {
        ensure!(ours == theirs, "{ip} at {at}: we say {ours:?}, fail2ban says {theirs:?}");
    }
    Ok(())
}

fn ask_fail2ban(failures: &[(i64, IpAddr)]) -> Result<Vec<(u32, bool)>> {
    let lines: String = failures.iter().map(|(at, ip)| format!("{at} {ip}\n")).collect();
    let options = [MAXRETRY.to_string(), FINDTIME_SECS.to_string()];
    let answer = |line: &str| {
        let (attempts, verdict) = line.split_once(' ').context("an answer of one word")?;
        Ok((attempts.parse()?, verdict == "ban"))
    };
    python(ASK_FAIL2BAN, &options, lines)?.lines().map(answer).collect()
}

/// What `script` prints, given `lines`.
fn python(script: &str, options: &[String], lines: String) -> Result<String> {
    let mut python = command("/usr/bin/python3");
    python.args(["-c", script]).args(options);
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "fail2ban's code failed: {}", output.status);
    writer.join().ok().context("the writer panicked")??;
    Ok(String::from_utf8(output.stdout)?)
}

fn ask_the_jail(failures: &[(i64, IpAddr)]) -> Result<Vec<(u32, bool)>> {
    let policy = Policy {
        maxretry: NonZeroU32::new(MAXRETRY).context("maxretry")?,
        findtime: Duration::from_secs(FINDTIME_SECS),
        // Over at once, so that no ban hides the next.
        bantime: Bantime::For(Duration::from_millis(1)),
        count: Count::Lines,
        ..Policy::default()
    };
    let mut jail = Jail::new(policy, IgnoreList::default(), 0);
    let rule = RULES.first().context("no rules")?;
    failures
        .iter()
        .map(|&(at, ip)| {
            let at = LogTime::from_secs(at);
            match jail.failure(&Failure::new(ip, rule), at, at) {
                Outcome::Counted { attempts, .. } => Ok((attempts, false)),
                Outcome::Banned(ban) | Outcome::Prolonged(ban) => Ok((ban.attempts, true)),
                Outcome::AlreadyBanned { .. } => Ok((MAXRETRY, true)),
                Outcome::Spared(why) => anyhow::bail!("spared: {why:?}"),
            }
        })
        .collect()
}
