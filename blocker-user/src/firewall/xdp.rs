//! Enforcement in the kernel: loads the program, attaches it, writes the maps.
//!
//! A start either adopts what an earlier daemon pinned (bans, counters, links) or pins
//! everything anew; in both cases the program is replaced in one step per interface and
//! enforcement never pauses. A start that fails leaves things as it found them, whatever
//! fails before [`Firewall::commit`].

mod attach;
mod batch;
mod capacity;
mod grow;
mod link;
mod load;
mod look;
mod maps;
mod migrate;
mod object;
mod room;
mod rules;
mod start;
mod tend;
mod write;

use std::{fs, num::NonZeroU32, os::fd::OwnedFd, path::PathBuf, sync::Arc};

use aya::{Ebpf, programs};
use blocker_common::abi::{self, PortRange, Ports};
use ipnet::IpNet;
use rustix::thread::{CapabilitySet, capabilities};

use super::{
    Firewall, FirewallError, Order, Rules, View, dispatcher::Swap, events, features::Features,
    interface, layers, notices::Notices, pins::PinDir, slot::Slot, sockets::Closer, trace::Tracer,
};
use attach::Wanted;
use capacity::Capacity;
use grow::Growth;
use load::{Recipe, program, verify};
pub use look::{Guard as SeenGuard, Place as SeenPlace, Seen, covers, guard, is_allowed, look};
use maps::{Maps, Pinned, Readers, count};
use migrate::Plan;
use rules::with_rules;
use start::Start;
use tend::Guard;
use write::Room;

/// Where in the kernel the program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum XdpMode {
    /// Native where the driver can, generic otherwise
    #[default]
    Auto,
    /// In the driver, before the kernel allocates anything
    Native,
    /// In the network stack: slower, works with every driver
    Generic,
}

/// What becomes of the packets of the banned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    #[default]
    Drop,
    /// TCP segments are answered with a reset.
    Reset,
}

/// What [`Xdp::open`] needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    pub pin_dir: PathBuf,
    pub interfaces: Vec<String>,
    pub mode: XdpMode,
    /// TCP ports that are guarded.
    pub ports: Vec<PortRange>,
    /// UDP ports that are guarded.
    pub udp_ports: Vec<PortRange>,
    /// Drop the fragments of the banned that carry no port.
    pub drop_fragments: bool,
    pub action: Action,
    /// Length of the IPv6 prefix that one ban covers.
    pub ipv6_prefix: u8,
    /// Most bans of IPv4 addresses, and as many of IPv6 prefixes.
    pub max_bans: NonZeroU32,
    /// Close the connections to those ports that a client holds when it is banned.
    pub close_connections: bool,
    /// Report every verdict on a banned source to the log.
    pub trace: bool,
}

/// The XDP program and its maps. Once committed, dropping it ends nothing: the pins enforce
/// on. Dropped before that it takes back all it has done.
pub struct Xdp {
    options: Options,
    features: Features,
    wanted: Wanted,
    object: Ebpf,
    maps: Maps,
    /// Of the same maps, for other threads.
    readers: Readers,
    /// What they have room for.
    capacity: Capacity,
    growth: Growth,
    settings: Ports,
    guard: Guard,
    room: Room,
    /// Only once committed, and where the kernel can.
    closer: Option<Closer>,
    /// `None` once committed.
    start: Option<Start>,
    tracer: Tracer,
    pins: PinDir,
}

impl Xdp {
    /// What can be known to fail before anything is touched.
    pub fn check(options: &Options) -> Result<(), FirewallError> {
        if !object::is_built() {
            return Err(FirewallError::NoProgram);
        }
        require_capabilities()?;
        attach::resolve(&options.interfaces).map(drop)
    }

