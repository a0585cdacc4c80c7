//! Whatever clients call themselves: properties of the address on every kind of line.

use std::net::IpAddr;

use proptest::prelude::*;

use super::{VICTIM, judge, verdict};
use crate::dovecot::{Event, Mode, gate::tests::CORPUS, session::tests::id_of};

/// Names that look like the rest of a line, in whole and in parts.
fn hostile_name() -> impl Strategy<Value = String> {
    let victim: IpAddr = VICTIM.parse().unwrap();
    let part = prop_oneof![
        Just(format!(">, rip={VICTIM}, lip=")),
        Just(format!(" rip={VICTIM} ")),
        Just(format!(",{VICTIM}): unknown user")),
        Just(format!(",{VICTIM}): unknown user ")),
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

/// Names that look like a line of another service, behind the tag of a log daemon.
fn name_like_a_line() -> impl Strategy<Value = String> {
    let tags =
        ["", "dovecot: ", "dovecot ", "dovecot 1 - - ", "dovecot[1]: [ID 1 mail.info] ", "auth: "];
    let message = [
        format!("imap-login: Disconnected (auth failed, 1 attempts): user=<x>, rip={VICTIM}, lip="),
        format!(
            "auth: pam_unix(dovecot:auth): authentication failure; tty=dovecot ruser= rhost={VICTIM} "
        ),
        format!(
            "pam_unix(dovecot:auth): authentication failure; tty=dovecot ruser= rhost={VICTIM} "
        ),
        format!("auth: passwd-file(x,{VICTIM}): unknown user"),
        format!("passwd-file(x,{VICTIM}): unknown user"),
    ];
    let [tags, message] =
        [tags.map(str::to_owned).to_vec(), message.to_vec()].map(proptest::sample::select);
    (prop_oneof!["[a-z]{0,3} ", "[ -~]{0,6}"], tags, message, "[ -~]{0,3}")
        .prop_map(|(start, tag, message, end)| [start, tag, message, end].concat())
}

/// A line of a corpus about a client that named itself alice. The modules of PAM are left out:
/// a name there can be made so that the line says nothing.
#[derive(Clone, Debug)]
struct Template {
    line: String,
    peer: IpAddr,
}

impl Template {
    fn with_name(&self, name: &str) -> Self {
        let places = [("user=<alice>", "user=<", ">"), ("(alice,", "(", ",")];
        let line = places.iter().fold(self.line.clone(), |line, (from, before, behind)| {
            line.replace(from, &format!("{before}{name}{behind}"))
        });
        Self { line, peer: self.peer }
    }

    /// With another mechanism, which Dovecot writes in upper case; a login has one it knows.
    fn with_mechanism(self, mechanism: &str) -> Self {
        if self.line.contains("-login: Login: ") || self.line.contains("Logged in: ") {
            return self;
        }
        let written = format!("method={}", mechanism.to_ascii_uppercase());
        Self { line: self.line.replace("method=PLAIN", &written), ..self }
    }
}

fn templates() -> Vec<Template> {
    let lines = CORPUS.into_iter().flat_map(|corpus| corpus.split(|byte| *byte == b'\n'));
    let named = lines.filter_map(|line| {
        let (expected, line) = str::from_utf8(line).ok()?.split_once('\t')?;
        let (kind, peer) = expected.split_once(' ')?;
        let is_named = line.contains("user=<alice>") || line.contains("(alice,");
        let is_certain =
            ["auth", "probe", "login"].contains(&kind) && !line.contains("proxying to");
        (is_named && is_certain)
            .then(|| Template { line: line.to_owned(), peer: peer.parse().unwrap() })
    });
    let named: Vec<Template> = named.collect();
    assert!(named.len() > 100, "only {} lines", named.len());
    named
}

fn peer() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

proptest! {
    /// Whatever the client calls itself, the guess counts, and counts against the client.
    #[test]
    fn the_address_is_always_the_peers(name in hostile_name(), ip in peer()) {
        let session = id_of(ip);
        let upper = name.to_ascii_uppercase();
        let lines = [
            format!("imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<{name}>, method=PLAIN, rip={ip}, lip=192.0.2.1, TLS, session=<{session}>"),
            format!("imap-login: Aborted login (auth failed, 1 attempts): user=<{name}>, method=PLAIN, rip={ip}, lip=192.0.2.1"),
            format!("imap-login: Login aborted: x (auth failed, 1 attempts in 2 secs) (auth_failed): user=<{name}>, rip={ip}, lip=192.0.2.1, session=<{session}>"),
            format!("imap-login: Disconnected: x (auth failed, 1 attempts in 2 secs): rip={ip} user=<{name}> session=<{session}>"),
            format!("auth: passwd-file({name},{ip},<{session}>): unknown user"),
            format!("auth-worker(9): conn unix:auth-worker (pid=8,uid=9): auth-worker<3>: sql({name},{ip},<{session}>): Password mismatch"),
            format!("auth({name},{ip},sasl:plain)<{session}>: passwd-file: unknown user"),
            format!("auth-worker({name},{ip})<9><{session}>: request [2]: sql: Password mismatch"),
            format!("auth-worker({name},{ip})<9><{session}>: request [2]: Info: pam: pam_authenticate() failed: Authentication failure (Password mismatch?)"),
            format!("auth({name},{ip},sasl:plain,master)<{session}>: m: Password mismatch (SHA1 of given password: a4b4)"),
            format!("imap-login: Login aborted: Logged out (tried to use unsupported auth mechanism, 1 attempts in 0 secs) (invalid_mech): user=<{name}>, method={upper}, rip={ip}, lip=192.0.2.1, session=<{session}>"),
            format!("imap-login: Disconnected: x (tried to use unsupported auth mechanism): user=<>, method={upper}, rip={ip}, lip=192.0.2.1, session=<{session}>"),
            format!("imap-login: Disconnected: x (tried to use unsupported auth mechanism): rip={ip}, user=<>, method={upper}, lip=192.0.2.1, session=<{session}>"),
        ];
        for line in lines {
            let found = verdict(&line).map(|(_, ip)| ip);
            prop_assert_eq!(found, Some(ip.to_canonical().to_string()), "{}", line);
        }
        // What holds client text and says nothing of a failure says nothing of anybody.
        for message in [
            format!("imap-login: Pre-login ID sent: {name}: user=<>, rip={ip}, lip=192.0.2.1, session=<{session}>"),
            format!("imap-login: Info: ID sent: name={name}: user=<>, rip={ip}, lip=192.0.2.1"),
            format!("imap-login: proxy(x,192.0.2.53:143): Login failed: {name}: user=<x>, method=PLAIN, rip={ip}"),
            format!("imap-login: Authenticate {upper} failed: Unsupported authentication mechanism.: user=<>, method={upper}, rip={ip}"),
            format!("imap({name})<9><{session}>: Disconnected: Logged out"),
            format!("auth: login({name},{ip},<{session}>): Request timed out waiting for client to continue authentication (150 secs)"),
            format!("auth: sql({name},{ip},<{session}>): Password query failed: x (y)"),
            format!("auth: pam({name},{ip},master,<{session}>): pam_authenticate() failed: Authentication failure (Password mismatch?)"),
            format!("auth: pam({name},{ip},other,<{session}>): Password mismatch"),
            format!("auth({name},{ip},sasl:plain)<{session}>: ldap: failed (y)"),
        ] {
            let found = verdict(&message).map(|(_, ip)| ip);
            prop_assert!(found.is_none() || found == Some(ip.to_canonical().to_string()), "{}", message);
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

    /// What is written of a user who is in begins with his name.
    #[test]
    fn a_line_that_begins_with_a_name_is_no_line_of_a_login(name in name_like_a_line(), ip in peer()) {
        let session = id_of(ip);
        for before in [
            "",
            "Nov 24 16:59:00 ",
            "2026-11-24T16:59:00Z ",
            "Nov 24 16:59:00 mail ",
            "Nov 24 16:59:00 mail dovecot: ",
            "<22>1 2026-11-24T16:59:00Z mail dovecot - - - ",
            "2026-11-24T16:59:00Z mail dovecot - - - ",
            "2026-11-24T16:59:00.123456789Z stderr F Nov 24 16:59:00 ",
        ] {
            for service in ["imap", "pop3", "lmtp", "managesieve", "submission", "indexer-worker"] {
                let line = format!("{before}{service}({name})<9><{session}>: Info: Logged out");
                prop_assert_eq!(judge(Mode::Aggressive, line.as_bytes()), None, "{}", line);
            }
        }
    }

    /// The same for names that are no text at all.
    #[test]
    fn the_address_is_the_peers_also_behind_bytes(
        name in proptest::collection::vec(any::<u8>().prop_filter("one line", |byte| *byte != b'\n'), 0..60),
        ip in peer(),
    ) {
        let session = id_of(ip);
        for (head, tail) in [
            ("imap-login: Disconnected: x (auth failed, 1 attempts in 2 secs): user=<".to_owned(), format!(">, method=PLAIN, rip={ip}, lip=192.0.2.1, session=<{session}>")),
            ("auth(".to_owned(), format!(",{ip},sasl:plain)<{session}>: passwd-file: unknown user")),
            ("auth: sql(".to_owned(), format!(",{ip},<{session}>): unknown user")),
        ] {
            let prefix = format!("Nov 24 16:59:00 mail dovecot: {head}");
            let line = [prefix.as_bytes(), &name, tail.as_bytes()].concat();
            let Some(Event::Failure(found)) = judge(Mode::Normal, &line) else { panic!("{line:?}") };
            prop_assert_eq!(found.ip, ip.to_canonical());
        }
    }

    /// The same on every line that a real daemon wrote of a named client, with another name.
    #[test]
    fn the_address_is_the_peers_on_every_real_line_whatever_the_name(
        template in proptest::sample::select(templates()),
        name in hostile_name(),
        mechanism in hostile_name(),
    ) {
        let Template { line, peer } = template.with_name(&name).with_mechanism(&mechanism);
        let found = judge(Mode::Aggressive, line.as_bytes()).map(|event| match event {
            Event::Failure(failure) => failure.ip,
            Event::Login(login) => login.ip,
            Event::MasterLogin(_) => panic!("no master logged in"),
        });
        // Beside a quoted password, two addresses that differ make a line that says nothing.
        let may_be_silent = line.contains("given password: ") || line.contains("(username: ");
        prop_assert!(found == Some(peer) || (may_be_silent && found.is_none()), "{:?}: {}", found, line);
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
