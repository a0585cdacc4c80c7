//! What the maps say of one address, asked in the order in which the program asks.

use std::net::IpAddr;

use aya::maps::lpm_trie::Key;
use blocker_common::abi::FAMILY_BITS;
use ipnet::IpNet;

use super::{Maps, absent_is_none};
use crate::firewall::{
    FirewallError,
    clock::Clock,
    slot::{Slot, trie_key},
};

impl Maps {
    /// Whether packets from `ip` to guarded ports are dropped now.
    pub(in crate::firewall::xdp) fn drop_from(
        &self,
        ip: IpAddr,
        ipv6_prefix: u8,
    ) -> Result<bool, FirewallError> {
        let host = IpNet::from(ip);
        let banned = self.banned_exactly(&host, ipv6_prefix)? || self.banned_as_network(&host)?;
        Ok(banned && !self.allows(&host)?)
    }

    fn banned_exactly(&self, host: &IpNet, ipv6_prefix: u8) -> Result<bool, FirewallError> {
        let subject = match host {
            IpNet::V4(_) => *host,
            IpNet::V6(v6) => IpNet::new(v6.addr().into(), ipv6_prefix).unwrap_or(*host),
        };
        let ban = self.get(&Slot::of(&subject, ipv6_prefix))?;
        Ok(ban.is_some_and(|ban| Clock::is_ahead(ban.expires)))
    }

    /// An ended ban says nothing about a wider one, so the search goes on behind it.
    fn banned_as_network(&self, host: &IpNet) -> Result<bool, FirewallError> {
        let (mut bits, network) = trie_key(host);
        loop {
            let found = self.net.get(&Key::new(bits, network), 0);
            let Some(ban) = absent_is_none(found, "look a banned network up")? else {
                return Ok(false);
            };
            if Clock::is_ahead(ban.expires) {
                return Ok(true);
            }
            let Some(wider) = ban.prefix_len.checked_sub(1) else { return Ok(false) };
            bits = FAMILY_BITS + u32::from(wider);
        }
    }

    fn allows(&self, host: &IpNet) -> Result<bool, FirewallError> {
        let (bits, network) = trie_key(host);
        let found = self.allow.get(&Key::new(bits, network), 0);
        Ok(absent_is_none(found, "look at the allow list")?.is_some())
    }
}
