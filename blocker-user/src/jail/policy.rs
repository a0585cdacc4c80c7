//! The settings of a jail.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use ipnet::{IpNet, Ipv6Net};

use crate::time::LogTime;

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

/// The settings of a jail, under fail2ban's names where fail2ban has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Failures that make a ban.
    pub maxretry: NonZeroU32,
    /// The time within which they must happen.
    pub findtime: Duration,
    pub bantime: Bantime,
    /// Length of the IPv6 prefix that counts as one client, and is banned as one.
    pub ipv6_prefix: u8,
    /// How long after a login silent probes from its address are forgiven.
    pub ignore_authenticated: Duration,
    /// Most clients to remember failures of, and most to remember logins of.
    pub max_tracked: usize,
}

impl Default for Policy {
    /// What fail2ban's packaged configuration has, and DESIGN's values for the rest.
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const DAY: u64 = 24 * 60 * MINUTE;
        Self {
            maxretry: NonZeroU32::new(5).unwrap_or(NonZeroU32::MIN),
            findtime: Duration::from_secs(10 * MINUTE),
            bantime: Bantime::For(Duration::from_secs(10 * MINUTE)),
            ipv6_prefix: 64,
            ignore_authenticated: Duration::from_secs(DAY),
            max_tracked: 1 << 20,
        }
    }
}

impl Policy {
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