    /// Loads and attaches the program, adopting the pins of an earlier daemon. Which ports are
    /// guarded does not change before [`Firewall::commit`].
    pub fn open(options: &Options) -> Result<Self, FirewallError> {
        Self::check(options)?;
        let mut guard = Guard::new(Notices::subscribe());
        let wanted = attach::resolve(&options.interfaces)?;
        for advice in layers::advice(&wanted.present, &interface::all()) {
            tracing::warn!("{advice}");
        }
        let mut pins = PinDir::open(&options.pin_dir)?;
        let plan = Plan::new(pins.path(), options.max_bans)?;
        pins.replace(plan.outdated.clone());
        let (features, tracer) = (Features::detect()?, Tracer::default());
        let capacity = plan.capacity;
        let recipe = Recipe { options, features, capacity, pins: &pins, tracer: &tracer };
        let object = recipe.program()?;
        let mut maps = Maps::open(&pins)?;
        plan.fill(&mut maps, &pins)?;
        let readers = Readers::new(Maps::open(&pins)?);
        let start = Start::new(&maps, &pins)?;
        guard.watch(&wanted, &pins);
        let mut xdp = Self {
            options: options.clone(),
            features,
            guard,
            room: Room::default(),
            wanted,
            object,
            settings: *start.settings(),
            maps,
            readers,
            capacity,
            growth: Growth::default(),
            closer: None,
            start: Some(start),
            tracer,
            pins,
        };
        xdp.begin()?;
        Ok(xdp)
    }

    fn begin(&mut self) -> Result<(), FirewallError> {
        let Self {
            options,
            features,
            wanted,
            object,
            maps,
            capacity,
            settings,
            start,
            tracer,
            pins,
            ..
        } = self;
        let Some(start) = start else {
            return Ok(());
        };
        let recipe = Recipe { options, features: *features, capacity: *capacity, pins, tracer };
        let program = program(object)?;
        verify(program)?;
        start.copied = maps.copy_foreign_prefixes(options.ipv6_prefix)?;
        settings.layout = abi::LAYOUT;
        settings.networks = maps.count_networks()?;
        settings.allowed = count(start.allowed().len());
        maps.set_settings(settings)?;
        attach::attach_all(program, &wanted.present, &recipe, start)?;
        recipe.follow(object)
    }

    /// To be called after every change of the maps, see [`Maps::set_settings`].
    fn forget_verdicts(&mut self) -> Result<(), FirewallError> {
        self.maps.set_settings(&self.settings)
    }

    /// For [`abi::Ban::serial`]: one that an earlier ban of the same subject hardly had.
    fn next_serial(&self) -> Result<u8, FirewallError> {
        let [low, ..] = self.maps.changes()?.to_le_bytes();
        Ok(low.max(1))
    }

    fn close_connections(&self) {
        if let Some(closer) = &self.closer {
            closer.look();
        }
    }

    /// What an earlier daemon left and this one does not want. It is too late to fail: whatever
    /// stays is said.
    fn clear_away(&mut self, start: Start) -> Result<(), FirewallError> {
        start.joined.into_iter().for_each(Swap::keep);
        for (key, _) in start.copied {
            self.maps.remove(&Slot::V6(key))?;
        }
        if let Some(networks) = start.wanted_allowed {
            self.allow(&networks)?;
        }
        attach::detach_others(&self.wanted.present, &self.pins)
    }

    /// It is too late to fail, and bans drop packets without it.
    fn start_closing(&mut self) {
        let (readers, ipv6_prefix) = (self.readers.clone(), self.options.ipv6_prefix);
        let is_banned = Box::new(move |ip| readers.maps().drop_from(ip, ipv6_prefix));
        match Closer::start(self.options.ports.clone(), is_banned) {
            Ok(closer) => {
                self.closer = closer;
                // Of bans that are older than this daemon.
                self.close_connections();
            }
            Err(error) => tracing::error!(
                "connections of the banned are not closed: look at the sockets of this host: {error}"
            ),
        }
    }
}

impl Drop for Xdp {
    fn drop(&mut self) {
        if let Some(start) = self.start.take() {
            start.take_back(&mut self.maps);
        }
    }
}

impl Firewall for Xdp {
    fn ban(&mut self, order: &Order) -> Result<(), FirewallError> {
        self.put_one(order)?;
        self.close_connections();
        Ok(())
    }

    fn ban_many(&mut self, orders: &[Order]) -> Result<(), FirewallError> {
        self.put_many(orders)?;
        self.close_connections();
        Ok(())
    }

    fn is_inherited(&self) -> bool {
        self.pins.had(abi::map::BANS_V4)
    }

    fn evicted(&mut self) -> Vec<IpNet> {
        self.room.take_evicted()
    }

    fn unban(&mut self, subject: &IpNet) -> Result<bool, FirewallError> {
        let found = self.remove(subject)?;
        self.forget_verdicts()?;
        Ok(found)
    }

