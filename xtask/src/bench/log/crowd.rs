//! Whose addresses are in a log.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Crowd {
    /// Some ten thousand, each of which logs in and fails.
    Few,
    /// Sixty thousand customers who log in and mistype, and attackers, of whom there are others
    /// every day.
    Month { day: u64 },
    /// Every failure is another's, up to so many; then they come again in the same order.
    Distinct { next: u64, of: u64 },
}

/// One in four has IPv6.
pub(super) fn customer(number: u64) -> IpAddr {
    address(number, [100, 64], 0x2001_0db8)
}

pub(super) fn attacker(number: u64) -> IpAddr {
    // Of every four, one has another network of IPv6.
    address(number, [11, 0], 0x2a00_0000)
}

fn address(number: u64, v4: [u8; 2], v6: u32) -> IpAddr {
    // Eight bytes, the last four of which are the number: there are fewer clients than that.
    let [.., a, b, c, d] = number.to_be_bytes();
    if number % 4 == 0 {
        let [high, low] = [v6 >> 16, v6 & 0xffff].map(|part| u16::try_from(part).unwrap_or(0));
        let net = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
        return Ipv6Addr::new(high, low | net[0], net[1], 1, 0, 0, 0, 7).into();
    }
    // Three bytes, and what is beyond in the first one.
    let [first, second] = v4;
    Ipv4Addr::new(first.wrapping_add(a), second.wrapping_add(b), c, d).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_are_addresses_and_no_two_share_one() {
        let all: BTreeSet<IpAddr> = (0..200_000).map(|it| attacker(it * 23)).collect();
        assert_eq!(all.len(), 200_000);
        assert_eq!(all.iter().filter(|ip| ip.is_ipv6()).count(), 50_000);
        let customers: BTreeSet<IpAddr> = (0..60_000).map(customer).collect();
        assert!(customers.is_disjoint(&all));
        assert_eq!(customers.len(), 60_000);
    }
}
