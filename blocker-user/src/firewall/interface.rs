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
        index_of(name).and_then(Self::with_index).ok_or_else(|| FirewallError::UnknownInterface {
            name: name.to_owned(),
            known: known(),
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
        self.set(vec![LinkXdp::Fd(new), LinkXdp::Flags(flags), LinkXdp::ExpectedFd(old)])?.map_err(
            |refused| match refused.said {
                Some(said) => io::Error::other(format!("{}: {said}", refused.error)),
                None => refused.error,
            },
        )
    }

    /// Why the driver takes no program in native mode, in its own words: a link is refused with
    /// a number alone, netlink gives the reason. `None` where it has none.
    pub(super) fn objection(&self, program: BorrowedFd<'_>) -> Option<String> {
        // XDP_FLAGS_UPDATE_IF_NOEXIST and XDP_FLAGS_DRV_MODE
        let flags = 1 << 0 | 1 << 2;
        match self.set(vec![LinkXdp::Fd(program.as_raw_fd()), LinkXdp::Flags(flags)]) {
            Ok(Err(refused)) => refused.said,
            Ok(Ok(())) => {
                // It has changed its mind; what is not held by a link is not to stay.
                let _next_attempt_says_why = self.replace_program(None, program, false);
                None
            }
            Err(_) => None,
        }
    }

    /// The inner error is the kernel's refusal.
    fn set(&self, wanted: Vec<LinkXdp>) -> io::Result<Result<(), Refused>> {
        let mut request = LinkMessage::default();
        request.header.index = self.index;
        request.attributes.push(LinkAttribute::Xdp(wanted));
        Ok(match exchange(RouteNetlinkMessage::SetLink(request), NLM_F_REQUEST | NLM_F_ACK)? {
            NetlinkPayload::Error(error) if error.code.is_some() => {
                Err(Refused { error: error.to_io(), said: words(&error.header) })
            }
            _ => Ok(()),
        })
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

/// What the kernel answers, and why if it says so.
struct Refused {
    error: io::Error,
    said: Option<String>,
}

/// The text in what follows the code of an error: the header of the request, then attributes
/// (`struct nlattr`), of which `NLMSGERR_ATTR_MSG` is one.
fn words(behind_code: &[u8]) -> Option<String> {
    const REQUEST_HEADER: usize = 16;
    const ATTRIBUTE_HEADER: usize = 4;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let mut rest = behind_code.get(REQUEST_HEADER..)?;
    loop {
        let &[l0, l1, t0, t1, ..] = rest else { return None };
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        if u16::from_ne_bytes([t0, t1]) == NLMSGERR_ATTR_MSG {
            let text = rest.get(ATTRIBUTE_HEADER..length)?;
            return Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
        }
        rest = rest.get(length.max(ATTRIBUTE_HEADER).next_multiple_of(4)..)?;
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

/// The name that `name` may be a slip of, among those that do not differ by a number alone:
/// `eth1` that is yet to come is no slip of `eth0`.
pub(super) fn nearest(name: &str) -> Option<String> {
    nearest_of(name, &known())
}

fn nearest_of(name: &str, known: &[String]) -> Option<String> {
    let stem = |name: &str| name.trim_end_matches(|it: char| it.is_ascii_digit()).to_owned();
    let slips = |other: &String| (strsim::damerau_levenshtein(name, other), other.clone());
    let (slips, found) = known.iter().map(slips).min()?;
    (slips <= 2.min(found.len() / 2) && stem(name) != stem(&found)).then_some(found)
}

/// The names of all interfaces.
fn known() -> Vec<String> {
    let list = if_nameindex();
    list.iter().flat_map(|list| list.iter().map(|it| it.name().to_string_lossy().into())).collect()
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
    // An error comes with its reason, and without the request.
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
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
    use super::{FirewallError, Interface, Kind, LinkLayerType, nearest_of, words};

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
    fn a_slip_is_told_from_an_interface_that_is_yet_to_come() {
        let known = ["lo", "eth0", "enp1s0"].map(str::to_owned);
        for (typed, meant) in [
            ("ehth0", Some("eth0")),
            ("enp1so", Some("enp1s0")),
            ("eth1", None),
            ("wg0", None),
            ("tun12", None),
        ] {
            assert_eq!(nearest_of(typed, &known).as_deref(), meant, "{typed}");
        }
    }

    #[test]
    fn the_kernels_words_are_found_among_the_attributes() {
        let mut answer = vec![0; 16];
        answer.extend([8, 0, 2, 0, 9, 9, 9, 9]);
        answer.extend([9, 0, 1, 0]);
        answer.extend(b"busy\0\0\0\0");
        assert_eq!(words(&answer).as_deref(), Some("busy"));
        for cut in 0..32 {
            assert_eq!(words(&answer[..cut]), None, "{cut}");
        }
        assert_eq!(words(&[0; 64]), None);
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
