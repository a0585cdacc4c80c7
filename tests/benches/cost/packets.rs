//! The packets that are judged, and the sources that are banned.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use blocker_user::firewall;
use etherparse::{PacketBuilder, VlanId};
use ipnet::IpNet;

pub(crate) const GUARDED_PORT: u16 = 143;
pub(crate) const OTHER_PORT: u16 = 8080;

/// The first banned IPv4 address, 10.0.0.1, as a number. The others follow it.
pub(crate) const FIRST_BANNED: u32 = 0x0a00_0001;
/// The first of as many addresses that are not banned, 172.16.0.1.
pub(crate) const FIRST_CLEAN: u32 = 0xac10_0001;

const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const SERVER_V4: [u8; 4] = [192, 0, 2, 1];
const SERVER_V6: [u16; 8] = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1];

pub(crate) fn v4(number: u32) -> IpNet {
    firewall::host(IpAddr::from(banned_v4(number)))
}

pub(crate) fn banned_v4(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(FIRST_BANNED + number)
}

/// Prefixes of 64 bits.
pub(crate) fn v6(number: u32) -> IpNet {
    IpNet::new_assert(IpAddr::from(banned_v6(number)), 64).trunc()
}

pub(crate) fn banned_v6(number: u32) -> Ipv6Addr {
    Ipv6Addr::from((0x2001_0db8_u128 << 96) | (u128::from(number) << 64) | 7)
}

/// A SYN from `source` to the server.
pub(crate) fn syn(source: IpAddr, port: u16) -> Result<Vec<u8>> {
    write(source, port, None)
}

/// The same in a VLAN.
pub(crate) fn syn_in_vlan(source: IpAddr, port: u16) -> Result<Vec<u8>> {
    write(source, port, Some(VlanId::try_new(7).context("a VLAN id")?))
}

fn write(source: IpAddr, port: u16, vlan: Option<VlanId>) -> Result<Vec<u8>> {
    let ethernet = PacketBuilder::ethernet2(CLIENT_MAC, SERVER_MAC);
    let ip = match (source, vlan) {
        (IpAddr::V4(source), None) => ethernet.ipv4(source.octets(), SERVER_V4, 64),
        (IpAddr::V4(source), Some(id)) => {
            ethernet.single_vlan(id).ipv4(source.octets(), SERVER_V4, 64)
        }
        (IpAddr::V6(source), vlan) => {
            let server = Ipv6Addr::from(SERVER_V6).octets();
            match vlan {
                None => ethernet.ipv6(source.octets(), server, 64),
                Some(id) => ethernet.single_vlan(id).ipv6(source.octets(), server, 64),
            }
        }
    };
    let mut packet = Vec::new();
    ip.tcp(40000, port, 1, 1024).syn().write(&mut packet, b"")?;
    Ok(packet)
}
