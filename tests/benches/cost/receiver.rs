//! Who receives the frames and drops them: doveblock and the firewalls that admins know, each
//! at the server's end of a veth pair of its own, set up in the way its own documents show.

use std::{
    ffi::CString,
    fmt::Write as _,
    fs::File,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf,
    programs::{Xdp as Program, xdp::XdpMode},
};
use blocker_tests::{
    netns::{SERVER_LINK, World},
    process::{Process, line, run},
    wait,
};
use blocker_user::{
    config::PortList,
    firewall::{Firewall as _, View, Xdp},
};

use crate::{Plan, options, orders, packets};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A program that returns `XDP_DROP`.
    Floor,
    Doveblock,
    XdpFilter,
    NftIngress,
    NftInput,
    Ipset,
    /// A rule for each ban in a chain of its own.
    Fail2ban,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Doveblock => "doveblock",
            Self::XdpFilter => "xdp-filter",
            Self::NftIngress => "nftables set at netdev ingress",
            Self::NftInput => "nftables set at input",
            Self::Ipset => "ipset",
            Self::Fail2ban => "fail2ban's chain",
        }
    }

    /// The program that sets it up, if it is not part of this one.
    pub(crate) const fn tool(self) -> Option<&'static str> {
        match self {
            Self::Floor | Self::Doveblock => None,
            Self::XdpFilter => Some("xdp-filter"),
            Self::NftIngress | Self::NftInput => Some("nft"),
            Self::Ipset => Some("ipset"),
            Self::Fail2ban => Some("iptables"),
        }
    }

    const fn is_xdp(self) -> bool {
        matches!(self, Self::Floor | Self::Doveblock | Self::XdpFilter)
    }
}

/// Fields are dropped in this order: the world last.
pub(crate) struct Receiver {
    pub(crate) kind: Kind,
    pub(crate) bans: u32,
    held: Held,
    pub(crate) world: World,
}

/// What must live on for the receiver to work.
enum Held {
    Program { _object: Ebpf },
    Doveblock { _firewall: Box<Xdp>, view: Box<dyn View> },
    Process { _process: Process },
    Rules,
}

impl Receiver {
    pub(crate) fn new(plan: &Plan, kind: Kind, bans: u32) -> Result<Self> {
        let world = World::new()?;
        if !kind.is_xdp() {
            // Otherwise a veth makes a socket buffer of each frame on the sender's side.
            inside(&world, "ethtool", &["-K", SERVER_LINK, "gro", "on"])?;
        }
        let held = match kind {
            Kind::Floor => floor(plan, &world)?,
            Kind::Doveblock => doveblock(&world, bans)?,
            Kind::XdpFilter => xdp_filter(&world, bans)?,
            Kind::NftIngress | Kind::NftInput => nftables(&world, kind, bans)?,
            Kind::Ipset => ipset(&world, bans)?,
            Kind::Fail2ban => fail2ban(&world, bans)?,
        };
        Ok(Self { kind, bans, held, world })
    }

    /// How many packets it has dropped by its own account; where it keeps none, by the
    /// driver's account of what its XDP program dropped.
    pub(crate) fn dropped(&self) -> Result<u64> {
        let (world, ask) = (&self.world, inside);
        let said = match (self.kind, &self.held) {
            (_, Held::Doveblock { view, .. }) => return Ok(view.counters()?.dropped_packets),
            (Kind::NftIngress, _) => {
                ask(world, "nft", &["list", "chain", "netdev", "mail", "incoming"])
            }
            (Kind::NftInput, _) => {
                ask(world, "nft", &["list", "chain", "inet", "mail", "incoming"])
            }
            (Kind::Ipset, _) => ask(world, "iptables", &["-nvxL", "INPUT"]),
            (Kind::Fail2ban, _) => ask(world, "iptables", &["-nvxL", "f2b-dovecot"]),
            _ => ask(world, "ethtool", &["-S", SERVER_LINK]),
        }?;
        let count = match self.kind {
            Kind::NftIngress | Kind::NftInput => nft_packets(&said),
            Kind::Ipset | Kind::Fail2ban => iptables_drops(&said),
            _ => xdp_drops(&said),
        };
        count.with_context(|| format!("{} did not say what it dropped: {said}", self.kind.name()))
    }
}

fn inside(world: &World, program: &str, arguments: &[&str]) -> Result<String> {
    run(world.server.command(program).args(arguments))
}

