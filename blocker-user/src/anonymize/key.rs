//! What stands for an address, a user or a host.

use std::{
    hash::Hasher as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use siphasher::sip::SipHasher13;

use crate::dovecot::{SEED_LEN, random_seed};

/// What has a meaning of its own stays what it is: 10.1.2.3 becomes another address of 10/8. With
/// it stay the first bits that an address shares with one of these. Prefix and its length.
const SPECIAL_V4: [(Ipv4Addr, u32); 8] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::LOCALHOST, 128),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

/// By which everything is replaced.
#[derive(Clone)]
pub struct Key([u8; SEED_LEN]);

impl Key {
    /// One that nobody knows: what is replaced by it can be compared with nothing else.
    #[must_use]
    pub fn random() -> Self {
        Self(random_seed())
    }

    /// The one of these words, for reports and logs that are to be compared.
    #[must_use]
    pub fn of_words(words: &str) -> Self {
        let half = |number: u8| {
            let mut hasher = SipHasher13::new_with_key(&[number; SEED_LEN]);
            hasher.write(words.as_bytes());
            u128::from(hasher.finish())
        };
        Self((half(0) << 64 | half(1)).to_ne_bytes())
    }

    #[must_use]
    pub fn address(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(v4) => {
                let special = SPECIAL_V4.map(|(ip, len)| (ip.to_bits().into(), len));
                let bits = self.bits(v4.to_bits().into(), u32::BITS, &special);
                IpAddr::V4(u32::try_from(bits).map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from_bits))
            }
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => match self.address(IpAddr::V4(v4)) {
                    IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
                    v6 @ IpAddr::V6(_) => v6,
                },
                None => {
                    let special = SPECIAL_V6.map(|(ip, len)| (ip.to_bits(), len));
                    let bits = self.bits(v6.to_bits(), u128::BITS, &special);
                    IpAddr::V6(Ipv6Addr::from_bits(bits))
                }
            },
        }
    }

    #[must_use]
    pub fn network(&self, net: &IpNet) -> IpNet {
        let ip = self.address(net.network());
        IpNet::new(ip, net.prefix_len()).map_or(*net, |net| net.trunc())
    }

    /// A user, without regard to case; the domain of several stays one.
    #[must_use]
    pub fn user(&self, name: &str) -> String {
        match name.split_once('@') {
            Some((local, domain)) => format!("{}@{}", self.local(local), self.host(domain)),
            None => self.local(name),
        }
    }

    fn local(&self, name: &str) -> String {
        if name.is_empty() { String::new() } else { format!("u{:010x}", self.hash(b'u', name)) }
    }

    #[must_use]
    pub fn host(&self, name: &str) -> String {
        if name.is_empty() {
            String::new()
        } else {
            format!("h{:010x}.example", self.hash(b'h', name))
        }
    }

    /// Another number of as many digits.
    pub(super) fn digits(&self, digits: &str) -> String {
        let mut state = self.hash(b'n', digits);
        let digit = |_| {
            let digit = u8::try_from(state % 10).unwrap_or(0);
            state /= 10;
            char::from(b'0' + digit)
        };
        digits.chars().map(digit).collect()
    }

    /// 40 bits.
    fn hash(&self, kind: u8, text: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write_u8(kind);
        hasher.write(text.to_ascii_lowercase().as_bytes());
        hasher.finish() >> 24
    }

    /// Turns around each bit or leaves it, by the key and the bits before it alone: so whoever has
    /// these in common has them in common afterwards, and no two become one. Above what is
    /// special nothing is turned.
    fn bits(&self, address: u128, len: u32, special: &[(u128, u32)]) -> u128 {
        let first = |bits: u128, count: u32| bits.checked_shr(len - count).unwrap_or(0);
        (0..len).fold(0, |replaced, count| {
            let before = first(address, count);
            let bit = first(address, count + 1) & 1;
            let leads_to =
                |(net, net_len): &(u128, u32)| *net_len > count && first(*net, count) == before;
            let turn = !special.iter().any(leads_to) && self.turns(len, count, before);
            replaced << 1 | bit ^ u128::from(turn)
        })
    }

    fn turns(&self, len: u32, count: u32, before: u128) -> bool {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write_u32(len);
        hasher.write_u32(count);
        hasher.write_u128(before);
        hasher.finish() & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::Key;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    fn common(a: u128, b: u128, len: u32) -> u32 {
        (a ^ b).leading_zeros() - (u128::BITS - len)
    }

    proptest! {
        #[test]
        fn addresses_keep_what_they_have_in_common(
            a in any::<u32>(), differ in 0_u32..32, wide in any::<u128>(), wide_differ in 0_u32..128
        ) {
            let key = Key::random();
            let v4 = |bits| match key.address(IpAddr::V4(Ipv4Addr::from_bits(bits))) {
                IpAddr::V4(ip) => u128::from(ip.to_bits()),
                IpAddr::V6(_) => unreachable!(),
            };
            let b = a ^ 1 << differ;
            prop_assert_eq!(common(v4(a), v4(b), 32), common(a.into(), b.into(), 32));
            let v6 = |bits| match key.address(IpAddr::V6(Ipv6Addr::from_bits(bits))) {
                IpAddr::V6(ip) => ip.to_bits(),
                IpAddr::V4(_) => unreachable!(),
            };
            let other = wide ^ 1 << wide_differ;
            prop_assert_eq!(common(v6(wide), v6(other), 128), common(wide, other, 128));
        }
    }

    #[test]
    fn what_is_special_stays_special_and_the_rest_does_not_stay() {
        let key = Key::of_words("a");
        let address = |text: &str| key.address(text.parse().unwrap());
        assert!(matches!(address("10.1.2.3"), IpAddr::V4(ip) if ip.is_private()));
        assert!(matches!(address("192.168.1.2"), IpAddr::V4(ip) if ip.is_private()));
        assert!(address("127.0.0.1").is_loopback());
        assert!(address("::1").is_loopback());
        assert!(matches!(address("fe80::1"), IpAddr::V6(ip) if ip.is_unicast_link_local()));
        assert_ne!(address("203.0.113.7"), "203.0.113.7".parse::<IpAddr>().unwrap());
        assert_ne!(address("203.0.113.7"), Key::of_words("b").address([203, 0, 113, 7].into()));
        assert_eq!(address("203.0.113.7"), Key::of_words("a").address([203, 0, 113, 7].into()));
    }

    #[test]
    fn a_domain_stays_one_and_case_is_nothing() {
        let key = Key::random();
        assert_eq!(key.user("Alice"), key.user("alice"));
        assert_ne!(key.user("alice"), key.user("bob"));
        let (one, other) = (key.user("alice@Example.org"), key.user("bob@example.org"));
        assert_eq!(one.split_once('@').unwrap().1, other.split_once('@').unwrap().1);
        assert_eq!(one.split_once('@').unwrap().0, key.user("alice"));
        assert_eq!(key.digits("1234567").len(), 7);
        assert_eq!(key.user(""), "");
    }
}
