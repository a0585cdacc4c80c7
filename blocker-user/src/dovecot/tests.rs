//! Whole lines of every kind.

mod ends;
mod hostile;

use super::{
    Event, Failure, Guesses, Judge, Login, Mode, RULES, SessionCheck, Settings,
    session::tests::id_of,
};
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
        Event::Login(login) => Some(("login".to_owned(), login.ip.to_string())),
        Event::MasterLogin(_) => None,
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
fn a_line_holds_a_word_or_code_of_the_rule_that_judges_it() {
    for rule in RULES {
        let words = rule.words.iter().chain(rule.codes);
        assert!(words.clone().any(|word| rule.example.contains(word)), "{}", rule.name);
        assert!(words.clone().all(|word| word.len() > 8), "{} is matched by too little", rule.name);
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
fn how_a_silent_connection_ended_names_the_rule() {
    let fields = "user=<>, rip=192.0.2.7, lip=192.0.2.1";
    let cases = [
        (
            format!(
                "Disconnected: Too many invalid commands. (no auth attempts in 1 secs): {fields}"
            ),
            "too-many-bad-commands",
        ),
        (format!("Disconnected: Too many bad commands: {fields}"), "too-many-bad-commands"),
        (
            format!("Disconnected: Input buffer full (no auth attempts in 1 secs): {fields}"),
            "input-buffer-full",
        ),
        (
            format!("Login aborted: Input buffer full (x was hit.) (process_full): {fields}"),
            "input-buffer-full",
        ),
        (
            format!(
                "Login aborted: Input buffer full (auth failed, 3 attempts in 9 secs) (auth_failed): {fields}"
            ),
            "auth-failed",
        ),
        (
            format!(
                "Disconnected (no auth attempts in 0 secs): {fields}, TLS handshaking: SSL_accept() failed: error:1408F10B:SSL routines:ssl3_get_record:wrong version number"
            ),
            "tls-garbage",
        ),
        (
            format!(
                "Disconnected (no auth attempts in 0 secs): {fields}, TLS handshaking: SSL_accept() failed: error:0A00009C:SSL routines::http request"
            ),
            "tls-garbage",
        ),
        (
            format!(
                "Login aborted: Logged out (sent invalid base64 in response, 1 attempts in 0 secs) (invalid_base64): {fields}"
            ),
            "sasl-unfinished",
        ),
        (
            format!(
                "Disconnected: Connection closed (unfinished AUTH command) (client didn't finish SASL auth, waited 0 secs): {fields}"
            ),
            "sasl-unfinished",
        ),
        // 2.3.13's submission-login gives no reason at all.
        (format!("Remote closed connection: {fields}"), "left-without-reason"),
        (format!("Aborted login: {fields}"), "left-without-reason"),
    ];
    for (message, rule) in cases {
        expect(&format!("submission-login: {message}"), rule, "192.0.2.7");
    }
}

#[test]
fn the_next_passdb_has_the_last_word() {
    let line = |end: &str| {
        format!("auth(alice,192.0.2.7,sasl:plain,master)<s>: m: Password mismatch{end}")
    };
    expect(&line(" (SHA1 of given password: a4b4)"), "password-mismatch", "192.0.2.7");
    assert_eq!(verdict(&line(" (SHA1 of given password: a4b4) - trying the next passdb")), None);
    assert_eq!(verdict(&line(" - trying the next passdb")), None);
}

#[test]
fn an_auth_line_tells_its_connection_and_its_passdb() {
    let id = id_of("192.0.2.7".parse().unwrap());
    let failure = |message: &str| {
        let line = format!("Nov 24 16:59:00 mail dovecot: {message}");
        match judge(Mode::Normal, line.as_bytes()) {
            Some(Event::Failure(failure)) => failure,
            other => panic!("{message}: {other:?}"),
        }
    };
    let of = |driver: &str| {
        [
            format!("auth: {driver}(a,192.0.2.7,<{id}>): unknown user"),
            format!("auth-worker(9): {driver}(a,192.0.2.7,<{id}>): unknown user"),
            format!(
                "auth-worker(9): Info: conn unix:auth-worker (pid=8,uid=9): auth-worker<3>: {driver}(a: (b,192.0.2.7,<{id}>): unknown user"
            ),
            format!("auth(a,192.0.2.7,sasl:plain)<{id}>: {driver}: unknown user"),
            format!("auth-worker(a,192.0.2.7)<9><{id}>: request [2]: Info: {driver}: unknown user"),
        ]
    };
    let told = |line: &String| (failure(line).session, failure(line).guesses);
    let sql: Vec<_> = of("sql").iter().map(told).collect();
    let ldap: Vec<_> = of("ldap").iter().map(told).collect();
    assert!(sql.iter().all(|it| *it == sql[0] && it.0.is_some()), "{sql:?}");
    assert!(ldap.iter().all(|it| *it == ldap[0]), "{ldap:?}");
    assert!(matches!(sql[0].1, Guesses::One { .. }) && sql[0].1 != ldap[0].1);
    // A session of another client is none of this one's.
    let other = failure(&format!("auth: sql(a,192.0.2.8,<{id}>): unknown user"));
    assert_eq!(other.session, None);
}

#[test]
fn a_session_of_another_client_cancels_a_line_only_where_the_check_is_strict() {
    let id = id_of("192.0.2.7".parse().unwrap());
    let lines = |ip: &str| {
        [
            format!(
                "imap-login: Disconnected (auth failed, 1 attempts): user=<a>, rip={ip}, session=<{id}>"
            ),
            format!("imap-login: Login: user=<a>, rip={ip}, session=<{id}>"),
            format!("auth: sql(a,{ip},<{id}>): unknown user"),
        ]
    };
    let found = |check, line: &String| {
        judge_with(Mode::Normal, check, format!("Nov 24 16:59:00 mail dovecot: {line}").as_bytes())
            .is_some()
    };
    for line in lines("192.0.2.7") {
        assert!(found(SessionCheck::Strict, &line), "{line}");
    }
    for line in lines("192.0.2.0") {
        assert!(
            found(SessionCheck::Tolerant, &line) && !found(SessionCheck::Strict, &line),
            "{line}"
        );
    }
}

#[test]
fn every_layout_of_a_log_tells_the_same_time_and_failure() {
    let layouts = [
        "Nov 24 17:00:00 mail dovecot: ",
        "Nov 24 17:00:00.000000 mail dovecot[17]: ",
        "Nov 24 17:00:00 ",
        "2026-11-24 17:00:00 ",
        "<22>Nov 24 17:00:00 mail dovecot: ",
        "<22>1 2026-11-24T17:00:00Z mail dovecot 17 - - ",
        "<22>1 2026-11-24T17:00:00.000000+00:00 mail dovecot 17 ID [a b=\"c\"] ",
        "2026-11-24T17:00:00 mail dovecot: ",
        "2026-11-24T17:00:00.000000+00:00 mail dovecot: ",
        "2026-11-24T18:00:00+0100 mail dovecot[17]: ",
        "2026/11/24 17:00:00 mail dovecot: ",
        "Tue 2026-11-24 17:00:00 UTC mail dovecot[17]: ",
        "Tue Nov 24 17:00:00 2026 mail dovecot: ",
        "1795539600.000000 mail dovecot[17]: ",
        "@1795539600 mail dovecot: ",
        "@400000006b05c29a00000000 dovecot: ",
        "@400000006b05c29a00000000 ",
    ];
    let message = "imap-login: Info: Aborted login (auth failed, 1 attempts): user=<a>, rip=192.0.2.7, lip=192.0.2.1";
    for layout in layouts {
        let line = format!("{layout}{message}");
        let settings = Settings {
            mode: Mode::Normal,
            zone: jiff::tz::TimeZone::UTC,
            session_check: SessionCheck::Tolerant,
        };
        let found = Judge::new(settings).judge(line.as_bytes(), NOW);
        assert_eq!(found.time, Some(NOW), "{line}");
        assert!(
            matches!(found.event, Some(Event::Failure(it)) if it.rule.name == "auth-failed"),
            "{line}"
        );
    }
}

#[test]
fn the_journal_is_read_as_json() {
    let line = r#"{"MESSAGE":"imap-login: Disconnected (auth failed, 1 attempts): user=<\"a>, rip=192.0.2.7","SYSLOG_IDENTIFIER":"dovecot","__REALTIME_TIMESTAMP":"1795539600000000"}"#;
    let settings = Settings {
        mode: Mode::Normal,
        zone: jiff::tz::TimeZone::UTC,
        session_check: SessionCheck::Tolerant,
    };
    let judgement = Judge::new(settings).judge(line.as_bytes(), LogTime::EPOCH);
    assert_eq!(judgement.time, Some(NOW));
    assert!(
        matches!(judgement.event, Some(Event::Failure(it)) if it.ip.to_string() == "192.0.2.7")
    );
    let other = line.replace("dovecot", "postfix/smtpd");
    assert_eq!(judge(Mode::Normal, other.as_bytes()), None);
}

#[test]
fn a_repeated_line_says_how_often() {
    let line = "Nov 24 16:59:00 mail dovecot: message repeated 5 times: [ auth: sql(a,192.0.2.7): unknown user]";
    let Some(Event::Failure(failure)) = judge(Mode::Normal, line.as_bytes()) else { panic!() };
    assert_eq!(failure.repeated.get(), 5);
}

#[test]
fn reads_the_auth_process_of_2_3_and_2_4() {
    let lines = [
        ("auth: passwd-file(alice,192.0.2.7): unknown user", "unknown-user"),
        ("auth: ldap(alice,192.0.2.7,): invalid credentials", "password-mismatch"),
        ("auth: lua(alice,192.0.2.7,<s>): unknown user", "unknown-user"),
        (
            "auth(default): pam(alice,192.0.2.7): pam_authenticate() failed: User not known to the underlying authentication module: 2 Time(s)",
            "pam-failed",
        ),
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
    let ip = |names: &str| pam_failure(names).map(|failure| failure.ip.to_string());
    let peer = Some("192.0.2.7".to_owned());
    assert_eq!(ip("ruser=bob rhost=192.0.2.7  user=bob"), peer);
    assert_eq!(ip("ruser=bob rhost=192.0.2.7"), peer);
    assert_eq!(ip("ruser= rhost=192.0.2.7  user=bob"), peer);
    // Could also be a client of the second address with all before it for a name.
    let name = format!("x rhost={VICTIM}");
    assert_eq!(ip(&format!("ruser={name} rhost=192.0.2.7  user={name}")), None);
    assert_eq!(ip(&format!("ruser={name} rhost=192.0.2.7")), peer);
    // As Linux-PAM writes it for users that do not exist.
    assert_eq!(ip("ruser=bob rhost=192.0.2.7 "), peer);
    assert_eq!(ip(&format!("ruser= rhost={VICTIM} rhost=192.0.2.7 ")), None);
}

fn pam_failure(names: &str) -> Option<Failure> {
    let line = format!(
        "Nov 24 16:59:00 mail auth[9]: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot {names}"
    );
    match judge(Mode::Normal, line.as_bytes()) {
        Some(Event::Failure(failure)) => Some(failure),
        _ => None,
    }
}

#[test]
fn pam_names_whom_a_login_names() {
    let login = b"Nov 24 16:59:00 mail dovecot: imap-login: Login: user=<bob@example.org>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>";
    let Some(Event::Login(Login { name: Some(name), .. })) = judge(Mode::Normal, login) else {
        panic!()
    };
    let is_bob = |names: &str| pam_failure(names).unwrap().name.is_some_and(|it| it.can_be(name));
    assert!(is_bob("ruser=bob rhost=192.0.2.7  user=bob"));
    assert!(is_bob("ruser=bob@example.org rhost=192.0.2.7 "));
    assert!(is_bob("ruser= rhost=192.0.2.7  user=bob"));
    assert!(!is_bob("ruser=alice rhost=192.0.2.7  user=alice"));
    // Of two readings with one address, neither is believed.
    assert!(!is_bob("ruser= rhost=192.0.2.7  user=bob rhost=192.0.2.7"));
    assert_eq!(pam_failure("ruser= rhost=192.0.2.7 ").unwrap().name, None);
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
        format!("imap-login: Disconnected: Auth process broken (disconnected before auth was ready, waited 0 secs): {fields}"),
        format!("imap-login: Disconnected: Connection closed (disconnected before auth was ready, waited 9 secs): {fields}"),
        format!("imap-login: Login aborted: Logged out (proxy dest connection failed, 1/1 successful auths in 3 secs) (proxy_dest_connect_failed): {fields}"),
        format!("imap-login: Login aborted: Logged out (auth service reported temporary failure, 1 attempts in 3 secs) (temp_fail): {fields}"),
        format!("imap-login: Login aborted: Maximum number of connections from user+IP exceeded (mail_max_userip_connections=1) (connection limit reached, 1/1 successful auths in 0 secs) (connection_limit): {fields}"),
        "auth: Info: Master user logging in as alice".to_owned(),
        "auth: sql(master): unknown user".to_owned(),
        "auth(master)<s>: sql: unknown user".to_owned(),
        "imap-login: Disconnected (auth failed, 1 attempts): user=<master>, rip=, lip=".to_owned(),
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
fn a_proxy_tells_of_logins_in_its_own_words() {
    let fields = "user=<alice>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<s>";
    for started in [
        "proxy(alice,192.0.2.53:143): Started proxying to remote host (0.028 secs): ",
        "proxy(alice,[2001:db8::53]:143): Started proxying to remote host: ",
        "proxy(alice,192.0.2.53:143): Started proxying to <192.0.2.53> (0.013 secs): ",
        "proxy(alice): started proxying to 192.0.2.53:143: ",
    ] {
        expect(&format!("imap-login: {started}{fields}"), "login", "192.0.2.7");
    }
    // A client that calls itself so takes nothing back by failing.
    for name in [
        "x,h:1): Started proxying to remote host (0.1 secs): user=<x>, rip=192.0.2.7",
        "x,h:1): Started proxying to remote host (0.1 secs): rip=192.0.2.7, ",
        "x): started proxying to h:1: rip=192.0.2.7",
    ] {
        let line = format!(
            "imap-login: proxy({name},192.0.2.53:143): Login failed: no: user=<{name}>, rip=192.0.2.7"
        );
        assert_eq!(verdict(&line), None, "{line}");
    }
}

#[test]
fn a_proxy_counts_the_guesses_that_the_host_behind_it_refused() {
    let line = "Nov 24 16:59:00 mail dovecot: imap-login: Login aborted: Logged out (proxy dest authentication failure, 3/4 successful auths in 9 secs) (proxy_dest_auth_failed): user=<alice>, rip=192.0.2.7";
    let Some(Event::Failure(failure)) = judge(Mode::Normal, line.as_bytes()) else { panic!() };
    assert_eq!((failure.rule.name, failure.guesses), ("proxy-auth-failed", Guesses::Total(4)));
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
fn a_line_that_was_cut_off_or_has_an_impossible_date_is_no_event() {
    let long = "x".repeat(super::CUT_AT);
    let line = format!(
        "Nov 24 16:59:00 mail dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<{long}>, rip=192.0.2.1"
    );
    assert_eq!(judge(Mode::Normal, &line.as_bytes()[..super::CUT_AT]), None);
    let line = "Nov 31 16:59:00 mail dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<x>, rip=192.0.2.1";
    assert_eq!(judge(Mode::Normal, line.as_bytes()), None);
}

#[test]
fn a_verdict_inside_a_name_is_none_whatever_dovecot_writes_behind_it() {
    let id = id_of("192.0.2.7".parse().unwrap());
    let name = format!("a,{VICTIM}): unknown user ");
    for line in [
        // A real 2.3.19 wrote this one, 150 seconds after the name.
        format!(
            "auth: Info: login({name},192.0.2.7,<{id}>): Request timed out waiting for client to continue authentication (150 secs)"
        ),
        format!("auth: sql({name},192.0.2.7,<{id}>): Password query failed: no such table (x)"),
        format!("auth({name},192.0.2.7,sasl:plain)<{id}>: ldap: bind failed (reason)"),
        format!("auth: sql({name},192.0.2.7,new-flag,<{id}>): Password mismatch"),
        format!("auth: sql({name},192.0.2.7,<{id}>): gave up (given password: pw)"),
    ] {
        assert_eq!(verdict(&line), None, "{line}");
    }
    let master = format!(
        "auth-worker(17): pam({name},192.0.2.7,master,<{id}>): pam_authenticate() failed: Authentication failure (Password mismatch?)"
    );
    expect(&master, "pam-failed", "192.0.2.7");
    let master = format!(
        "auth: passwd-file({name},192.0.2.7,master,<{id}>): Password mismatch (SHA1 of given password: a4b4)"
    );
    expect(&master, "password-mismatch", "192.0.2.7");
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
    assert_eq!(verdict(line), None);
    let honest = "auth: passwd-file(a,192.0.2.7,<s>): Password mismatch (given password: x)";
    expect(honest, "password-mismatch", "192.0.2.7");
}