/// Hands `text` to a program that reads its orders from standard input.
fn feed(world: &World, program: &str, arguments: &[&str], text: &str) -> Result<()> {
    let mut command: Command = world.server.command(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {}", line(&command)))?;
    let mut stdin = child.stdin.take().context("a child without standard input")?;
    // Whoever stops reading says why, which is worth more than the broken pipe.
    let _ = stdin.write_all(text.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{}: {}", line(&command), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn floor(plan: &Plan, world: &World) -> Result<Held> {
    let mut object = aya::EbpfLoader::new().load(&plan.object)?;
    world.server.enter(|| {
        let program: &mut Program =
            object.program_mut("floor").context("no program floor")?.try_into()?;
        program.load()?;
        program
            .attach(&CString::new(SERVER_LINK)?, XdpMode::Driver)
            .context("attaching the floor")?;
        Ok(())
    })?;
    Ok(Held::Program { _object: object })
}

/// All of it inside: the firewall looks after its interfaces in the namespace it was made in.
fn doveblock(world: &World, bans: u32) -> Result<Held> {
    let options = options(world.claim.pins(), vec![SERVER_LINK.to_owned()]);
    let allowed = ["127.0.0.0/8".parse()?, "192.0.2.1/32".parse()?, "2001:db8::1/128".parse()?];
    world.server.enter(|| {
        let mut firewall = Xdp::open(&options)?;
        firewall.allow(&allowed)?;
        firewall.ban_many(&orders(bans, packets::v4))?;
        firewall.commit()?;
        let view = firewall.view()?;
        Ok(Held::Doveblock { _firewall: Box::new(firewall), view })
    })
}

/// It pins at a fixed place: in a mount namespace of its own that is nobody else's, and gone
/// with the process. It is given the source only; a port is to it another reason to drop.
fn xdp_filter(world: &World, bans: u32) -> Result<Held> {
    let directory = world.claim.dir();
    let list = directory.join("banned");
    let mut text = String::new();
    for number in 0..bans {
        writeln!(text, "{}", packets::banned_v4(number))?;
    }
    std::fs::write(&list, text)?;
    let script = format!(
        "mount -t bpf bpf /sys/fs/bpf && xdp-filter load -m native -f ipv4 {SERVER_LINK} && \
         while read -r ip; do xdp-filter ip -m src \"$ip\" || exit 1; done <{} && \
         echo ready && exec sleep infinity",
        list.display()
    );
    let mut command = world.server.command("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let log = directory.join("xdp-filter.log");
    let mut process = Process::spawn("xdp-filter", &command, &File::create(&log)?)?;
    wait::until(Duration::from_secs(60), "xdp-filter", || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        if process.ended()?.is_some() {
            bail!("xdp-filter: {}", said.trim());
        }
        Ok(said.ends_with("ready\n").then_some(()))
    })?;
    Ok(Held::Process { _process: process })
}

/// One rule and a set, as fail2ban's nftables action has it.
fn nftables(world: &World, kind: Kind, bans: u32) -> Result<Held> {
    let (family, hook) = match kind {
        Kind::NftIngress => ("netdev", format!("ingress device {SERVER_LINK} priority 0")),
        _ => ("inet", "input priority -1".to_owned()),
    };
    let mut rules =
        format!("table {family} mail {{\n set banned {{ type ipv4_addr; elements = {{\n");
    for number in 0..bans {
        writeln!(rules, "{},", packets::banned_v4(number))?;
    }
    write!(
        rules,
        "}} }}\n chain incoming {{ type filter hook {hook};\n \
         tcp dport {{ {} }} ip saddr @banned counter drop\n }}\n}}\n",
        ports("-")
    )?;
    feed(world, "nft", &["-f", "-"], &rules)?;
    Ok(Held::Rules)
}

fn ipset(world: &World, bans: u32) -> Result<Held> {
    let mut set = "create banned hash:ip maxelem 1048576\n".to_owned();
    for number in 0..bans {
        writeln!(set, "add banned {}", packets::banned_v4(number))?;
    }
    feed(world, "ipset", &["restore"], &set)?;
    let ports = ports(":");
    let multiport = ["-p", "tcp", "-m", "multiport", "--dports", &ports];
    let set = ["-m", "set", "--match-set", "banned", "src", "-j", "DROP"];
    inside(world, "iptables", &[&["-I", "INPUT"][..], &multiport, &set].concat())?;
    Ok(Held::Rules)
}

/// The chain of fail2ban's iptables action, with DROP in place of its REJECT: what an answer
/// costs is not asked here.
fn fail2ban(world: &World, bans: u32) -> Result<Held> {
    let mut rules = "*filter\n:INPUT ACCEPT [0:0]\n:f2b-dovecot - [0:0]\n".to_owned();
    writeln!(rules, "-A INPUT -p tcp -m multiport --dports {} -j f2b-dovecot", ports(":"))?;
    for number in 0..bans {
        writeln!(rules, "-A f2b-dovecot -s {}/32 -j DROP", packets::banned_v4(number))?;
    }
    rules.push_str("-A f2b-dovecot -j RETURN\nCOMMIT\n");
    feed(world, "iptables-restore", &[], &rules)?;
    Ok(Held::Rules)
}

/// The ports that doveblock guards, as `25,993-995` with `to` for the dash.
fn ports(to: &str) -> String {
    let ports = PortList::default();
    let shown = ports.ranges().iter().map(|range| match (range.first, range.last) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}{to}{last}"),
    });
    shown.collect::<Vec<_>>().join(",")
}

/// `… counter packets 12 bytes 648 drop`
fn nft_packets(said: &str) -> Option<u64> {
    said.split_once("counter packets ")?.1.split(' ').next()?.parse().ok()
}

/// `      12      648 DROP  tcp …`, of every rule.
fn iptables_drops(said: &str) -> Option<u64> {
    let rules = said.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let packets: u64 = words.next()?.parse().ok()?;
        (words.nth(1)? == "DROP").then_some(packets)
    });
    rules.map(Some).reduce(|a, b| Some(a? + b?)).flatten()
}

/// `     rx_queue_0_xdp_drops: 12`, of every queue.
fn xdp_drops(said: &str) -> Option<u64> {
    let queues = said.lines().filter_map(|line| {
        let (name, count) = line.trim().split_once(": ")?;
        (name.starts_with("rx_queue_") && name.ends_with("_xdp_drops")).then(|| count.parse().ok())
    });
    queues.reduce(|a, b| Some(a? + b?)).flatten()
}

/// Whether a tool is there.
pub(crate) fn is_installed(tool: &str) -> bool {
    ["/usr/sbin", "/sbin", "/usr/bin"].iter().any(|place| Path::new(place).join(tool).is_file())
}
