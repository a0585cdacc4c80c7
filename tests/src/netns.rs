//! The world: a server and its clients in two network namespaces, joined by a veth pair
//! (or by other interfaces, see [`Wire`]).
//!
//! ```text
//!   namespace server                       namespace client
//!   mail0  192.0.2.1  2001:db8::1  ══════  net0  192.0.2.10  2001:db8:a::10  …
//! ```
//!
//! All clients share `net0` and choose who they are by their source address. Neighbours are
//! permanent and addresses usable at once, so that no packet waits for ARP, neighbour
//! discovery or duplicate address detection.

use std::{
    fmt::Write as _,
    fs::File,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{
    leftovers::Claim,
    process::{command, line, run},
};

/// The server's end of the veth pair: where doveblock attaches.
pub const SERVER_LINK: &str = "mail0";
const CLIENT_LINK: &str = "net0";
const SERVER_MAC: &str = "02:00:00:00:00:01";
const CLIENT_MAC: &str = "02:00:00:00:00:02";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// One machine, with an address of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
}

impl Host {
    #[must_use]
    pub const fn on(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(self.v4),
            Family::V6 => IpAddr::V6(self.v6),
        }
    }

    /// 192.0.2.`last` and 2001:db8:`net`::`last`, where every `net` is another /64.
    const fn new(net: u16, last: u8) -> Self {
        Self {
            v4: Ipv4Addr::new(192, 0, 2, last),
            v6: Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, last as u16),
        }
    }
}

pub const SERVER: Host = Host::new(0, 1);
pub const ATTACKER: Host = Host::new(0xa, 10);
/// Other addresses in the attacker's /64, for an attacker who changes addresses.
pub const ATTACKERS_OTHERS: [Host; 3] =
    [Host::new(0xa, 11), Host::new(0xa, 12), Host::new(0xa, 13)];
pub const SECOND: Host = Host::new(0xb, 20);
pub const USER: Host = Host::new(0xc, 30);

const CLIENTS: [Host; 6] = {
    let [a, b, c] = ATTACKERS_OTHERS;
    [ATTACKER, a, b, c, SECOND, USER]
};

/// A network namespace by name.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// A command that runs inside. Not by `ip netns exec`, which mounts a `/sys` of its own
    /// over the one with the pins.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = command("nsenter");
        command.arg(format!("--net={}", self.path().display())).args(["--", program]);
        command
    }

    /// Runs `inside` on a thread in the namespace. Sockets made there stay there.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                let path = self.path();
                let file = File::open(&path).with_context(|| format!("opening {path:?}"))?;
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .with_context(|| format!("entering {path:?}"))?;
                inside()
            });
            there.join().map_err(|_| anyhow!("panicked in {}", self.name))?
        })
    }

    /// Moves an interface of the caller's namespace in here.
    fn take(&self, link: &str, name: &str, mac: &str) -> Result<()> {
        let mut ip = command("ip");
        run(ip.args(["link", "set", "dev", link, "netns", &self.name, "name", name]))?;
        self.configure(&format!("link set dev {name} address {mac}\n"))
    }

    /// Has `ip` do one thing a line inside.
    fn configure(&self, lines: &str) -> Result<()> {
        let mut ip = command("ip");
        ip.args(["-n", &self.name, "-batch", "-"]);
        ip.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = ip.spawn().with_context(|| format!("cannot run {}", line(&ip)))?;
        let mut stdin = child.stdin.take().context("a child without standard input")?;
        stdin.write_all(lines.as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("{}: {}", line(&ip), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}

/// Drop removes it: the namespaces with all that is in them, the directory, the pins.
#[derive(Debug)]
pub struct World {
    pub server: Namespace,
    pub client: Namespace,
    pub claim: Claim,
}

/// What joins the two namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire<'a> {
    /// A pair made for the world, and gone with it.
    Veth,
    /// Two interfaces of the caller's own namespace that a wire joins already. They keep
    /// their driver, and come back when the world ends.
    Links { server: &'a str, client: &'a str },
}

impl World {
    pub fn new() -> Result<Self> {
        Self::over(Wire::Veth)
    }

    pub fn over(wire: Wire<'_>) -> Result<Self> {
        let claim = Claim::new()?;
        let world = Self {
            server: Namespace { name: claim.namespace("server") },
            client: Namespace { name: claim.namespace("client") },
            claim,
        };
        for namespace in [&world.server, &world.client] {
            run(command("ip").args(["netns", "add", &namespace.name]))?;
        }
        match wire {
            Wire::Veth => world.connect()?,
            Wire::Links { server, client } => {
                world.server.take(server, SERVER_LINK, SERVER_MAC)?;
                world.client.take(client, CLIENT_LINK, CLIENT_MAC)?;
                world.configure()?;
            }
        }
        Ok(world)
    }

    /// Makes the pair that joins the two; once more, where a trial has deleted it.
    pub fn connect(&self) -> Result<()> {
        self.server.configure(&format!(
            "link add name {SERVER_LINK} address {SERVER_MAC} type veth \
             peer name {CLIENT_LINK} address {CLIENT_MAC} netns {}\n",
            self.client.name
        ))?;
        self.configure()
    }

    fn configure(&self) -> Result<()> {
        self.server.configure(&server_lines()?)?;
        self.client.configure(&client_lines()?)
    }
}

fn server_lines() -> Result<String, std::fmt::Error> {
    let mut lines = "link set lo up\n".to_owned();
    address(&mut lines, SERVER_LINK, SERVER)?;
    writeln!(lines, "link set {SERVER_LINK} up")?;
    for host in CLIENTS {
        neighbour(&mut lines, SERVER_LINK, host, CLIENT_MAC)?;
    }
    Ok(lines)
}

fn client_lines() -> Result<String, std::fmt::Error> {
    let mut lines = "link set lo up\n".to_owned();
    for host in CLIENTS {
        address(&mut lines, CLIENT_LINK, host)?;
    }
    writeln!(lines, "link set {CLIENT_LINK} up")?;
    neighbour(&mut lines, CLIENT_LINK, SERVER, SERVER_MAC)?;
    Ok(lines)
}

/// The whole documentation range counts as on the link, so that no routes are needed.
fn address(lines: &mut String, link: &str, host: Host) -> std::fmt::Result {
    writeln!(lines, "addr add {}/24 dev {link}", host.v4)?;
    writeln!(lines, "addr add {}/32 dev {link} nodad", host.v6)
}

fn neighbour(lines: &mut String, link: &str, host: Host, mac: &str) -> std::fmt::Result {
    writeln!(lines, "neigh add {} lladdr {mac} dev {link} nud permanent", host.v4)?;
    writeln!(lines, "neigh add {} lladdr {mac} dev {link} nud permanent", host.v6)
}
