//! Network interfaces as the kernel knows them: a name as the admin writes it goes in; the
//! index, the canonical name, the kind and the attached XDP program come out. By netlink and
//! not from `/sys`, which may show another network namespace than the one packets come in by.

use std::io;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkLayerType, LinkMessage, LinkXdp, XdpAttached},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::net::if_::{if_nameindex, if_nametoindex};

use super::FirewallError;

/// One interface of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    /// What it is called now; altnames lead here.
    pub(super) name: String,
    kind: LinkLayerType,
    pub(super) mtu: u32,
    pub(super) xdp: Option<Attached>,
}

/// The XDP program of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attached {
    pub(super) program: u32,
    pub(super) generic: bool,
}

impl Interface {
    /// The interface with that name or altname; otherwise the error lists those there are.
    pub(super) fn named(name: &str) -> Result<Self, FirewallError> {
        index_of(name).and_then(Self::with_index).ok_or_else(|| {
            let known = if_nameindex()
                .map(|list| {
                    list.iter().map(|it| it.name().to_string_lossy().into_owned()).collect()
                })
                .unwrap_or_default();
            FirewallError::UnknownInterface { name: name.to_owned(), known }
        })
    }

    /// `None` where there is no such interface (any more).
    pub(super) fn with_index(index: u32) -> Option<Self> {
        match ask(index) {
            Ok(interface) => Some(interface),
            Err(error) => {
                tracing::debug!("interface {index}: {error}");
                None
            }
        }
    }

    /// The classifier reads Ethernet. On a tunnel, packets begin with their IP header, and all
    /// of them would pass without a word.
    pub(super) fn require_ethernet(&self) -> Result<(), FirewallError> {
        match self.kind {
            // Loopback has an Ethernet header, too.
            LinkLayerType::Ether | LinkLayerType::Loopback => Ok(()),
            kind => Err(FirewallError::NotEthernet {
                interface: self.name.clone(),
                kind: kind.to_string().to_lowercase(),
            }),
        }
    }
}

/// The index of a name or altname in this network namespace.
pub(super) fn index_of(name: &str) -> Option<u32> {
    if_nametoindex(name).ok()
}

fn ask(index: u32) -> io::Result<Interface> {
    let mut request = LinkMessage::default();
    request.header.index = index;
    let mut packet = NetlinkMessage::new(
        NetlinkHeader::default(),
        NetlinkPayload::from(RouteNetlinkMessage::GetLink(request)),
    );
    packet.header.flags = NLM_F_REQUEST;
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);

    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    let (bytes, _) = socket.recv_from_full()?;
    match NetlinkMessage::deserialize(&bytes).map_err(io::Error::other)?.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => read(&link),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn read(link: &LinkMessage) -> io::Result<Interface> {
    let mut name = None;
    let (mut mtu, mut xdp) = (0, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(found) => name = Some(found.clone()),
            LinkAttribute::Mtu(found) => mtu = *found,
            LinkAttribute::Xdp(found) => xdp = attached(found),
            _ => {}
        }
    }
    let name = name.ok_or(io::ErrorKind::InvalidData)?;
    let kind = link.header.link_layer_type;
    Ok(Interface { index: link.header.index, name, kind, mtu, xdp })
}

fn attached(xdp: &[LinkXdp]) -> Option<Attached> {
    let program = xdp.iter().find_map(|one| match one {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) => Some(*id),
        _ => None,
    })?;
    let generic = xdp.contains(&LinkXdp::Attached(XdpAttached::SocketBuffer));
    Some(Attached { program, generic })
}

#[cfg(test)]
mod tests {
    use super::{FirewallError, Interface};

    #[test]
    fn loopback_is_known_and_a_stranger_is_answered_with_who_is_there() {
        let lo = Interface::named("lo").unwrap();
        assert_eq!((lo.index, lo.name.as_str(), lo.require_ethernet().is_ok()), (1, "lo", true));
        let Err(FirewallError::UnknownInterface { known, .. }) = Interface::named("nope0") else {
            panic!("nope0 is known");
        };
        assert!(known.contains(&"lo".to_owned()), "{known:?}");
        assert_eq!(Interface::with_index(999_999), None);
    }
}
