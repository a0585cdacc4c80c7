//! What the gate holds back is what the judge has nothing to say of.

use proptest::prelude::*;

use super::super::{Judge, Judgement, Mode, RULES, SessionCheck, Settings, prefix::LOGIN_SERVICES};
use crate::time::LogTime;

const NOW: LogTime = LogTime::from_secs(1_795_539_600); // 2026-11-24T17:00:00Z
pub(in crate::dovecot) const CORPUS: [&[u8]; 2] = [
    include_bytes!("../../../tests/corpus/dovecot-2.3.19.tsv"),
    include_bytes!("../../../tests/corpus/dovecot-2.4.1.tsv"),
];

fn judge() -> Judge {
    Judge::new(Settings {
        mode: Mode::Aggressive,
        zone: jiff::tz::TimeZone::UTC,
        session_check: SessionCheck::default(),
    })
}

/// The judgements on the lines of a chunk, through the gate.
fn through_the_gate(chunk: &[u8]) -> Vec<(Vec<u8>, Judgement)> {
    let mut judged = Vec::new();
    let Ok(len) = judge().each_line(chunk, NOW, |line, judgement| {
        judged.push((line.to_vec(), *judgement));
        Ok::<_, std::convert::Infallible>(())
    });
    assert_eq!(len, chunk.len());
    judged
}

/// The judgements with every line taken apart.
fn one_by_one(chunk: &[u8]) -> Vec<(Vec<u8>, Judgement)> {
    let lines = chunk.strip_suffix(b"\n").unwrap_or(chunk).split(|byte| *byte == b'\n');
    let lines = lines.filter(|_| !chunk.is_empty());
    lines.map(|line| (line.to_vec(), judge().judge(line, NOW))).collect()
}

fn corpus_lines() -> impl Iterator<Item = &'static [u8]> {
    CORPUS
        .into_iter()
        .flat_map(|corpus| corpus.split(|byte| *byte == b'\n'))
        .filter(|line| !line.starts_with(b"#"))
        .filter_map(|line| Some(&line[line.iter().position(|byte| *byte == b'\t')? + 1..]))
}

#[test]
fn every_rule_and_every_login_service_passes() {
    for rule in RULES {
        let line = format!("Nov 24 16:59:00 mail dovecot: {}", rule.example);
        let judged = through_the_gate(line.as_bytes());
        assert!(judged[0].1.event.is_some(), "{} is held back", rule.name);
    }
    for service in LOGIN_SERVICES {
        let line =
            [b"Nov 24 16:59:00 ", service, &b": Login: user=<a>, rip=192.0.2.7"[..]].concat();
        let judged = through_the_gate(&line);
        assert!(judged[0].1.event.is_some(), "{} is held back", String::from_utf8_lossy(service));
    }
}

#[test]
fn every_line_of_a_real_daemon_is_judged_the_same_with_and_without_the_gate() {
    let chunk = corpus_lines().collect::<Vec<_>>().join(&b'\n');
    let judged = through_the_gate(&chunk);
    assert!(judged.iter().filter(|(_, judgement)| judgement.event.is_some()).count() > 100);
    for (passed, alone) in judged.iter().zip(one_by_one(&chunk)) {
        assert_eq!(*passed, alone, "{}", String::from_utf8_lossy(&passed.0));
    }
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let corpus: Vec<&[u8]> = corpus_lines().collect();
    let real = proptest::sample::select(corpus).prop_map(<[u8]>::to_vec);
    let part = prop_oneof![
        Just("Nov 24 16:59:00 "),
        Just("2026-11-24T16:59:00.5Z "),
        Just("2026-11-24T16:59:00.123456Z "),
        Just("2026-11-24T16:59:00,7Z "),
        Just("2026-11-24T16:59:00Z "),
        Just("2026-11-31T16:59:00.5Z "),
        Just("Nov 24 16:59:00.25 "),
        Just("[Nov 24 16:59:00.5] "),
        Just("[Nov 24 16:59:00.125] "),
        Just("1795539600.5 "),
        Just("1795539600.25 "),
        Just("<22>1 2026-11-24T16:59:00.5Z "),
        Just("<22>2026-11-24T16:59:00.5Z "),
        Just("<22>1 2026-11-24T16:59:00Z "),
        Just("Nov 24 16:59:00 2026 "),
        Just("Nov 24 16:59:00 CET "),
        Just("2026-11-24 16:59:00 "),
        Just("+0100 "),
        Just("mail postfix/smtpd[1]: connect"),
        Just("mail dovecot: "),
        Just("mail dovecot[17]: "),
        Just("imap-login: "),
        Just("-login: "),
        Just("Login: user=<a>, rip=192.0.2.7"),
        Just("Disconnected (no auth attempts in 2 secs): user=<>, rip=192.0.2.7"),
        Just("auth: passwd-file(a,192.0.2.7): unknown user"),
        Just("auth"),
        Just("-log"),
        Just("in: "),
        Just("{"),
        Just("data: {"),
        Just("\u{1e}{\"MESSAGE\":[97],"),
        Just("[ 1234.5] "),
        Just("1 "),
        Just("-login(17): "),
        Just("\r"),
        "[ -~]{0,6}".prop_map(|text| &*text.leak()),
    ];
    let made = proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat().into_bytes());
    let cut = (
        proptest::sample::select(corpus_lines().collect::<Vec<_>>()),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(line, at)| line[..at.index(line.len() + 1)].to_vec());
    prop_oneof![real, made, cut, changed()]
}

