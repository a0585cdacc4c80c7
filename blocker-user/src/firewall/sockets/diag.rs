//! The kernel's TCP sockets by netlink (`sock_diag(7)`): listed, and destroyed one by one.

use std::{io, net::IpAddr};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_sock_diag::{
    AF_INET, AF_INET6, IPPROTO_TCP, SockDiagDestroy, SockDiagMessage,
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

/// What the kernel fills at most in one go.
const BUFFER_BYTES: usize = 32 * 1024;

const ENOENT: i32 = 2;
const EOPNOTSUPP: i32 = 95;

pub(super) struct Diag {
    socket: Socket,
    buffer: Vec<u8>,
}

/// Whether sockets can be destroyed.
pub(super) enum Support {
    There,
    /// What the kernel was built without.
    Lacking(&'static str),
}

/// A socket with a peer.
pub(super) struct Connection {
    family: u8,
    id: SocketId,
}

impl Connection {
    /// The client. One that speaks IPv4 to a socket of both families has its IPv4 address.
    pub(super) fn peer(&self) -> IpAddr {
        self.id.destination_address.to_canonical()
    }
}

impl Diag {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, buffer: Vec::with_capacity(BUFFER_BYTES) })
    }

    /// Asks for the destruction of a socket that cannot be.
    pub(super) fn support(&mut self) -> io::Result<Support> {
        // Listing first: the answer below would be the same without the module that lists.
        match self.connections(|_, _| false) {
            Err(error) if error.raw_os_error() == Some(ENOENT) => {
                return Ok(Support::Lacking("way to list TCP sockets (CONFIG_INET_TCP_DIAG)"));
            }
            listed => drop(listed?),
        }
        let nobody = Connection { family: AF_INET, id: SocketId::new_v4() };
        match self.destroy(&nobody) {
            Ok(_) => Ok(Support::There),
            Err(error) if error.raw_os_error() == Some(EOPNOTSUPP) => {
                Ok(Support::Lacking("SOCK_DESTROY (CONFIG_INET_DIAG_DESTROY)"))
            }
            Err(error) => Err(error),
        }
    }

    /// The connections, half-open ones included, that `wanted` picks by local port and peer.
    pub(super) fn connections(
        &mut self,
        mut wanted: impl FnMut(u16, IpAddr) -> bool,
    ) -> io::Result<Vec<Connection>> {
        // A listening socket has no peer, and one in TIME_WAIT occupies no process.
        let states = StateFlags::all()
            .difference(StateFlags::LISTEN | StateFlags::CLOSE | StateFlags::TIME_WAIT);
        let mut found = Vec::new();
        for (family, any) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            let request = SockDiagMessage::InetRequest(request(family, states.clone(), any));
            self.send(request, NLM_F_REQUEST | NLM_F_DUMP)?;
            self.receive(|answer| {
                if let SockDiagMessage::InetResponse(response) = answer {
                    let connection = Connection { family, id: response.header.socket_id };
                    if wanted(connection.id.source_port, connection.peer()) {
                        found.push(connection);
                    }
                }
            })?;
        }
        Ok(found)
    }

    /// The server's end is closed with an error, the client's by a reset. `false` where it had
    /// ended by itself.
    pub(super) fn destroy(&mut self, connection: &Connection) -> io::Result<bool> {
        let request = request(connection.family, StateFlags::all(), connection.id.clone());
        let message = SockDiagDestroy::new(SockDiagMessage::InetRequest(request));
        self.send(message, NLM_F_REQUEST | NLM_F_ACK)?;
        match self.receive(|_| {}) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn send<T>(&self, message: T, flags: u16) -> io::Result<()>
    where
        T: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<T>>,
    {
        let mut packet = NetlinkMessage::new(NetlinkHeader::default(), message.into());
        packet.header.flags = flags;
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    /// Hands every answer to `each`, up to the end of a list or an acknowledgement.
    fn receive(&mut self, mut each: impl FnMut(SockDiagMessage)) -> io::Result<()> {
        loop {
            self.buffer.clear();
            self.socket.recv(&mut self.buffer, 0)?;
            let mut rest = self.buffer.as_slice();
            while !rest.is_empty() {
                let message = NetlinkMessage::deserialize(rest).map_err(|error| invalid(&error))?;
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => each(answer),
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(()),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::Done(done) if done.code == 0 => return Ok(()),
                    NetlinkPayload::Done(done) => {
                        return Err(io::Error::from_raw_os_error(done.code.saturating_neg()));
                    }
                    _ => {}
                }
                let length = usize::try_from(message.header.length)
                    .map_err(|error| invalid(&error))?
                    .next_multiple_of(4);
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
}

fn request(family: u8, states: StateFlags, socket_id: SocketId) -> InetRequest {
    let extensions = ExtensionFlags::empty();
    InetRequest { family, protocol: IPPROTO_TCP, extensions, states, socket_id }
}

fn invalid(error: &dyn std::error::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

    use super::Diag;

    /// The peers of those who are connected to `port`.
    fn peers(port: u16) -> Vec<IpAddr> {
        let found = Diag::open().unwrap().connections(|local, _| local == port).unwrap();
        found.iter().map(super::Connection::peer).collect()
    }

    #[test]
    fn a_connection_is_listed_by_its_local_port_and_a_listener_is_none() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(peers(address.port()), [IpAddr::V4(Ipv4Addr::LOCALHOST); 0]);
        let _client = TcpStream::connect(address).unwrap();
        let _server = listener.accept().unwrap();
        assert_eq!(peers(address.port()), [Ipv4Addr::LOCALHOST]);
    }

    #[test]
    fn a_client_by_ipv4_at_a_socket_of_both_families_has_its_ipv4_address() {
        let Ok(listener) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else { return };
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let _server = listener.accept().unwrap();
        assert_eq!(peers(port), [Ipv4Addr::LOCALHOST]);
    }
}
