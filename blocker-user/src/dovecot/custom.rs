//! The admin's own patterns: what they see of a line, and what they make of its judgement.
//!
//! Patterns come from two places: filters of one's own, whose patterns see all that follows
//! the timestamp, and jail.local, where `[dovecot]` leaves the `prefregex` of fail2ban's own
//! filter in force, so that its patterns see what follows host, program and service.

use super::{
    event::{Event, Failure, Judgement},
    prefix::{self, Service},
    rules::FAILREGEX,
    scan::split_at_byte,
    timestamp::{self, Stamp},
};
use crate::filter::{Filter, Message, Verdict};

/// What the patterns make of what the rules say of `line`. A login stays a login where a
/// pattern ignores its line: to forget it could only lead to more bans.
pub(super) fn judge(filter: &mut Filter, line: &[u8], judgement: Judgement) -> Judgement {
    let (stamp, message) = message(line);
    if stamp.is_some() && judgement.time.is_none() {
        // A date that does not exist.
        return judgement;
    }
    let verdict = filter.judge(message);
    let event = match (verdict, judgement.event) {
        (Verdict::Ignored, Some(Event::Failure(_))) => None,
        (Verdict::Failure(ip), None | Some(Event::Login(_) | Event::MasterLogin(_))) => {
            Some(Event::Failure(Failure::new(ip, &FAILREGEX)))
        }
        (_, event) => event,
    };
    Judgement { event, is_ignored: verdict == Verdict::Ignored, ..judgement }
}

/// Cuts the timestamp out of `line`.
fn message(line: &[u8]) -> (Option<Stamp>, Message<'_>) {
    let (rest, _) = prefix::priority(line);
    let before = line.len().checked_sub(rest.len()).and_then(|len| line.get(..len));
    let Some((stamp, behind)) = timestamp::take(rest) else {
        return (None, Message { content: content_len(line), ..Message::new(line) });
    };
    // The blank behind a timestamp is not part of it.
    let at = line.len().saturating_sub(behind.len() + 1);
    let message = Message {
        before: before.unwrap_or_default(),
        after: line.get(at..).unwrap_or_default(),
        content: content_len(line),
    };
    (Some(stamp), message)
}

/// How long the end of the line is that fail2ban's `prefregex` for Dovecot leaves.
fn content_len(line: &[u8]) -> Option<usize> {
    let prefix = prefix::split(line)?;
    let content = match prefix.service {
        Service::Auth => without_auth(prefix.message).unwrap_or(prefix.message),
        Service::Login | Service::Pam | Service::Other => prefix.message,
    };
    let content = content.strip_prefix(b"pam_unix(dovecot:auth): ").unwrap_or(content);
    // rsyslog's `message repeated 3 times: [ … ]` encloses it: no end of the line then, and
    // fail2ban does not look inside either.
    line.ends_with(content).then_some(content.len())
}

/// `auth: `, `auth-worker(17): `, and the worker's connection behind it.
fn without_auth(message: &[u8]) -> Option<&[u8]> {
    let rest = message.strip_prefix(b"auth")?;
    let rest = rest.strip_prefix(b"-worker").unwrap_or(rest);
    let rest = match rest.strip_prefix(b"(") {
        Some(rest) => split_at_byte(rest, b')')?.1,
        None => rest,
    };
    let rest = prefix::without_level(rest.strip_prefix(b": ")?);
    Some(without_worker(rest).unwrap_or(rest))
}

/// `conn unix:auth-worker (pid=17,uid=97): auth-worker<4>: `.
fn without_worker(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.strip_prefix(b"conn unix:auth")?;
    let rest = rest.strip_prefix(b"-worker").unwrap_or(rest).strip_prefix(b" (")?;
    let rest = split_at_byte(rest, b')')?.1.strip_prefix(b": auth")?;
    let rest = rest.strip_prefix(b"-worker").unwrap_or(rest).strip_prefix(b"<")?;
    split_at_byte(rest, b'>')?.1.strip_prefix(b": ")
}

#[cfg(test)]
mod tests {
    use super::message;
    use crate::{
        dovecot::{Event, Judge, Judgement, Mode, SessionCheck, Settings},
        filter::{Filter, FilterOption, Origin, Pattern},
        time::LogTime,
    };
    use jiff::tz::TimeZone;

    /// Midnight of 24 November 2026.
    const NOW: LogTime = LogTime::from_secs(1_795_478_400);
    const GUESS: &str = "mail dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): \
        user=<bob>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>";
    const LOGIN: &str = "mail dovecot: imap-login: Login: user=<bob>, method=PLAIN, \
        rip=192.0.2.7, lip=192.0.2.1, mpid=5, session=<AAAAAAAAAADAAAIH>";

    fn judge(option: FilterOption, text: &str, rest: &str) -> Judgement {
        judge_line(option, text, &format!("Nov 23 17:00:00 {rest}"))
    }

