//! Whole lines, honest and hostile.

use std::net::IpAddr;

use proptest::prelude::*;

use super::{Event, Guesses, Judge, Mode, RULES, SessionCheck, Settings, session::tests::id_of};
use crate::time::LogTime;

const NOW: LogTime = LogTime::from_secs(1_795_539_600); // 2026-11-24T17:00:00Z
const VICTIM: &str = "203.0.113.9";

fn judge(mode: Mode, line: &[u8]) -> Option<Event> {
    judge_with(mode, SessionCheck::Tolerant, line)
}

fn judge_with(mode: Mode, session_check: SessionCheck, line: &[u8]) -> Option<Event> {
    let settings = Settings { mode, zone: jiff::tz::TimeZone::UTC, session_check };
    Judge::new(settings).judge(line, NOW).event
}

fn verdict(message: &str) -> Option<(String, String)> {
    let line = format!("Nov 24 16:59:00 mail dovecot: {message}");
    match judge(Mode::Aggressive, line.as_bytes())? {
        Event::Failure(it) => Some((it.rule.name.to_owned(), it.ip.to_string())),
        Event::Login { ip, .. } => Some(("login".to_owned(), ip.to_string())),
    }
}

fn expect(message: &str, name: &str, ip: &str) {
    assert_eq!(verdict(message), Some((name.to_owned(), ip.to_owned())), "{message}");
}

#[test]
fn every_rule_recognises_its_example_in_its_mode_and_no_other_rule_does() {
    for rule in RULES {
        let line = format!("Nov 24 16:59:00 mail dovecot: {}", rule.example);
        let found = judge(Mode::Aggressive, line.as_bytes());
        let Some(Event::Failure(found)) = found else { panic!("{}: {found:?}", rule.name) };
        assert_eq!((found.ip.to_string().as_str(), found.rule), ("192.0.2.7", rule));
        let normal = judge(Mode::Normal, line.as_bytes());
        assert_eq!(normal.is_some(), rule.mode == Mode::Normal, "{}", rule.name);
    }
}

#[test]
fn knows_the_heads_of_2_3_and_2_4() {
    let fields = "user=<>, rip=192.0.2.7, lip=192.0.2.1, TLS, session=<AAAAAAAAAADAAAIH>";
    let heads = [
        "Disconnected: Connection closed (no auth attempts in 0 secs)",
        "Disconnected: Inactivity (no auth attempts in 180 secs)",
        "Disconnected: Connection closed: read(size=596) failed: Connection reset by peer (no auth attempts in 1 secs)",
        "Aborted login (no auth attempts in 2 secs)",
        "Aborted login by logging out (no auth attempts in 2 secs)",
        "Remote closed connection (no auth attempts in 2 secs)",
        "Client has quit the connection (no auth attempts in 2 secs)",
        "Login aborted: Connection closed (no auth attempts in 2 secs) (no_auth_attempts)",
        "Login aborted: Logged out (no auth attempts in 2 secs) (no_auth_attempts)",
    ];
    for head in heads {
        expect(&format!("managesieve-login: {head}: {fields}"), "no-auth-attempts", "192.0.2.7");
    }
}

#[test]
fn reads_the_auth_process_of_2_3_and_2_4() {
    let lines = [
        ("auth: passwd-file(alice,192.0.2.7): unknown user", "unknown-user"),
        (
            "auth: sql(alice,192.0.2.7,<s>): Password mismatch (SHA1 of given password: 5baa61)",
            "password-mismatch",
        ),
        (
            "auth-worker(9): conn unix:auth-worker (pid=8,uid=109): auth-worker<3>: sql(alice,192.0.2.7,<s>): unknown user",
            "unknown-user",
        ),
        (
            "auth: ldap(alice,192.0.2.7,<s>): invalid credentials (given password: x)",
            "password-mismatch",
        ),
        ("auth(alice,192.0.2.7,sasl:plain)<s>: passwd-file: unknown user", "unknown-user"),
        (
            "auth-worker(alice,192.0.2.7)<9><s>: request [2]: pam: pam_authenticate() failed: Authentication failure (Password mismatch?)",
            "pam-failed",
        ),
        (
            "auth-worker(alice,2001:db8::7)<9><s>: request [2]: sql: Password mismatch",
            "password-mismatch",
        ),
    ];
    for (line, rule) in lines {
        let ip = if line.contains("2001") { "2001:db8::7" } else { "192.0.2.7" };
        expect(line, rule, ip);
    }
}

