//! What the program has counted and not yet given to the bans: it remembers a verdict for a
//! timer tick, and with it what it drops by it.

use std::{collections::HashMap, net::IpAddr};

use blocker_common::abi::{Ban, RECENT, Recent};
use ipnet::IpNet;

use super::Maps;
use crate::firewall::FirewallError;

impl Maps {
    /// Adds what every CPU still holds for `bans`.
    pub(super) fn add_recent(&self, bans: &mut [(IpNet, Ban)]) -> Result<(), FirewallError> {
        let mut held: HashMap<(IpNet, u8), (u64, u64)> = HashMap::new();
        for place in 0..u32::try_from(RECENT).unwrap_or(u32::MAX) {
            let per_cpu = self.recent.get(&place, 0);
            let per_cpu = per_cpu.map_err(FirewallError::bpf("read what was dropped last"))?;
            for recent in per_cpu.iter().filter(|recent| recent.dropped_packets > 0) {
                let Some(subject) = subject(recent) else { continue };
                let (packets, bytes) = held.entry((subject, recent.serial)).or_default();
                *packets += recent.dropped_packets;
                *bytes += recent.dropped_bytes;
            }
        }
        if held.is_empty() {
            return Ok(());
        }
        for (subject, ban) in bans {
            if let Some((packets, bytes)) = held.get(&(*subject, ban.serial)) {
                ban.dropped_packets += packets;
                ban.dropped_bytes += bytes;
            }
        }
        Ok(())
    }
}

/// Who is banned, where `recent` is a source of his.
fn subject(recent: &Recent) -> Option<IpNet> {
    let source = match recent.addr {
        [a, b, c, d, ..] if recent.family == 4 => IpAddr::from([a, b, c, d]),
        addr => IpAddr::from(addr),
    };
    IpNet::new(source, recent.prefix_len).ok().map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::{Recent, subject};

    #[test]
    fn a_source_stands_for_the_prefix_that_is_banned() {
        let shown = |recent| subject(&recent).map(|net| net.to_string());
        let mut recent = Recent { family: 4, prefix_len: 24, ..Recent::default() };
        recent.addr[..4].copy_from_slice(&[192, 0, 2, 7]);
        assert_eq!(shown(recent).as_deref(), Some("192.0.2.0/24"));
        recent.prefix_len = 33;
        assert_eq!(shown(recent), None);
        let addr = "2001:db8::1:2:3:4".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let recent = Recent { family: 6, prefix_len: 64, addr, ..Recent::default() };
        assert_eq!(shown(recent).as_deref(), Some("2001:db8::/64"));
    }
}
