//! The table. In it first what is met most often.

use super::{Mode, Place, Rule};

const LOGIN_COMMON: &str = "login processes, src/login-common/client-common.c";
const LOGIN_COMMANDS: &str = "login processes, their command parsers, src/*-login/client*.c";
const TLS_LIBRARY: &str = "login processes, src/lib-ssl-iostream, the last words are OpenSSL's";
const AUTH_PROCESS: &str = "auth process with auth_verbose=yes, src/auth/auth-request.c";

pub static RULES: [&Rule; 17] = [
    &NO_AUTH_ATTEMPTS,
    &AUTH_FAILED,
    &CLEARTEXT_REFUSED,
    &UNSUPPORTED_MECHANISM,
    &PROXY_AUTH_FAILED,
    &SASL_UNFINISHED,
    &AUTH_NOT_READY,
    &TLS_UNFINISHED,
    &CERTIFICATE_MISSING,
    &TOO_MANY_BAD_COMMANDS,
    &INPUT_BUFFER_FULL,
    &TLS_GARBAGE,
    &LEFT_WITHOUT_REASON,
    &UNKNOWN_USER,
    &PASSWORD_MISMATCH,
    &PAM_FAILED,
    &PAM_MODULE,
];

pub(in crate::dovecot) static NO_AUTH_ATTEMPTS: Rule = Rule {
    name: "no-auth-attempts",
    mode: Mode::Aggressive,
    place: Place::Reason,
    words: &["no auth attempts"],
    codes: &["no_auth_attempts"],
    source: LOGIN_COMMON,
    example: "managesieve-login: Disconnected: Connection closed (no auth attempts in 2 secs): user=<>, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(in crate::dovecot) static AUTH_FAILED: Rule = Rule {
    name: "auth-failed",
    mode: Mode::Normal,
    place: Place::Reason,
    words: &["auth failed, "],
    codes: &["auth_failed"],
    source: LOGIN_COMMON,
    example: "imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<alice>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
static CLEARTEXT_REFUSED: Rule = Rule {
    name: "cleartext-auth-refused",
    mode: Mode::Normal,
    place: Place::Reason,
    words: &["tried to use disallowed ", "tried to use disabled "],
    codes: &["cleartext_auth_disabled"],
    source: LOGIN_COMMON,
    example: "pop3-login: Disconnected: Connection closed (tried to use disallowed plaintext auth): user=<>, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(in crate::dovecot) static UNSUPPORTED_MECHANISM: Rule = Rule {
    name: "unsupported-mechanism",
    mode: Mode::Normal,
    place: Place::Reason,
    words: &["tried to use unsupported auth mechanism"],
    codes: &["invalid_mech"],
    source: LOGIN_COMMON,
    example: "imap-login: Login aborted: Logged out (tried to use unsupported auth mechanism, 1 attempts in 0 secs) (invalid_mech): user=<>, method=NTLM, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(in crate::dovecot) static PROXY_AUTH_FAILED: Rule = Rule {
    name: "proxy-auth-failed",
    mode: Mode::Normal,
    place: Place::Reason,
    words: &["proxy dest auth failed", "proxy dest authentication failure"],
    codes: &["proxy_dest_auth_failed"],
    source: LOGIN_COMMON,
    example: "imap-login: Disconnected: Connection closed (proxy dest auth failed): user=<alice>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(in crate::dovecot) static SASL_UNFINISHED: Rule = Rule {
    name: "sasl-unfinished",
    mode: Mode::Aggressive,
    place: Place::Reason,
    words: &["client didn't finish ", "sent invalid base64 in response", "auth aborted by client"],
    codes: &["auth_waiting_client", "auth_aborted_by_client", "invalid_base64"],
    source: LOGIN_COMMON,
    example: "imap-login: Disconnected: Connection closed (client didn't finish SASL auth, waited 3 secs): user=<>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(in crate::dovecot) static AUTH_NOT_READY: Rule = Rule {
    name: "left-before-auth-was-ready",
    mode: Mode::Aggressive,
    place: Place::Reason,
    words: &["disconnected before auth was ready"],
    codes: &["auth_process_not_ready"],
    source: LOGIN_COMMON,
    example: "imap-login: Disconnected: Connection closed (disconnected before auth was ready, waited 0 secs): user=<>, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(in crate::dovecot) static TLS_UNFINISHED: Rule = Rule {
    name: "tls-handshake-unfinished",
    mode: Mode::Aggressive,
    place: Place::Reason,
    words: &["disconnected during TLS handshake"],
    codes: &["tls_handshake_not_finished"],
    source: LOGIN_COMMON,
    example: "imap-login: Login aborted: Connection closed (disconnected during TLS handshake) (tls_handshake_not_finished): user=<>, rip=192.0.2.7, lip=192.0.2.1, TLS handshaking: Connection closed, session=<AAAAAAAAAADAAAIH>",
};
static CERTIFICATE_MISSING: Rule = Rule {
    name: "client-certificate-missing",
    mode: Mode::Aggressive,
    place: Place::Reason,
    words: &[
        "cert required, client didn't start TLS",
        "client didn't send a cert",
        "client sent an untrusted cert",
    ],
    codes: &["client_ssl_not_started", "client_ssl_cert_missing", "client_ssl_cert_untrusted"],
    source: LOGIN_COMMON,
    example: "imap-login: Login aborted: Logged out (cert required, client didn't start TLS) (client_ssl_not_started): user=<>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
static TOO_MANY_BAD_COMMANDS: Rule = Rule {
    name: "too-many-bad-commands",
    mode: Mode::Aggressive,
    place: Place::Cause,
    words: &["Too many invalid ", "Too many bad commands"],
    codes: &[],
    source: LOGIN_COMMANDS,
    example: "pop3-login: Disconnected: Disconnected: Too many bad commands (no auth attempts in 0 secs): user=<>, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(in crate::dovecot) static INPUT_BUFFER_FULL: Rule = Rule {
    name: "input-buffer-full",
    mode: Mode::Aggressive,
    place: Place::Cause,
    words: &["Input buffer full", "Literal size too large"],
    codes: &[],
    source: LOGIN_COMMANDS,
    example: "imap-login: Login aborted: Input buffer full (client_limit and process_limit was hit and this login session was killed.) (process_full): user=<>, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
static TLS_GARBAGE: Rule = Rule {
    name: "tls-garbage",
    mode: Mode::Aggressive,
    place: Place::Cause,
    words: &["SSL_accept() failed: ", "SSL_accept() syscall failed: "],
    codes: &[],
    source: TLS_LIBRARY,
    example: "imap-login: Login aborted: Connection closed: SSL_accept() failed: error:0A00009C:SSL routines::http request (disconnected during TLS handshake) (tls_handshake_not_finished): user=<>, rip=192.0.2.7, lip=192.0.2.1, TLS handshaking: SSL_accept() failed: error:0A00009C:SSL routines::http request, session=<AAAAAAAAAADAAAIH>",
};
static LEFT_WITHOUT_REASON: Rule = Rule {
    name: "left-without-reason",
    mode: Mode::Aggressive,
    place: Place::Head,
    words: &["Aborted login", "Remote closed connection", "Client has quit the connection"],
    codes: &[],
    source: "login processes of some versions, 2.3.13's submission-login among them",
    example: "submission-login: Remote closed connection: user=<>, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
static UNKNOWN_USER: Rule = Rule {
    name: "unknown-user",
    mode: Mode::Normal,
    place: Place::Verdict,
    words: &["unknown user", "Unknown user"],
    codes: &[],
    source: AUTH_PROCESS,
    example: "auth: passwd-file(alice,192.0.2.7,<AAAAAAAAAADAAAIH>): unknown user",
};
static PASSWORD_MISMATCH: Rule = Rule {
    name: "password-mismatch",
    mode: Mode::Normal,
    place: Place::Verdict,
    words: &[
        "Password mismatch",
        "password mismatch",
        "Invalid credentials",
        "invalid credentials",
    ],
    codes: &[],
    source: AUTH_PROCESS,
    example: "auth(alice,192.0.2.7,sasl:plain)<AAAAAAAAAADAAAIH>: sql: Password mismatch (SHA1 of given password: 8d6e34)",
};
static PAM_FAILED: Rule = Rule {
    name: "pam-failed",
    mode: Mode::Normal,
    place: Place::Verdict,
    words: &[
        "pam_authenticate() failed: Authentication failure",
        "pam_authenticate() failed: User not known",
        "pam_authenticate() failed: Permission denied",
    ],
    codes: &[],
    source: "auth-worker with the pam passdb, src/auth/passdb-pam.c",
    example: "auth-worker(17): pam(alice,192.0.2.7,<AAAAAAAAAADAAAIH>): pam_authenticate() failed: Authentication failure (password mismatch?)",
};
pub(in crate::dovecot) static PAM_MODULE: Rule = Rule {
    name: "pam-module",
    mode: Mode::Normal,
    place: Place::Pam,
    words: &["(dovecot:auth): authentication failure; "],
    codes: &[],
    source: "PAM modules in the auth process, pam_unix, pam_sss and their kind",
    example: "auth: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser=alice rhost=192.0.2.7  user=alice",
};
