//! The rules by name. This table is what `doveblock regex` counts by and what a ban names
//! as its reason.

use std::{fmt, str::FromStr};

/// Which lines count, with fail2ban's meaning: aggressive is normal and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Failed authentication.
    Normal,
    /// Clients that never tried to authenticate as well: probes and scanners.
    Aggressive,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Aggressive => "aggressive",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a mode; there are normal and aggressive")]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "normal" => Ok(Self::Normal),
            "aggressive" => Ok(Self::Aggressive),
            _ => Err(UnknownMode(text.to_owned())),
        }
    }
}

/// A named reason to count a line against an address.
#[derive(Debug, PartialEq)]
pub struct Rule {
    /// Stable, for configuration, metrics and reports.
    pub name: &'static str,
    /// The lowest mode in which the rule counts.
    pub mode: Mode,
    /// Where the wording comes from.
    pub source: &'static str,
    /// A message of a real daemon, without timestamp and host.
    pub example: &'static str,
}

/// How a rule recognises the reason in a login process's line.
pub(super) struct Reason {
    pub(super) rule: &'static Rule,
    /// Beginnings of the words in parentheses.
    words: &'static [&'static [u8]],
    /// The event codes of Dovecot 2.4.
    codes: &'static [&'static [u8]],
}

const LOGIN_COMMON: &str = "login processes, src/login-common/client-common.c";
const AUTH_PROCESS: &str = "auth process with auth_verbose=yes, src/auth/auth-request.c";

pub(super) static AUTH_FAILED: Rule = Rule {
    name: "auth-failed",
    mode: Mode::Normal,
    source: LOGIN_COMMON,
    example: "imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<alice>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(super) static CLEARTEXT_REFUSED: Rule = Rule {
    name: "cleartext-auth-refused",
    mode: Mode::Normal,
    source: LOGIN_COMMON,
    example: "pop3-login: Disconnected: Connection closed (tried to use disallowed plaintext auth): user=<>, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(super) static UNSUPPORTED_MECHANISM: Rule = Rule {
    name: "unsupported-mechanism",
    mode: Mode::Normal,
    source: LOGIN_COMMON,
    example: "imap-login: Disconnected: Connection closed (tried to use unsupported auth mechanism): user=<>, method=NTLM, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(super) static PROXY_AUTH_FAILED: Rule = Rule {
    name: "proxy-auth-failed",
    mode: Mode::Normal,
    source: LOGIN_COMMON,
    example: "imap-login: Disconnected: Connection closed (proxy dest auth failed): user=<alice>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(super) static NO_AUTH_ATTEMPTS: Rule = Rule {
    name: "no-auth-attempts",
    mode: Mode::Aggressive,
    source: LOGIN_COMMON,
    example: "managesieve-login: Disconnected: Connection closed (no auth attempts in 2 secs): user=<>, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(super) static AUTH_NOT_READY: Rule = Rule {
    name: "left-before-auth-was-ready",
    mode: Mode::Aggressive,
    source: LOGIN_COMMON,
    example: "imap-login: Disconnected: Connection closed (disconnected before auth was ready, waited 0 secs): user=<>, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(super) static SASL_UNFINISHED: Rule = Rule {
    name: "sasl-unfinished",
    mode: Mode::Aggressive,
    source: LOGIN_COMMON,
    example: "imap-login: Disconnected: Connection closed (client didn't finish SASL auth, waited 3 secs): user=<>, method=PLAIN, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(super) static TLS_HANDSHAKE: Rule = Rule {
    name: "tls-handshake-unfinished",
    mode: Mode::Aggressive,
    source: LOGIN_COMMON,
    example: "imap-login: Login aborted: Connection closed (disconnected during TLS handshake) (tls_handshake_not_finished): user=<>, rip=192.0.2.7, lip=192.0.2.1, session=<AAAAAAAAAADAAAIH>",
};
pub(super) static UNKNOWN_USER: Rule = Rule {
    name: "unknown-user",
    mode: Mode::Normal,
    source: AUTH_PROCESS,
    example: "auth: passwd-file(alice,192.0.2.7,<AAAAAAAAAADAAAIH>): unknown user",
};
pub(super) static PASSWORD_MISMATCH: Rule = Rule {
    name: "password-mismatch",
    mode: Mode::Normal,
    source: AUTH_PROCESS,
    example: "auth: passwd-file(alice,192.0.2.7,<AAAAAAAAAADAAAIH>): Password mismatch",
};
pub(super) static PAM_FAILED: Rule = Rule {
    name: "pam-failed",
    mode: Mode::Normal,
    source: "auth-worker with the pam passdb, src/auth/passdb-pam.c, and PAM modules",
    example: "auth-worker(17): pam(alice,192.0.2.7,<AAAAAAAAAADAAAIH>): pam_authenticate() failed: Authentication failure (password mismatch?)",
};