    fn judge_line(option: FilterOption, text: &str, line: &str) -> Judgement {
        let origin = Origin { file: "doveblock.conf".to_owned(), line: 1, option };
        let filter = Filter::compile([Pattern { text: text.to_owned(), origin }]).unwrap();
        let settings = Settings {
            mode: Mode::Normal,
            zone: TimeZone::UTC,
            session_check: SessionCheck::default(),
        };
        let mut judge = Judge::new(settings).with_filter(filter, true);
        judge.judge(line.as_bytes(), NOW)
    }

    /// The rule and the address, or `login`, or nothing.
    fn verdict(option: FilterOption, text: &str, rest: &str) -> String {
        match judge(option, text, rest).event {
            Some(Event::Failure(failure)) => format!("{} {}", failure.rule.name, failure.ip),
            Some(Event::Login(_)) => "login".to_owned(),
            Some(Event::MasterLogin(_)) | None => String::new(),
        }
    }

    #[test]
    fn an_ignored_line_does_not_count_whatever_rule_matches() {
        let ignore = FilterOption::Ignoreregex;
        assert_eq!(verdict(ignore, "user=<alice>", GUESS), "auth-failed 192.0.2.7");
        assert_eq!(verdict(ignore, "user=<bob>", GUESS), "");
        assert_eq!(verdict(ignore, "user=<bob>", LOGIN), "login");
    }

    #[test]
    fn a_failregex_counts_what_no_rule_does() {
        let fail = FilterOption::Failregex;
        assert_eq!(verdict(fail, "user=<bob>.* lip=<HOST>,", GUESS), "auth-failed 192.0.2.7");
        assert_eq!(verdict(fail, "^Login: user=<bob>.* rip=<HOST>,", LOGIN), "failregex 192.0.2.7");
        assert_eq!(verdict(fail, "^ mail x: <HOST>$", "mail x: 192.0.2.7"), "failregex 192.0.2.7");
        assert_eq!(verdict(fail, "^ mail x: <HOST>$", "mail y: 192.0.2.7"), "");
    }

    #[test]
    fn a_line_of_another_program_has_its_time_too() {
        let found = judge(FilterOption::Failregex, "x: <HOST>", "mail x: 192.0.2.7");
        assert_eq!(found.time, Some(LogTime::from_secs(NOW.as_secs() - 7 * 3600)));
    }

    #[test]
    fn an_entry_of_the_journal_is_what_syslog_would_write() {
        let line = r#"{"MESSAGE":"sieve: 192.0.2.7","SYSLOG_IDENTIFIER":"dovecot","_PID":"7","_HOSTNAME":"mail","__REALTIME_TIMESTAMP":"1795478400000000"}"#;
        for pattern in ["^mail dovecot\\[7\\]: sieve: <HOST>$", "^sieve: <HOST>$"] {
            let found = judge_line(FilterOption::Failregex, pattern, line);
            assert!(
                matches!(found.event, Some(Event::Failure(it)) if it.rule.name == "failregex"),
                "{pattern}"
            );
            assert_eq!(found.time, Some(NOW));
        }
        assert!(judge_line(FilterOption::Failregex, "MESSAGE.*<HOST>", line).event.is_none());
    }

    /// What a pattern sees of `line`: all of it, and what counts as its content.
    fn views(line: &str) -> (String, Option<&str>) {
        let (_, message) = message(line.as_bytes());
        let whole = [message.before, message.after].concat();
        let content = message.content.map(|len| &line[line.len() - len..]);
        (String::from_utf8(whole).unwrap(), content)
    }

    #[test]
    fn the_timestamp_is_cut_out_and_nothing_else() {
        let cases = [
            ("Nov 24 17:00:00 mail x: y", " mail x: y"),
            ("<22>Nov 24 17:00:00 mail x: y", "<22> mail x: y"),
            ("<22>1 2026-11-24T17:00:00Z mail x - - - y", "<22>1  mail x - - - y"),
            ("2026-11-24T17:00:00.5+01:00 mail x: y", " mail x: y"),
            ("mail x: y", "mail x: y"),
            ("<22>mail x: y", "<22>mail x: y"),
        ];
        for (line, whole) in cases {
            assert_eq!(views(line).0, whole, "{line}");
        }
    }

    #[test]
    fn content_is_what_follows_the_service() {
        let content = |rest: &str| {
            let line = format!("Nov 24 17:00:00 {rest}");
            views(&line).1.map(str::to_owned)
        };
        for head in [
            "mail dovecot: imap-login: ",
            "mail dovecot[17]: pop3-login: ",
            "imap-login: Info: ",
            "mail dovecot: auth: ",
            "mail dovecot: auth-worker(17): ",
            "mail dovecot: auth-worker(17): conn unix:auth-worker (pid=1,uid=9): auth-worker<4>: ",
            "mail dovecot: auth: Error: ",
            "mail auth[17]: pam_unix(dovecot:auth): ",
        ] {
            assert_eq!(content(&format!("{head}x: y")).as_deref(), Some("x: y"), "{head}");
        }
        assert_eq!(content("mail postfix/smtpd[17]: x"), None);
        let repeated = "mail dovecot: message repeated 3 times: [ imap-login: x: y]";
        assert_eq!(content(repeated), None);
    }
}