#[test]
fn pam_names_the_same_user_twice_around_the_address() {
    let ip = |names: &str| {
        let line = format!(
            "Nov 24 16:59:00 mail auth[9]: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot {names}"
        );
        match judge(Mode::Normal, line.as_bytes()) {
            Some(Event::Failure(failure)) => Some(failure.ip.to_string()),
            _ => None,
        }
    };
    let peer = Some("192.0.2.7".to_owned());
    assert_eq!(ip("ruser=bob rhost=192.0.2.7  user=bob"), peer);
    assert_eq!(ip("ruser=bob rhost=192.0.2.7"), peer);
    assert_eq!(ip("ruser= rhost=192.0.2.7  user=bob"), peer);
    // Could also be a client of the second address with all before it for a name.
    let name = format!("x rhost={VICTIM}");
    assert_eq!(ip(&format!("ruser={name} rhost=192.0.2.7  user={name}")), None);
    assert_eq!(ip(&format!("ruser={name} rhost=192.0.2.7")), peer);
}

#[test]
fn nobody_is_blamed_for_what_is_no_failure_of_a_client() {
    let fields = "user=<>, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>";
    let silent = [
        format!("imap-login: Disconnected: Connection queue full (no auth attempts in 0 secs): {fields}"),
        format!("imap-login: Disconnected: Shutting down (no auth attempts in 0 secs): {fields}"),
        format!("imap-login: Login aborted: Too many connections (process full) (process_full): {fields}"),
        format!("imap-login: Login aborted: x (no auth attempts in 0 secs) (login_disabled): {fields}"),
        format!("imap-login: Disconnected: Internal login failure (internal failure, 1 successful auths): {fields}"),
        "imap-login: Disconnected: Connection closed (no auth attempts in 0 secs): user=<>, rip=192.0.2.7, lip=192.0.2.1, TLS handshaking: SSL_accept() failed: error:0A000415:SSL routines::sslv3 alert certificate expired: SSL alert number 45, session=<AAAAAAAAAADAAAIH>".to_owned(),
        format!("imap-login: proxy(alice): started proxying: {fields}"),
        "imap(alice)<9><s>: Disconnected: Logged out in=1 out=2 (no auth attempts in 1 secs): user=<>, rip=192.0.2.7".to_owned(),
        "lmtp(9): Disconnect from local: Logged out (state=READY)".to_owned(),
        "imap-login: Disconnected".to_owned(),
        "imap-login: Disconnected: x (no auth attempts in 0 secs): user=<>, rip=, lip=".to_owned(),
        String::new(),
    ];
    for message in silent {
        assert_eq!(verdict(&message), None, "{message}");
    }
}

#[test]
fn a_login_is_a_login() {
    expect(
        "imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, mpid=1, session=<s>",
        "login",
        "192.0.2.7",
    );
    expect(
        "imap-login: Logged in: user=<alice>, method=PLAIN, rip=2001:db8::7, lip=::1",
        "login",
        "2001:db8::7",
    );
}

#[test]
fn a_connection_is_known_by_its_session_and_tells_how_often_it_guessed() {
    let id = id_of("192.0.2.7".parse().unwrap());
    let line = |words: &str| {
        format!(
            "Nov 24 16:59:00 mail dovecot: imap-login: Disconnected: Connection closed ({words}): user=<12 attempts in 9 secs)>, rip=192.0.2.7, lip=192.0.2.1, session=<{id}>"
        )
    };
    let failure = |words: &str| match judge(Mode::Aggressive, line(words).as_bytes()) {
        Some(Event::Failure(failure)) => failure,
        other => panic!("{other:?}"),
    };
    let guesses = failure("auth failed, 12 attempts in 171 secs");
    assert_eq!((guesses.guesses, guesses.waited.as_secs()), (Guesses::Total(12), 171));
    let probe = failure("no auth attempts in 180 secs");
    assert_eq!((probe.guesses, probe.waited.as_secs()), (Guesses::Total(1), 180));
    assert_eq!(failure("client didn't finish SASL auth, waited 3 secs").waited.as_secs(), 3);
    assert!(probe.session.is_some());
    assert_eq!(probe.session, guesses.session);
}

