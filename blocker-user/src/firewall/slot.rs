//! Which map, and which key in it, stands for a banned network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use blocker_common::abi::{FAMILY_BITS, FAMILY_V4, FAMILY_V6, Network, V4Key, V6Key};
use ipnet::IpNet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    V4(V4Key),
    V6(V6Key),
    Net { bits: u32, network: Network },
}

impl Slot {
    /// Single IPv4 addresses and IPv6 prefixes of the counted length have hash maps of
    /// their own; any other network goes to the trie.
    pub(super) fn of(subject: &IpNet, ipv6_prefix: u8) -> Self {
        match subject.trunc() {
            IpNet::V4(net) if net.prefix_len() == 32 => {
                Self::V4(V4Key { addr: net.network().octets() })
            }
            IpNet::V6(net) if net.prefix_len() == ipv6_prefix => {
                Self::V6(V6Key { addr: net.network().octets() })
            }
            net => Self::network(&net),
        }
    }

    /// The slot of `subject` in the trie, whatever its length.
    pub(super) fn network(subject: &IpNet) -> Self {
        let (bits, network) = trie_key(&subject.trunc());
        Self::Net { bits, network }
    }
}

/// `net` as the tries hold it: the family, then the address.
pub(super) fn trie_key(net: &IpNet) -> (u32, Network) {
    let bits = FAMILY_BITS + u32::from(net.prefix_len());
    let network = match net.network() {
        IpAddr::V4(v4) => {
            let mut addr = [0; 16];
            addr[..4].copy_from_slice(&v4.octets());
            Network { family: FAMILY_V4, addr }
        }
        IpAddr::V6(v6) => Network { family: FAMILY_V6, addr: v6.octets() },
    };
    (bits, network)
}

pub(super) fn v4_subject(key: V4Key) -> IpNet {
    IpNet::from(IpAddr::from(Ipv4Addr::from(key.addr)))
}

pub(super) fn v6_subject(key: V6Key, prefix_len: u8) -> IpNet {
    network(IpAddr::from(Ipv6Addr::from(key.addr)), prefix_len)
}

/// The network a trie key stands for.
pub(super) fn trie_subject(bits: u32, key: Network) -> IpNet {
    let prefix_len = u8::try_from(bits.saturating_sub(FAMILY_BITS)).unwrap_or(u8::MAX);
    let addr = match key.addr {
        [a, b, c, d, ..] if key.family == FAMILY_V4 => IpAddr::from([a, b, c, d]),
        addr => IpAddr::from(addr),
    };
    network(addr, prefix_len)
}

fn network(addr: IpAddr, prefix_len: u8) -> IpNet {
    IpNet::new(addr, prefix_len).unwrap_or_else(|_| IpNet::from(addr))
}

#[cfg(test)]
mod tests {
    use super::{Slot, trie_key, trie_subject, v4_subject, v6_subject};
    use ipnet::IpNet;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn every_network_reads_back_from_its_slot() {
        for text in ["192.0.2.7/32", "198.51.100.0/24", "2001:db8:1:2::/64", "2001:db8::/32"] {
            let back = match Slot::of(&net(text), 64) {
                Slot::V4(key) => v4_subject(key),
                Slot::V6(key) => v6_subject(key, 64),
                Slot::Net { bits, network } => trie_subject(bits, network),
            };
            assert_eq!(back, net(text));
        }
    }

    #[test]
    fn host_bits_do_not_matter() {
        assert_eq!(Slot::of(&net("2001:db8::5/64"), 64), Slot::of(&net("2001:db8::/64"), 64));
    }

    #[test]
    fn everything_and_nothing_are_networks_too() {
        for text in ["0.0.0.0/0", "::/0", "::ffff:0:0/95", "::ffff:192.0.2.0/120"] {
            let (bits, network) = trie_key(&net(text).trunc());
            assert_eq!(trie_subject(bits, network), net(text).trunc());
        }
    }

    #[test]
    fn no_network_of_one_family_is_a_prefix_of_the_other() {
        let (v4, v6) = (trie_key(&net("0.0.0.0/0")), trie_key(&net("::/0")));
        assert!(v4.0 == v6.0 && v4.0 >= u64::BITS && v4.1.family != v6.1.family);
    }
}