/// Not in the table: its wording is the admin's.
pub(super) static FAILREGEX: Rule = Rule {
    name: "failregex",
    mode: Mode::Normal,
    source: "failregex of the configuration",
    example: "",
};

pub static RULES: [&Rule; 11] = [
    &AUTH_FAILED,
    &CLEARTEXT_REFUSED,
    &UNSUPPORTED_MECHANISM,
    &PROXY_AUTH_FAILED,
    &UNKNOWN_USER,
    &PASSWORD_MISMATCH,
    &PAM_FAILED,
    &NO_AUTH_ATTEMPTS,
    &AUTH_NOT_READY,
    &SASL_UNFINISHED,
    &TLS_HANDSHAKE,
];

/// In the order of how often they are met.
static REASONS: [Reason; 8] = [
    Reason {
        rule: &NO_AUTH_ATTEMPTS,
        words: &[b"no auth attempts"],
        codes: &[b"no_auth_attempts"],
    },
    Reason { rule: &AUTH_FAILED, words: &[b"auth failed, "], codes: &[b"auth_failed"] },
    Reason {
        rule: &CLEARTEXT_REFUSED,
        words: &[b"tried to use disallowed ", b"tried to use disabled "],
        codes: &[b"cleartext_auth_disabled"],
    },
    Reason {
        rule: &UNSUPPORTED_MECHANISM,
        words: &[b"tried to use unsupported auth mechanism"],
        codes: &[b"invalid_mech"],
    },
    Reason {
        rule: &SASL_UNFINISHED,
        words: &[b"client didn't finish SASL auth", b"sent invalid base64 in response"],
        codes: &[b"auth_waiting_client", b"auth_aborted_by_client", b"invalid_base64"],
    },
    Reason {
        rule: &AUTH_NOT_READY,
        words: &[b"disconnected before auth was ready"],
        codes: &[b"auth_process_not_ready"],
    },
    Reason {
        rule: &TLS_HANDSHAKE,
        words: &[b"disconnected during TLS handshake"],
        codes: &[b"tls_handshake_not_finished"],
    },
    Reason {
        rule: &PROXY_AUTH_FAILED,
        words: &[b"proxy dest auth failed"],
        codes: &[b"proxy_dest_auth_failed"],
    },
];

/// The rule for the words in parentheses that end a login process's message.
pub(super) fn by_words(words: &[u8]) -> Option<&'static Rule> {
    let matches = |reason: &&Reason| reason.words.iter().any(|start| words.starts_with(start));
    REASONS.iter().find(matches).map(|reason| reason.rule)
}

/// The rule for an event code of Dovecot 2.4. A code that is not in the table is a cause
/// that no client is to blame for, or one of a later version.
pub(super) fn by_code(code: &[u8]) -> Option<&'static Rule> {
    REASONS.iter().find(|reason| reason.codes.contains(&code)).map(|reason| reason.rule)
}
