//! A client as the tables of the jail know it: an address or a network in 17 bytes.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// `IpNet` takes 18 bytes but hashes as an enum of two structs; there are millions of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    address: [u8; 16],
    /// The prefix length, and [`V4`] for IPv4.
    len: u8,
}

/// Tells 192.0.2.7/32 from ::ffff:192.0.2.7/32. No prefix is as long.
const V4: u8 = 0x80;

impl Key {
    /// All of it, in numbers.
    pub(super) fn parts(self) -> [u64; 3] {
        let bits = u128::from_be_bytes(self.address);
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        [half(bits >> 64), half(bits), u64::from(self.len)]
    }
}

impl From<IpNet> for Key {
    fn from(net: IpNet) -> Self {
        match net {
            IpNet::V4(v4) => {
                Self { address: v4.addr().to_ipv6_mapped().octets(), len: v4.prefix_len() | V4 }
            }
            IpNet::V6(v6) => Self { address: v6.addr().octets(), len: v6.prefix_len() },
        }
    }
}

impl From<IpAddr> for Key {
    fn from(ip: IpAddr) -> Self {
        IpNet::from(ip).into()
    }
}

impl From<Key> for IpNet {
    fn from(key: Key) -> Self {
        let [.., a, b, c, d] = key.address;
        let (ip, len) = if key.len & V4 == 0 {
            (IpAddr::from(key.address), key.len)
        } else {
            (IpAddr::from([a, b, c, d]), key.len & !V4)
        };
        // Made from a valid one, so the fallback is never taken.
        Self::new(ip, len).unwrap_or_else(|_| Self::from(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::Key;
    use ipnet::IpNet;

    #[test]
    fn gives_back_what_it_was_made_from() {
        for text in
            ["192.0.2.7/32", "192.0.2.0/24", "0.0.0.0/0", "::/0", "::ffff:0:0/96", "2001:db8::/64"]
        {
            let net: IpNet = text.parse().unwrap();
            assert_eq!(IpNet::from(Key::from(net)), net);
        }
    }
}
