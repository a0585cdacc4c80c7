//! Network interfaces as the kernel knows them: a name as the admin writes it goes in; the
//! index, the canonical name, the kind and the attached XDP program come out. By netlink and
//! not from `/sys`, which may show another network namespace than the one packets come in by.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, XdpAttached},
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
    pub(super) layer: Kind,
    /// The index of the device that a VLAN is on.
    pub(super) parent: Option<u32>,
    /// The index of the bridge or bond that this is a part of.
    pub(super) controller: Option<u32>,
}

/// Which of the devices it is that lie on others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    Bridge,
    Bond,
    Vlan,
    #[default]
    Other,
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

    /// Puts `new`, or nothing, in the place of the program `old` in one step, and fails where
    /// another one is there by now. For programs that no BPF link holds.
    pub(super) fn replace_program(
        &self,
        new: Option<BorrowedFd<'_>>,
        old: BorrowedFd<'_>,
        generic: bool,
    ) -> io::Result<()> {
        // XDP_FLAGS_REPLACE, and XDP_FLAGS_SKB_MODE or XDP_FLAGS_DRV_MODE
        let flags = 1 << 4 | if generic { 1 << 1 } else { 1 << 2 };
        let old = u32::try_from(old.as_raw_fd()).map_err(io::Error::other)?;
        let new = new.map_or(-1, |new| new.as_raw_fd());
        let mut request = LinkMessage::default();
        request.header.index = self.index;
        let wanted = vec![LinkXdp::Fd(new), LinkXdp::Flags(flags), LinkXdp::ExpectedFd(old)];
        request.attributes.push(LinkAttribute::Xdp(wanted));
        match exchange(RouteNetlinkMessage::SetLink(request), NLM_F_REQUEST | NLM_F_ACK)? {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            _ => Ok(()),
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

/// Every interface of this network namespace.
pub(super) fn all() -> Vec<Interface> {
    let known = if_nameindex();
    let indices = known.iter().flat_map(|list| list.iter().map(|it| it.index()));
    indices.filter_map(Interface::with_index).collect()
}

/// The index of a name or altname in this network namespace.
pub(super) fn index_of(name: &str) -> Option<u32> {
    if_nametoindex(name).ok()
}

fn ask(index: u32) -> io::Result<Interface> {
    let mut request = LinkMessage::default();
    request.header.index = index;
    match exchange(RouteNetlinkMessage::GetLink(request), NLM_F_REQUEST)? {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => read(&link),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// One request to the kernel, and its answer.
fn exchange(
    request: RouteNetlinkMessage,
    flags: u16,
) -> io::Result<NetlinkPayload<RouteNetlinkMessage>> {
    let mut packet = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(request));
    packet.header.flags = flags;
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);

    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;
    let (bytes, _) = socket.recv_from_full()?;
    Ok(NetlinkMessage::deserialize(&bytes).map_err(io::Error::other)?.payload)
}

fn read(link: &LinkMessage) -> io::Result<Interface> {
    let mut name = None;
    let (mut mtu, mut xdp, mut layer) = (0, None, Kind::Other);
    let (mut parent, mut controller) = (None, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(found) => name = Some(found.clone()),
            LinkAttribute::Mtu(found) => mtu = *found,
            LinkAttribute::Xdp(found) => xdp = attached(found),
            LinkAttribute::LinkInfo(found) => layer = kind_of(found),
            LinkAttribute::Link(found) => parent = Some(*found),
            LinkAttribute::Controller(found) => controller = Some(*found),
            _ => {}
        }
    }
    let name = name.ok_or(io::ErrorKind::InvalidData)?;
    let kind = link.header.link_layer_type;
    let index = link.header.index;
    Ok(Interface { index, name, kind, mtu, xdp, layer, parent, controller })
}

fn kind_of(info: &[LinkInfo]) -> Kind {
    let kind = info.iter().find_map(|one| match one {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    });
    match kind {
        Some(InfoKind::Bridge) => Kind::Bridge,
        Some(InfoKind::Bond) => Kind::Bond,
        Some(InfoKind::Vlan) => Kind::Vlan,
        _ => Kind::Other,
    }
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
    use super::{FirewallError, Interface, Kind, LinkLayerType};

    impl Interface {
        /// An Ethernet device without anything special.
        pub(crate) fn of_test(index: u32, name: &str) -> Self {
            Self {
                index,
                name: name.to_owned(),
                kind: LinkLayerType::Ether,
                mtu: 1500,
                xdp: None,
                layer: Kind::Other,
                parent: None,
                controller: None,
            }
        }
    }

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
