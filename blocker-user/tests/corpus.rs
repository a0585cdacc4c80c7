//! Lines of real daemons, with what truly happened: `corpus/*.tsv`, each with its origin and
//! its format at the top.

#![expect(clippy::expect_used, clippy::panic, reason = "a corpus that cannot be read fails")]

use std::net::IpAddr;

use blocker_user::{
    dovecot::{
        Event, GUESS_WORDS, Judge, LOGIN_WORDS, Mode, PROXIED_WORDS, SessionCheck, Settings,
    },
    time::LogTime,
};
use jiff::tz::TimeZone;

/// A day after the corpus was recorded.
const NOW: LogTime = LogTime::from_secs(1_795_651_200);

static CORPORA: [(&str, &[u8]); 2] = [
    ("dovecot-2.3.19", include_bytes!("corpus/dovecot-2.3.19.tsv")),
    ("dovecot-2.4.1", include_bytes!("corpus/dovecot-2.4.1.tsv")),
];

/// What a line is to be judged as.
#[derive(Debug, PartialEq)]
enum Verdict {
    Failure(IpAddr),
    Login(IpAddr),
    Nothing,
}

fn event(mode: Mode, line: &[u8]) -> Option<Event> {
    let session_check = SessionCheck::Tolerant;
    let settings = Settings { mode, zone: TimeZone::UTC, session_check };
    Judge::new(settings).judge(line, NOW).event
}

fn judge(mode: Mode, line: &[u8]) -> Verdict {
    match event(mode, line) {
        Some(Event::Failure(failure)) => Verdict::Failure(failure.ip),
        Some(Event::Login(login)) => Verdict::Login(login.ip),
        Some(Event::MasterLogin(_)) | None => Verdict::Nothing,
    }
}

/// What is wrong with the verdicts on one line of a corpus, if anything.
fn fault(expected: &str, line: &[u8]) -> Option<String> {
    let (kind, ip) = expected.split_once(' ').unwrap_or((expected, ""));
    let ip = || ip.parse::<IpAddr>().expect("an address in the first column");
    let normal = judge(Mode::Normal, line);
    let aggressive = judge(Mode::Aggressive, line);
    let right = match kind {
        "auth" => normal == Verdict::Failure(ip()) && aggressive == normal,
        "probe" => normal == Verdict::Nothing && aggressive == Verdict::Failure(ip()),
        "login" => normal == Verdict::Login(ip()) && aggressive == normal,
        "again" => [normal, aggressive]
            .iter()
            .all(|found| *found == Verdict::Nothing || *found == Verdict::Failure(ip())),
        "-" => normal == Verdict::Nothing && aggressive == Verdict::Nothing,
        _ => panic!("{kind:?} in the first column"),
    };
    let text = String::from_utf8_lossy(line);
    (!right)
        .then(|| format!("{expected} expected, {:?} found: {text}", judge(Mode::Aggressive, line)))
}

fn lines(corpus: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = corpus.split(|byte| *byte == b'\n');
    lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"))
}

/// Whoever skips the lines that hold none of these words and codes misses none that counts.
#[test]
fn every_line_that_counts_holds_a_word_of_its_rule() {
    for (name, corpus) in CORPORA {
        for line in lines(corpus) {
            let text = String::from_utf8_lossy(line);
            let holds = |words: &[&str]| words.iter().any(|words| text.contains(words));
            let found = match event(
                Mode::Aggressive,
                text.split_once('\t').map_or("", |it| it.1).as_bytes(),
            ) {
                Some(Event::Failure(failure)) => {
                    holds(failure.rule.words) || holds(failure.rule.codes) || holds(&GUESS_WORDS)
                }
                Some(Event::Login(_)) => holds(&LOGIN_WORDS) || holds(&PROXIED_WORDS),
                Some(Event::MasterLogin(_)) | None => true,
            };
            assert!(found, "{name}: {text}");
        }
    }
}

/// `simulate` judges each line once and serves both modes.
#[test]
fn normal_mode_is_aggressive_mode_without_its_own_rules() {
    for line in CORPORA.iter().flat_map(|(_, corpus)| lines(corpus)) {
        let at = line.iter().position(|byte| *byte == b'\t').map_or(0, |tab| tab + 1);
        let line = line.get(at..).unwrap_or_default();
        let is_its_own =
            |event: &Event| matches!(event, Event::Failure(it) if it.rule.mode > Mode::Normal);
        let left = event(Mode::Aggressive, line).filter(|event| !is_its_own(event));
        assert_eq!(event(Mode::Normal, line), left, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn every_line_of_a_real_daemon_is_judged_by_what_happened() {
    for (name, corpus) in CORPORA {
        let mut judged = 0;
        let mut faults = Vec::new();
        for line in lines(corpus) {
            let tab = line.iter().position(|byte| *byte == b'\t').expect("two columns");
            let expected = str::from_utf8(&line[..tab]).expect("a first column of text");
            faults.extend(fault(expected, &line[tab + 1..]));
            judged += 1;
        }
        assert!(judged > 100, "{name} has only {judged} lines");
        assert!(faults.is_empty(), "{name}: {} of {judged}\n{}", faults.len(), faults.join("\n"));
    }
}
