//! The addresses of this host, for `ignoreself`.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// Addresses come and go (DHCP, failover); this is how late that is noticed.
const REFRESH: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct OwnAddresses {
    known: Vec<IpAddr>,
    read_at: Option<Instant>,
}

impl OwnAddresses {
    /// The addresses, if they are not the ones returned last time.
    pub(super) fn changed(&mut self) -> Option<Vec<IpAddr>> {
        if self.read_at.is_some_and(|at| at.elapsed() < REFRESH) {
            return None;
        }
        self.read_at = Some(Instant::now());
        match read() {
            Ok(current) if current == self.known => None,
            Ok(current) => {
                self.known.clone_from(&current);
                Some(current)
            }
            Err(error) => {
                tracing::warn!("cannot read this host's own addresses: {error}");
                None
            }
        }
    }
}

fn read() -> nix::Result<Vec<IpAddr>> {
    let mut own: Vec<IpAddr> = nix::ifaddrs::getifaddrs()?
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect();
    own.sort();
    own.dedup();
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::OwnAddresses;

    #[test]
    fn knows_loopback_and_tells_it_once() {
        let mut own = OwnAddresses::default();
        let first = own.changed().unwrap_or_default();
        assert!(first.contains(&"127.0.0.1".parse().unwrap()), "{first:?}");
        assert_eq!(own.changed(), None);
    }
}
