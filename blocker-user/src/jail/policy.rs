//! The settings of a jail.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use ipnet::{IpNet, Ipv6Net};

use crate::{dovecot::Mode, time::LogTime};

pub use super::increment::Increment;

/// How long a ban lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bantime {
    For(Duration),
    /// fail2ban's `-1`.
    Forever,
}

impl Bantime {
    /// The end of a ban for a failure at `at`; `None` if there is none.
    #[must_use]
    pub fn end(self, at: LogTime) -> Option<LogTime> {
        match self {
            Self::For(span) => Some(at.after(span)),
            Self::Forever => None,
        }
    }
}

/// What makes one failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    /// Each attempt, however many lines tell of it. A login takes its connection's back.
    #[default]
    Attempts,
    /// Each line, as fail2ban does: no more is read out of a line than that it is one, not even
    /// where the log daemon says that it folded several into it. (fail2ban 1.0.2 passes over
    /// such lines of Dovecot's altogether.)
    Lines,
}

/// The settings of a jail, under fail2ban's names where fail2ban has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Failures that make a ban.
    pub maxretry: NonZeroU32,
    /// Silent probes that make a ban, where that differs. See [`Policy::share`].
    pub maxretry_probe: Option<NonZeroU32>,
    pub count: Count,
    /// The time within which they must happen.
    pub findtime: Duration,
    pub bantime: Bantime,
    /// Longer bans for who was banned before.
    pub increment: Increment,
    /// How long a ban is remembered for that: this and three times the ban, from its begin.
    pub dbpurgeage: Duration,
    /// Length of the IPv6 prefix that counts as one client, and is banned as one.
    pub ipv6_prefix: u8,
    /// How long after a login silent probes from its address are forgiven.
    pub ignore_authenticated: Duration,
    /// Most clients to remember failures of; most logins, connections and past bans, each.
    pub max_tracked: usize,
}

impl Default for Policy {
    /// What fail2ban's packaged configuration has. Where fail2ban has no such option: what
    /// judges real users most kindly without letting a guess go uncounted.
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const DAY: u64 = 24 * 60 * MINUTE;
        Self {
            maxretry: NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN),
            maxretry_probe: None,
            count: Count::default(),
            findtime: Duration::from_secs(10 * MINUTE),
            bantime: Bantime::For(Duration::from_secs(10 * MINUTE)),
            increment: Increment::default(),
            dbpurgeage: Duration::from_secs(DAY),
            ipv6_prefix: 64,
            ignore_authenticated: Duration::from_secs(DAY),
            max_tracked: 1 << 20,
        }
    }
}

/// What one failure adds to a client's window, and the sum that makes a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) weight: u32,
    pub(super) limit: u32,
    /// The maxretry of this kind of failure.
    pub(super) maxretry: u32,
}

impl Share {
    /// A sum in failures of this kind, as an admin thinks of it.
    pub(super) fn attempts(self, sum: u32) -> u32 {
        sum / self.weight
    }
}

impl Policy {
    /// The maxretry that failures of `mode`'s rules are held against.
    #[must_use]
    pub fn maxretry_of(&self, mode: Mode) -> NonZeroU32 {
        match mode {
            Mode::Normal => self.maxretry,
            Mode::Aggressive => self.maxretry_probe.unwrap_or(self.maxretry),
        }
    }

    /// How probes and guesses of one client combine. There is one window with one sum, and
    /// each failure adds its part of the whole: a guess one in `maxretry`, a probe one in
    /// `maxretry.probe`. Whoever only guesses or only probes is held to that limit alone, and
    /// who does both in turn gains nothing by it. The parts are brought to a common
    /// denominator, so that all is exact; with equal limits each part is 1 and the whole is
    /// maxretry, which is fail2ban's count.
    pub(super) fn share(&self, mode: Mode) -> Share {
        let maxretry = self.maxretry_of(mode);
        let other = match mode {
            Mode::Normal => self.maxretry_of(Mode::Aggressive),
            Mode::Aggressive => self.maxretry,
        };
        let weight = other.get() / gcd(maxretry.get(), other.get());
        Share { weight, limit: weight.saturating_mul(maxretry.get()), maxretry: maxretry.get() }
    }

    /// What is counted and banned when `ip` fails: itself, or its IPv6 prefix, since an IPv6
    /// client has a whole network of addresses to fail from.
    #[must_use]
    pub fn subject(&self, ip: IpAddr) -> IpNet {
        match ip.to_canonical() {
            IpAddr::V4(v4) => IpNet::from(IpAddr::V4(v4)),
            IpAddr::V6(v6) => Ipv6Net::new(v6, self.ipv6_prefix)
                .map_or_else(|_| IpNet::from(IpAddr::V6(v6)), |net| IpNet::V6(net.trunc())),
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::{Policy, Share};
    use crate::dovecot::Mode;
    use std::num::NonZeroU32;

    fn shares(maxretry: u32, probe: Option<u32>) -> [Share; 2] {
        let policy = Policy {
            maxretry: NonZeroU32::new(maxretry).unwrap(),
            maxretry_probe: probe.and_then(NonZeroU32::new),
            ..Policy::default()
        };
        [Mode::Normal, Mode::Aggressive].map(|mode| policy.share(mode))
    }

    #[test]
    fn without_maxretry_probe_each_failure_is_one() {
        for probe in [None, Some(5)] {
            let one = Share { weight: 1, limit: 5, maxretry: 5 };
            assert_eq!(shares(5, probe), [one, one]);
        }
    }

    #[test]
    fn each_kind_alone_reaches_the_limit_by_its_own_maxretry() {
        for probe in [1, 2, 3, 4, 10, 1000] {
            for share in shares(5, Some(probe)) {
                assert_eq!(share.weight * share.maxretry, share.limit, "{probe}");
            }
        }
        assert_eq!(shares(5, Some(10))[0], Share { weight: 2, limit: 10, maxretry: 5 });
    }
}
