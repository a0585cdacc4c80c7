use jiff::tz::TimeZone;

use super::{Anonymizer, Done};
use crate::{
    anonymize::Key,
    dovecot::{Judge, Mode, RULES, SessionCheck, Settings},
    time::LogTime,
};

/// Midnight of 24 November 2026.
const NOW: LogTime = LogTime::from_secs(1_795_478_400);

fn anonymizer() -> Anonymizer {
    let (mode, session_check) = (Mode::Aggressive, SessionCheck::Strict);
    let judge = || Judge::new(Settings { mode, zone: TimeZone::UTC, session_check });
    Anonymizer::new(Key::of_words("a test"), judge(), judge())
}

fn replaced(line: &str) -> (Done, String) {
    let mut out = Vec::new();
    let done = anonymizer().line(line.as_bytes(), NOW, &mut out);
    (done, String::from_utf8(out).unwrap())
}

#[test]
fn the_line_of_every_rule_stays_one_of_that_rule() {
    for rule in RULES {
        let line = format!("Nov 23 12:00:00 mx7 dovecot: {}", rule.example);
        let (done, text) = replaced(&line);
        assert_eq!(done, Done::Replaced, "{line}\n{text}");
        for secret in ["192.0.2.", "alice", "mx7", "AADAAAIH"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(text.starts_with("Nov 23 12:00:00 h"), "{text}");
    }
}

#[test]
fn names_are_replaced_wherever_they_stand_and_whatever_they_are() {
    for name in ["bob", "bob@example.org", "4915112345", "4711", "a>, rip=198.51.100.1", "müller"]
    {
        let line = format!(
            "Nov 23 12:00:00 mx7 dovecot: imap-login: Disconnected: Connection closed (auth failed, \
             2 attempts in 12 secs): user=<{name}>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, \
             TLS, session=<AAAAAAAAAADAAAIH>"
        );
        let (done, text) = replaced(&line);
        assert_eq!(done, Done::Replaced, "{line}\n{text}");
        assert!(text.contains("(auth failed, 2 attempts in 12 secs): user=<"), "{text}");
        for secret in ["bob", "example.org", "4915112345", "<4711", "198.51.100.1", "müller"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn of_what_is_about_nobody_the_time_is_left() {
    for line in [
        "Nov 23 12:00:00 mx7 postfix/smtpd[7]: connect from mail.example.org[192.0.2.7]",
        "Nov 23 12:00:00 mx7 dovecot: imap(bob)<7><AAAAAAAAAADAAAIH>: Disconnected: Logged out",
    ] {
        assert_eq!(replaced(line), (Done::LeftOut, "Nov 23 12:00:00 left out".to_owned()));
    }
    let json = r#"{"MESSAGE":"imap-login: Login: user=<bob>"}"#;
    assert_eq!(replaced(json), (Done::LeftOut, "left out".to_owned()));
}