    fn unban_many(&mut self, subjects: &[IpNet]) -> Result<Vec<IpNet>, FirewallError> {
        self.remove_many(subjects)
    }

    fn allow(&mut self, networks: &[IpNet]) -> Result<(), FirewallError> {
        // Counted before anything is removed and after everything is added: the kernel never
        // skips a trie that has entries.
        self.maps.add_allowed(networks)?;
        self.settings.allowed = count(networks.len());
        if let Some(start) = &mut self.start {
            // Nobody is taken off the list before it is sure that this daemon will run.
            self.settings.allowed = count(start.allowed().len() + networks.len());
            start.wanted_allowed = Some(networks.to_vec());
            return self.forget_verdicts();
        }
        self.forget_verdicts()?;
        self.maps.keep_allowed(networks)?;
        self.forget_verdicts()
    }

    fn commit(&mut self) -> Result<(), FirewallError> {
        if self.start.is_none() {
            return Ok(());
        }
        self.settings = with_rules(self.settings, &self.options.rules());
        self.forget_verdicts()?;
        pin_program(program(&mut self.object)?, &self.pins)?;
        self.pins.keep();
        if let Some(start) = self.start.take()
            && let Err(error) = self.clear_away(start)
        {
            tracing::error!("something of an earlier daemon is left: {error}");
        }
        if self.options.close_connections {
            self.start_closing();
        }
        events::follow(&self.pins);
        Ok(())
    }

    fn set_rules(&mut self, rules: &Rules) -> Result<(), FirewallError> {
        let settings = with_rules(self.settings, rules);
        self.maps.set_settings(&settings)?;
        self.settings = settings;
        let other_ports = self.options.ports != rules.ports;
        self.options = self.options.clone().with_rules(rules);
        if other_ports && self.closer.take().is_some() {
            self.start_closing();
        }
        Ok(())
    }

    fn detach(&mut self) -> Result<(), FirewallError> {
        if !self.pins.remove()? {
            tracing::warn!("was detached already; what is pinned now is another doveblock's");
        }
        Ok(())
    }

    fn tend(&mut self) {
        let Self { options, features, capacity, pins, tracer, object, guard, .. } = self;
        if self.start.is_none()
            && guard.is_due()
            && let Ok(program) = program(object)
        {
            let recipe = Recipe { options, features: *features, capacity: *capacity, pins, tracer };
            guard.look(program, &recipe);
        }
    }

    fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        self.guard.descriptor()
    }

    fn view(&self) -> Result<Box<dyn View>, FirewallError> {
        let (readers, pin_dir) = (self.readers.clone(), self.pins.path().to_owned());
        Ok(Box::new(Pinned { readers, pin_dir }))
    }
}

/// The capabilities that loading and attaching take, by what this process has.
fn require_capabilities() -> Result<(), FirewallError> {
    let effective = capabilities(None)
        .map_err(|error| FirewallError::io("read the capabilities of this process")(error.into()))?
        .effective;
    let has = |capability| effective.intersects(capability | CapabilitySet::SYS_ADMIN);
    let bpf = has(CapabilitySet::BPF);
    // The program does arithmetic with packet pointers that the verifier grants to no one else.
    let perfmon = has(CapabilitySet::PERFMON);
    let net = effective.contains(CapabilitySet::NET_ADMIN);
    let lacking: Vec<&str> = [(bpf, "CAP_BPF"), (perfmon, "CAP_PERFMON"), (net, "CAP_NET_ADMIN")]
        .into_iter()
        .filter_map(|(has, name)| (!has).then_some(name))
        .collect();
    if lacking.is_empty() {
        Ok(())
    } else {
        Err(FirewallError::Capabilities(lacking.join(" and ")))
    }
}

/// A program cannot be pinned over an old one, but it can be renamed over it.
fn pin_program(program: &mut programs::Xdp, pins: &PinDir) -> Result<(), FirewallError> {
    let next = pins.next_program();
    let _left_by_a_crash = fs::remove_file(&next);
    let action = || format!("pin the kernel program at {}", next.display());
    program.pin(&next).map_err(FirewallError::bpf(action()))?;
    fs::rename(&next, pins.program()).map_err(FirewallError::io(action()))
}
