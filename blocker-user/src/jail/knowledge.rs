//! What a jail knows about one client, for whoever asks why it is banned or not.

use ipnet::IpNet;

use super::{Jail, SparedBy, key::Key, window::Evidence};
use crate::{dovecot::Mode, time::LogTime};

/// Everything about `subject` that a decision could rest on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knowledge {
    /// Whether a ban is in force, and its end.
    pub banned: Option<Option<LogTime>>,
    /// A wider network that is banned.
    pub covering: Option<IpNet>,
    /// Why it is never banned.
    pub spared: Option<SparedBy>,
    /// Failures that count by now.
    pub failures: Option<Failures>,
    /// The last login from there, if silent probes are forgiven for it.
    pub login: Option<LogTime>,
}

/// Failures within findtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// In units of `maxretry`.
    pub count: u32,
    pub maxretry: u32,
    pub first: LogTime,
    pub last: LogTime,
}

impl Jail {
    /// `asked` is inside `subject`, which is what is counted and banned for it.
    #[must_use]
    pub fn knowledge(&self, asked: &IpNet, subject: &IpNet, now: LogTime) -> Knowledge {
        let key = Key::from(*subject);
        let share = self.policy.share(Mode::Normal);
        let window = self.windows.counted(&key, now).map(|(Evidence { sum, .. }, first, last)| {
            Failures { count: share.attempts(sum), maxretry: share.maxretry, first, last }
        });
        Knowledge {
            banned: self.active.end(&key, now),
            covering: self.covering(subject, now),
            spared: self.ignore.spares(asked),
            failures: window,
            login: self.logins.last(&key, now, self.policy.ignore_authenticated),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Failures, Knowledge};
    use crate::{
        dovecot::{FAILREGEX, Failure, Login},
        jail::{IgnoreList, Jail, Policy, SparedBy},
        time::LogTime,
    };

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn at(secs: i64) -> LogTime {
        LogTime::from_secs(1_000_000 + secs)
    }

    fn known(jail: &Jail, secs: i64) -> Knowledge {
        jail.knowledge(&CLIENT.into(), &CLIENT.into(), at(secs))
    }

    #[test]
    fn tells_what_counts_and_until_when() {
        let mut jail = Jail::new(Policy::default(), IgnoreList::default(), 0);
        assert_eq!(known(&jail, 0), Knowledge::default());
        for secs in [0, 60] {
            jail.failure(&Failure::new(CLIENT, &FAILREGEX), at(secs), at(secs));
        }
        jail.login(&Login { ip: CLIENT, session: None, name: None }, at(70), at(70));
        let failures = Failures { count: 2, maxretry: 5, first: at(0), last: at(60) };
        let expected =
            Knowledge { failures: Some(failures), login: Some(at(70)), ..Knowledge::default() };
        assert_eq!(known(&jail, 80), expected);
        // Out of findtime, and more than a day after the login.
        assert_eq!(known(&jail, 90_000), Knowledge::default());
        for secs in 100..103 {
            jail.failure(&Failure::new(CLIENT, &FAILREGEX), at(secs), at(secs));
        }
        assert_eq!(known(&jail, 103).banned, Some(Some(at(702))));
        assert_eq!(known(&jail, 703).banned, None);
    }

    #[test]
    fn tells_what_spares_and_what_covers() {
        let network = "192.0.2.0/24".parse().unwrap();
        let list = IgnoreList::new(vec![network], false);
        let mut jail = Jail::new(Policy::default(), list, 0);
        jail.adopt("192.0.0.0/16".parse().unwrap(), None);
        let known = known(&jail, 0);
        assert_eq!(known.spared, Some(SparedBy::Ignoreip(network)));
        assert_eq!(known.covering, Some("192.0.0.0/16".parse().unwrap()));
    }
}