/// A line of a real daemon with pieces in it that matter elsewhere.
pub(in crate::dovecot) fn changed() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("rip=203.0.113.9, "),
        Just(" rip=192.0.2.7,"),
        Just(", rip=2001:db8::7"),
        Just(": user=<>"),
        Just("): "),
        Just("): rip="),
        Just(" (auth failed, 3 attempts in 2 secs)"),
        Just("3/5 successful auths"),
        Just("1/2 successful auths in 7 secs)"),
        Just(" attempts"),
        Just("Too many invalid "),
        Just("SSL routines:x:sslv3 alert bad certificate"),
        Just("queue full"),
        Just("shutting down"),
        Just("Input buffer full"),
        Just("session=<AAAAAAAAAADAAAIH>"),
        Just("auth: "),
        Just(".5"),
        Just("<"),
        Just(">"),
        "[ -~]{1,3}".prop_map(|text| &*text.leak()),
    ];
    let change = (any::<prop::sample::Index>(), 0_usize..8, piece);
    let corpus: Vec<&[u8]> = corpus_lines().collect();
    (proptest::sample::select(corpus), proptest::collection::vec(change, 0..4)).prop_map(
        |(line, changes)| {
            let mut line = line.to_vec();
            for (at, len, piece) in changes {
                let at = at.index(line.len() + 1);
                line.splice(at..line.len().min(at + len), piece.bytes());
            }
            line
        },
    )
}

proptest! {
    #[test]
    fn any_mixture_of_lines_is_judged_the_same_with_and_without_the_gate(
        lines in proptest::collection::vec(line(), 0..12),
        ends in any::<bool>(),
    ) {
        let mut chunk = lines.join(&b'\n');
        if ends {
            chunk.push(b'\n');
        }
        prop_assert_eq!(through_the_gate(&chunk), one_by_one(&chunk));
    }

    /// Timestamps that begin alike, with what can belong to one behind them, follow each other.
    #[test]
    fn timestamps_that_begin_alike_are_told_apart(
        lines in proptest::collection::vec(
            (
                proptest::sample::select(&[
                    "Nov 24 16:59:00", "2026-11-24T16:59:00", "2026-11-24 16:59:00", "1795539600",
                    "[Nov 24 16:59:00", "Tue Nov 24 16:59:00",
                ][..]),
                proptest::sample::select(&["", ".5", ".25", ",5", "Z", "+01:00", ".5+01:00", "]"][..]),
                proptest::sample::select(&[" ", " 2025 ", " 2026 ", " +0100 ", " CET ", "  "][..]),
                proptest::sample::select(&[
                    "mail cron[1]: x", "mail dovecot: imap-login: Login: user=<a>, rip=192.0.2.7",
                    "imap-login: Login: user=<a>, rip=192.0.2.7", "",
                ][..]),
            ).prop_map(|(stamp, fraction, behind, rest)| [stamp, fraction, behind, rest].concat()),
            2..20,
        ),
    ) {
        let chunk = lines.join("\n");
        prop_assert_eq!(through_the_gate(chunk.as_bytes()), one_by_one(chunk.as_bytes()));
    }
}
