//! fail2ban's own code as the judge of our reading of `failregex` and `ignoreregex`.

mod generated;
mod table;

use std::{io::Write as _, net::IpAddr, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{needs, process::command};
use blocker_user::{
    dovecot::{Event, Judge, Mode, SessionCheck, Settings},
    filter::{Filter, FilterOption, Origin, Pattern},
    time::LogTime,
};
use jiff::tz::TimeZone;
use libtest_mimic::{Completion, Failed, Trial};
use serde_json::{Value, json};

use table::{Case, Ours};

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, body: fn() -> Result<()>| {
        Trial::ignorable_test(name, move || {
            if let Some(reason) = needs::missing_fail2ban() {
                return Ok(Completion::ignored_with(reason));
            }
            let tried = body().map(|()| Completion::Completed);
            tried.map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    vec![
        trial("failregex_means_what_it_means_to_fail2ban", || compare(&table::cases(), None)),
        trial("failregex_generated_at_random_means_the_same", || {
            compare(&generated::cases(), None)
        }),
        trial("failregex_in_fail2bans_dovecot_jail_sees_what_follows_the_service", || {
            compare(&table::jail_cases(), Some("dovecot"))
        }),
    ]
}

/// Answers questions, one a line: the texts that fail2ban counts for one log line under some
/// patterns, or null where it refuses a pattern. The argument names a filter of fail2ban's
/// whose prefregex is in force, as it is for the patterns of a jail.
const ASK_FAIL2BAN: &str = r#"
import json, logging, sys, warnings
sys.path.insert(0, "/usr/lib/python3/dist-packages")
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
from fail2ban.client.filterreader import FilterReader
from fail2ban.server.filter import Filter
prefregex = None
if sys.argv[1:]:
    reader = FilterReader(sys.argv[1], "jail", {}, basedir="/etc/fail2ban")
    reader.read()
    reader.getOptions(None)
    [prefregex] = [command[3] for command in reader.convert() if command[2] == "prefregex"]
for question in sys.stdin:
    failregex, ignoreregex, line = json.loads(question)
    judge = Filter(None, useDns="no")
    judge.checkFindTime = False
    if prefregex:
        judge.prefRegex = prefregex
    try:
        for pattern in failregex:
            judge.addFailRegex(pattern)
        for pattern in ignoreregex:
            judge.addIgnoreRegex(pattern)
    except Exception:
        print("null")
        continue
    print(json.dumps([str(found[1]) for found in judge.processLine(line)]))
"#;

/// After every line of the tables.
const NOW: LogTime = LogTime::from_secs(1_795_651_200);

fn compare(cases: &[Case], prefregex_of: Option<&str>) -> Result<()> {
    let theirs = ask_fail2ban(cases, prefregex_of)?;
    ensure!(theirs.len() == cases.len(), "{} answers to {}", theirs.len(), cases.len());
    let faults: Vec<String> =
        cases.iter().zip(&theirs).filter_map(|it| fault(it.0, it.1)).collect();
    ensure!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
    Ok(())
}

/// What is wrong with our answer, if anything.
fn fault(case: &Case, theirs: &Value) -> Option<String> {
    let counted = theirs.as_array().map(|all| all.iter().filter_map(Value::as_str).collect());
    let counted: Option<Vec<&str>> = counted;
    let ours = judge(case);
    let is_address = |text: &&str| text.parse::<IpAddr>().is_ok();
    let same = match (&ours, &counted) {
        (Ok(Some(ip)), Some(counted)) => {
            counted.iter().map(|text| text.parse().ok()).eq([Some(*ip)])
        }
        (Ok(None), Some(counted)) => counted.is_empty(),
        (Err(_), None) => true,
        (Ok(_), None) | (Err(_), Some(_)) => false,
    };
    let right = match (&case.ours, &ours, &counted) {
        (Ours::Same, ..) => same,
        (Ours::SameAddress, Ok(None), Some(counted)) => !counted.iter().any(is_address),
        (Ours::SameAddress, ..) => same,
        (Ours::Refused(reason), Err(refusal), Some(_)) => refusal.contains(reason),
        (Ours::Differs(expected, _), Ok(ours), _) => {
            !same && *expected == ours.map(|ip| ip.to_string()).as_deref()
        }
        (Ours::Refused(_) | Ours::Differs(..), ..) => false,
    };
    (!right).then(|| format!("{case:?}: we say {ours:?}, fail2ban {theirs}"))
}

/// The address that the line counts against; what is said of patterns that are refused.
fn judge(case: &Case) -> Result<Option<IpAddr>, String> {
    let of = |option| {
        move |text: &String| Pattern {
            text: text.clone(),
            origin: Origin { file: "jail.local".to_owned(), line: 1, option },
        }
    };
    let fail = case.failregex.iter().map(of(FilterOption::Failregex));
    let ignore = case.ignoreregex.iter().map(of(FilterOption::Ignoreregex));
    let filter = Filter::compile(fail.chain(ignore))
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>())?;
    let settings = Settings {
        mode: Mode::Normal,
        zone: TimeZone::UTC,
        session_check: SessionCheck::default(),
    };
    let mut judge = Judge::new(settings).with_filter(filter, true);
    Ok(judge.judge(case.line.as_bytes(), NOW).event.and_then(|event| match event {
        Event::Failure(failure) => (failure.rule.name == "failregex").then_some(failure.ip),
        Event::Login(_) | Event::MasterLogin(_) => None,
    }))
}

fn ask_fail2ban(cases: &[Case], prefregex_of: Option<&str>) -> Result<Vec<Value>> {
    let mut python = command("/usr/bin/python3");
    python.args(["-c", ASK_FAIL2BAN]).args(prefregex_of);
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let question = |case: &Case| json!([case.failregex, case.ignoreregex, case.line]);
    let questions: String = cases.iter().map(|case| format!("{}\n", question(case))).collect();
    let writer = std::thread::spawn(move || stdin.write_all(questions.as_bytes()));
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "fail2ban's code failed: {}", output.status);
    writer.join().ok().context("the writer panicked")??;
    String::from_utf8(output.stdout)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}
