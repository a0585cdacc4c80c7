//! A server that waits for its clients to speak, as Dovecot does: what a connection is held to.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    client::Client,
    netns::World,
    wait::{self, LIMIT},
};

#[derive(Debug)]
pub struct Holder {
    listener: TcpListener,
    port: u16,
}

/// Both ends of one connection.
#[derive(Debug)]
pub struct Held {
    client: TcpStream,
    server: TcpStream,
}

impl Holder {
    /// Listens on `port` of `address` in the server's namespace.
    pub fn listen(world: &World, address: IpAddr, port: u16) -> Result<Self> {
        let listener = world.server.enter(|| {
            let listener = TcpListener::bind(SocketAddr::new(address, port));
            listener.with_context(|| format!("listening on {address} port {port}"))
        })?;
        Ok(Self { listener, port })
    }

    /// `client` connects, and has been accepted.
    pub fn hold(&self, client: &Client<'_>) -> Result<Held> {
        let client = client.connect(self.port)?;
        let (server, _) = self.listener.accept()?;
        server.set_nonblocking(true)?;
        Ok(Held { client, server })
    }
}

impl Held {
    /// Something said by the client reaches the server.
    pub fn expect_alive(&mut self) -> Result<()> {
        self.client.write_all(b"?").context("the client's end")?;
        wait::until(LIMIT, "the server to hear something", || match self.server.read(&mut [0; 1]) {
            Ok(1) => Ok(Some(())),
            Ok(_) => bail!("the server's end is at its end"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).context("the server's end"),
        })
    }

    /// So many bytes of the client's reach the server.
    pub fn expect_transfer(&mut self, bytes: usize) -> Result<()> {
        let Self { client, server } = self;
        server.set_nonblocking(false)?;
        server.set_read_timeout(Some(LIMIT))?;
        std::thread::scope(|scope| {
            let sent = scope.spawn(|| client.write_all(&vec![b'x'; bytes]));
            server.read_exact(&mut vec![0; bytes]).context("the server's end")?;
            sent.join().map_err(|_| anyhow::anyhow!("the client panicked"))?.context("sending")
        })
    }

    /// The server learns, with the client silent, that there is no connection any more.
    pub fn expect_closed(&mut self) -> Result<()> {
        let end = wait::until(LIMIT, "the server to lose the connection", || {
            Ok(match self.server.read(&mut [0; 1]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                other => Some(other.map_err(|error| error.kind())),
            })
        })?;
        ensure!(end == Err(io::ErrorKind::ConnectionAborted), "the server's end: {end:?}");
        Ok(())
    }
}
