//! What a policy comes to, measure by measure, in the same words wherever it is told.

use super::words::{about, number, share};
use crate::report::{Effect, Read};

pub(super) struct Measure {
    pub(super) label: &'static str,
    of: fn(&Effect) -> u64,
    /// What it is a part of.
    whole: Option<fn(&Effect, &Read) -> u64>,
    is_seconds: bool,
}

impl Measure {
    /// It, and what it is a part of.
    pub(super) fn share_of(&self, effect: &Effect, read: &Read) -> Option<(u64, u64)> {
        Some(((self.of)(effect), (self.whole?)(effect, read)))
    }

    pub(super) fn show(&self, effect: &Effect, read: &Read) -> String {
        let value = (self.of)(effect);
        let shown = if self.is_seconds { about(value) } else { number(value) };
        match self.whole {
            None => shown,
            Some(whole) => format!("{shown} ({})", share(value, whole(effect, read))),
        }
    }
}

const fn plain(label: &'static str, of: fn(&Effect) -> u64) -> Measure {
    Measure { label, of, whole: None, is_seconds: false }
}

pub(super) const MEASURES: [Measure; 9] = [
    plain("Bans", |effect| effect.bans),
    plain("Clients banned", |effect| effect.banned_clients),
    Measure {
        label: "Attackers caught",
        of: |effect| effect.attackers_caught,
        whole: Some(|effect, _| effect.attackers),
        is_seconds: false,
    },
    Measure {
        label: "Failures prevented",
        of: |effect| effect.prevented_failures,
        whole: Some(|_, read| read.failures),
        is_seconds: false,
    },
    Measure {
        label: "Connections prevented",
        of: |effect| effect.prevented_connections,
        whole: Some(|_, read| read.connections),
        is_seconds: false,
    },
    Measure {
        label: "Login-process time saved",
        of: |effect| effect.prevented_login_process_seconds,
        whole: Some(|_, read| read.login_process_seconds),
        is_seconds: true,
    },
    plain("Banned clients with real users", |effect| effect.clients_with_users_hit),
    plain("Real users hit", |effect| effect.users_hit),
    plain("Logins locked out", |effect| effect.logins_locked_out),
];