#[test]
fn rip_before_the_user_is_the_clients() {
    expect(
        "imap-login: Disconnected: x (auth failed, 1 attempts in 2 secs): rip=192.0.2.7 user=<a rip=203.0.113.9 b> method=PLAIN",
        "auth-failed",
        "192.0.2.7",
    );
}

#[test]
fn a_quoted_password_cannot_name_an_address() {
    let line = "auth: passwd-file(a,192.0.2.7,<s>): Password mismatch (given password: x,203.0.113.9,<s>): unknown user)";
    assert_ne!(verdict(line).map(|(_, ip)| ip).as_deref(), Some(VICTIM));
}

/// Names that look like the rest of a line, in whole and in parts.
fn hostile_name() -> impl Strategy<Value = String> {
    let victim: IpAddr = VICTIM.parse().unwrap();
    let part = prop_oneof![
        Just(format!(">, rip={VICTIM}, lip=")),
        Just(format!(" rip={VICTIM} ")),
        Just(format!(",{VICTIM}): unknown user")),
        Just(format!(",{VICTIM},<{}>): Password mismatch", id_of(victim))),
        Just(format!(", session=<{}>", id_of(victim))),
        Just(format!("): user=<x>, rip={VICTIM}, session=<{}>", id_of(victim))),
        Just(format!(",{VICTIM},sasl:plain)<{}>: passwd-file: unknown user", id_of(victim))),
        Just(format!(" rhost={VICTIM}")),
        Just("  user=".to_owned()),
        Just(" (no auth attempts in 0 secs): ".to_owned()),
        "[ -~]{0,8}",
        "\\PC{0,4}",
    ];
    proptest::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

fn peer() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

proptest! {
    /// Whatever the client calls itself, the guess counts, and counts against the client.
    #[test]
    fn the_address_is_always_the_peers(name in hostile_name(), ip in peer()) {
        let session = id_of(ip);
        let lines = [
            format!("imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<{name}>, method=PLAIN, rip={ip}, lip=192.0.2.1, TLS, session=<{session}>"),
            format!("imap-login: Aborted login (auth failed, 1 attempts): user=<{name}>, method=PLAIN, rip={ip}, lip=192.0.2.1"),
            format!("imap-login: Login aborted: x (auth failed, 1 attempts in 2 secs) (auth_failed): user=<{name}>, rip={ip}, lip=192.0.2.1, session=<{session}>"),
            format!("imap-login: Disconnected: x (auth failed, 1 attempts in 2 secs): rip={ip} user=<{name}> session=<{session}>"),
            format!("auth: passwd-file({name},{ip},<{session}>): unknown user"),
            format!("auth-worker(9): conn unix:auth-worker (pid=8,uid=9): auth-worker<3>: sql({name},{ip},<{session}>): Password mismatch"),
            format!("auth({name},{ip},sasl:plain)<{session}>: passwd-file: unknown user"),
            format!("auth-worker({name},{ip})<9><{session}>: request [2]: sql: Password mismatch"),
        ];
        for line in lines {
            let found = verdict(&line).map(|(_, ip)| ip);
            prop_assert_eq!(found, Some(ip.to_canonical().to_string()), "{}", line);
        }
        for tail in [String::new(), format!("  user={name}")] {
            let pam = format!("auth: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser={name} rhost={ip}{tail}");
            let found = verdict(&pam).map(|(_, ip)| ip);
            prop_assert!(found.is_none() || found == Some(ip.to_canonical().to_string()), "{}", pam);
        }
        let quoted = format!("auth: sql({name},{ip},<{session}>): Password mismatch (given password: {name})");
        let found = verdict(&quoted).map(|(_, ip)| ip);
        prop_assert!(found.is_none() || found == Some(ip.to_canonical().to_string()), "{}", quoted);
    }

    #[test]
    fn no_bytes_make_it_panic(
        head in prop_oneof![
            Just(""), Just("Nov 24 17:00:00 "), Just("2026-11-24T17:00:00"), Just("<1"),
            Just("Nov 24 17:00:00 imap-login: Disconnected ("), Just("Nov 24 17:00:00 auth("),
            Just("Nov 24 17:00:00 m dovecot: imap-login: Disconnected (no auth attempts): user="),
        ],
        tail in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        judge(Mode::Aggressive, &[head.as_bytes(), &tail].concat());
    }
}
