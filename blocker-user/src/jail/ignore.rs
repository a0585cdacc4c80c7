//! Who is never banned: ignoreip, and this host itself.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The networks of `ignoreip` and the addresses of this host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IgnoreList {
    networks: Vec<IpNet>,
    /// What the names on the list stand for; resolved elsewhere, as that takes time.
    named: Vec<IpAddr>,
    own: Vec<IpAddr>,
    ignoreself: bool,
}

/// Why something is never banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SparedBy {
    #[error("ignoreip spares {0}")]
    Ignoreip(IpNet),
    #[error("it is this host's own address, which ignoreself spares")]
    Ignoreself,
}

impl IgnoreList {
    /// With `ignoreself`, loopback and whatever [`IgnoreList::set_own`] is given count too.
    #[must_use]
    pub fn new(networks: Vec<IpNet>, ignoreself: bool) -> Self {
        Self { networks, named: Vec::new(), own: Vec::new(), ignoreself }
    }

    /// The addresses that the names of `ignoreip` have by now.
    pub fn set_named(&mut self, named: Vec<IpAddr>) {
        self.named = named.into_iter().map(|ip| ip.to_canonical()).collect();
    }

    pub(super) fn set_own(&mut self, own: Vec<IpAddr>) {
        self.own = own;
    }

    /// The addresses of this host stay.
    pub(super) fn replace(&mut self, list: Self) {
        *self = Self { own: std::mem::take(&mut self.own), ..list };
    }

    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let own = self.ignoreself && (ip.is_loopback() || self.own.contains(&ip));
        own || self.named.contains(&ip) || self.networks.iter().any(|net| net.contains(&ip))
    }

    /// Why nothing of `subject` is ever banned, if that is so.
    #[must_use]
    pub fn spares(&self, subject: &IpNet) -> Option<SparedBy> {
        if let Some(network) = self.networks.iter().find(|network| network.contains(subject)) {
            return Some(SparedBy::Ignoreip(*network));
        }
        self.networks().iter().any(|own| own.contains(subject)).then_some(SparedBy::Ignoreself)
    }

    /// What inside `subject` is never banned.
    #[must_use]
    pub fn inside(&self, subject: &IpNet) -> Vec<IpNet> {
        let mut networks = self.networks();
        networks.retain(|network| subject.contains(network));
        networks
    }

    /// Everything that is ignored, as networks.
    #[must_use]
    pub fn networks(&self) -> Vec<IpNet> {
        let mut all = self.networks.clone();
        all.extend(self.named.iter().map(|&ip| IpNet::from(ip)));
        if self.ignoreself {
            all.push(IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0), 8)));
            all.push(IpNet::V6(Ipv6Net::from(std::net::Ipv6Addr::LOCALHOST)));
            all.extend(self.own.iter().map(|&ip| IpNet::from(ip)));
        }
        all.iter_mut().for_each(|net| *net = net.trunc());
        all.sort();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::{IgnoreList, SparedBy};

    #[test]
    fn tells_what_is_spared_as_a_whole_from_what_is_spared_in_part() {
        let mut list = IgnoreList::new(vec!["198.51.100.0/25".parse().unwrap()], true);
        list.set_own(vec!["192.0.2.1".parse().unwrap()]);
        let spares = |subject: &str| list.spares(&subject.parse().unwrap());
        let ignoreip = SparedBy::Ignoreip("198.51.100.0/25".parse().unwrap());
        assert_eq!(spares("198.51.100.7/32"), Some(ignoreip));
        assert_eq!(spares("198.51.100.0/26"), Some(ignoreip));
        assert_eq!(spares("192.0.2.1/32"), Some(SparedBy::Ignoreself));
        assert_eq!(spares("127.0.0.0/16"), Some(SparedBy::Ignoreself));
        assert_eq!(spares("192.0.2.0/24"), None);
        assert_eq!(spares("198.51.100.0/24"), None);
        let inside = list.inside(&"192.0.0.0/8".parse().unwrap());
        assert_eq!(inside, ["192.0.2.1/32".parse().unwrap()]);
    }

    #[test]
    fn ignores_what_it_was_given_and_the_host_itself() {
        let mut list = IgnoreList::new(vec!["127.0.0.1/8".parse().unwrap()], false);
        list.set_own(vec!["192.0.2.1".parse().unwrap()]);
        assert!(list.contains("127.9.9.9".parse().unwrap()));
        assert!(!list.contains("192.0.2.1".parse().unwrap()), "ignoreself is off");
        assert!(!list.contains("::1".parse().unwrap()), "ignoreself is off");

        let mut list = IgnoreList::new(vec!["2001:db8::/32".parse().unwrap()], true);
        list.set_own(vec!["192.0.2.1".parse().unwrap()]);
        for ignored in ["127.0.0.1", "::1", "192.0.2.1", "2001:db8:ffff::1"] {
            assert!(list.contains(ignored.parse().unwrap()), "{ignored}");
        }
        assert!(!list.contains("192.0.2.2".parse().unwrap()));
        assert_eq!(list.networks().len(), 4);
    }

    #[test]
    fn what_a_name_stood_for_before_is_not_ignored_any_more() {
        let mut list = IgnoreList::new(Vec::new(), false);
        list.set_named(vec!["192.0.2.7".parse().unwrap(), "::ffff:192.0.2.8".parse().unwrap()]);
        assert!(list.contains("192.0.2.7".parse().unwrap()));
        assert!(list.contains("192.0.2.8".parse().unwrap()));
        assert_eq!(list.networks().len(), 2);
        list.set_named(vec!["192.0.2.9".parse().unwrap()]);
        assert!(!list.contains("192.0.2.7".parse().unwrap()));
        assert!(list.contains("192.0.2.9".parse().unwrap()));
    }
}
