//! Enforcement in the kernel: loads the program, attaches it, writes the maps.
//!
//! A start either adopts what an earlier daemon pinned (bans, counters, links) or pins
//! everything anew; in both cases the program is replaced in one step per interface and
//! enforcement never pauses. A start that fails leaves things as it found them.

mod attach;
mod maps;

use std::{fs, path::PathBuf};

use aya::{EbpfLoader, programs};
use blocker_common::abi::{self, Ban, PROGRAM, PortRange, Ports, global};
use ipnet::IpNet;
use rustix::thread::{CapabilitySet, capabilities};

use super::{
    Counters, Enforced, Firewall, FirewallError, Order, View,
    clock::Clock,
    features::Features,
    pins::{PinDir, linked_interfaces},
    slot::Slot,
    trace,
};
use maps::Maps;

/// The kernel program, put here by build.rs; empty in a build without one.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/doveblock.bpf.o"));

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

/// What [`Xdp::open`] needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    pub pin_dir: PathBuf,
    pub interfaces: Vec<String>,
    pub mode: XdpMode,
    pub ports: Vec<PortRange>,
    /// Length of the IPv6 prefix that one ban covers.
    pub ipv6_prefix: u8,
    /// Report every verdict on a banned source to the log.
    pub trace: bool,
}

/// The XDP program and its maps. Dropping it ends nothing: the pins enforce on.
pub struct Xdp {
    pins: PinDir,
    ipv6_prefix: u8,
    maps: Maps,
    settings: Ports,
}

impl Xdp {
    /// What can be known to fail before anything is touched.
    pub fn check(options: &Options) -> Result<(), FirewallError> {
        if OBJECT.is_empty() {
            return Err(FirewallError::NoProgram);
        }
        require_capabilities()?;
        options.interfaces.iter().try_for_each(|interface| attach::require_interface(interface))
    }

    /// Loads and attaches the program, adopting the pins of an earlier daemon.
    pub fn open(options: &Options) -> Result<Self, FirewallError> {
        Self::check(options)?;
        let pins = PinDir::open(&options.pin_dir)?;
        match Self::load(options, &pins) {
            Ok((maps, settings)) => {
                Ok(Self { pins, ipv6_prefix: options.ipv6_prefix, maps, settings })
            }
            Err(error) => {
                pins.abandon();
                Err(error)
            }
        }
    }

    fn load(options: &Options, pins: &PinDir) -> Result<(Maps, Ports), FirewallError> {
        let v6_mask = v6_mask(options.ipv6_prefix);
        let coarse_clock = u8::from(Features::detect()?.coarse_clock);
        let trace = u8::from(options.trace);
        let mut loader = EbpfLoader::new();
        loader
            .default_map_pin_directory(pins.path())
            .override_global(global::V6_MASK, &v6_mask, true)
            .override_global(global::COARSE_CLOCK, &coarse_clock, true)
            .override_global(global::TRACE, &trace, true);
        if !options.trace {
            trace::shrink_buffer(&mut loader);
        }
        let mut object = loader.load(OBJECT).map_err(|error| match error {
            aya::EbpfError::MapError(error @ aya::maps::MapError::IncompatiblePinnedMap { .. }) => {
                FirewallError::IncompatiblePins {
                    dir: pins.path().to_owned(),
                    reason: error.to_string(),
                }
            }
            error => FirewallError::bpf("load the kernel program")(error),
        })?;

        let mut maps = Maps::open(pins.path())?;
        maps.move_foreign_prefixes(options.ipv6_prefix)?;
        let settings = Ports {
            tcp: port_list(&options.ports),
            networks: maps.count_networks()?,
            allowed: maps.count_allowed()?,
        };
        maps.set_settings(&settings)?;

        let program: &mut programs::Xdp = object
            .program_mut(PROGRAM)
            .and_then(|program| program.try_into().ok())
            .ok_or(FirewallError::NoProgram)?;
        program.load().map_err(FirewallError::bpf("verify the kernel program"))?;
        attach::attach_all(program, options, pins)?;
        pin_program(program, pins)?;
        if options.trace {
            trace::follow(&mut object)?;
        }
        Ok((maps, settings))
    }
}

impl Firewall for Xdp {
    fn ban(&mut self, order: &Order) -> Result<(), FirewallError> {
        let slot = Slot::of(&order.subject, self.ipv6_prefix);
        let earlier = self.maps.get(&slot)?;
        // The packets the kernel counts between this read and the write below are lost to
        // the statistics, not to the verdict.
        let counted = earlier.unwrap_or_default();
        let ban = Ban {
            expires_ns: Clock::now().deadline(order.expires),
            dropped_packets: counted.dropped_packets,
            dropped_bytes: counted.dropped_bytes,
            banned_at: u64::try_from(order.banned_at.as_secs()).unwrap_or(0),
            attempts: order.attempts,
            prefix_len: u32::from(order.subject.prefix_len()),
        };
        self.maps.put(&slot, &ban, &order.subject)?;
        if earlier.is_none() && matches!(slot, Slot::Net { .. }) {
            self.settings.networks += 1;
            self.maps.set_settings(&self.settings)?;
        }
        Ok(())
    }

    fn unban(&mut self, subject: &IpNet) -> Result<bool, FirewallError> {
        let slot = Slot::of(subject, self.ipv6_prefix);
        let in_trie = Slot::network(subject);
        let mut found = self.maps.remove(&slot)?;
        // An IPv6 prefix may have been banned under another `ipv6_prefix`, as a network.
        let found_in_trie = if in_trie == slot { found } else { self.maps.remove(&in_trie)? };
        if found_in_trie {
            found = true;
            self.settings.networks = self.settings.networks.saturating_sub(1);
            self.maps.set_settings(&self.settings)?;
        }
        Ok(found)
    }

    fn allow(&mut self, networks: &[IpNet]) -> Result<(), FirewallError> {
        // Counted before anything is removed and after everything is added: the kernel never
        // skips a trie that has entries.
        self.maps.add_allowed(networks)?;
        self.settings.allowed = u32::try_from(networks.len()).unwrap_or(u32::MAX);
        self.maps.set_settings(&self.settings)?;
        self.maps.keep_allowed(networks)
    }

    fn view(&self) -> Result<Box<dyn View>, FirewallError> {
        Ok(Box::new(Pinned {
            maps: Maps::open(self.pins.path())?,
            pin_dir: self.pins.path().to_owned(),
        }))
    }
}

/// The pinned maps, read only.
struct Pinned {
    maps: Maps,
    pin_dir: PathBuf,
}

impl View for Pinned {
    fn bans(&self) -> Result<Vec<Enforced>, FirewallError> {
        self.maps.bans(Clock::now())
    }

    fn counters(&self) -> Result<Counters, FirewallError> {
        self.maps.counters()
    }

    fn interfaces(&self) -> Vec<String> {
        linked_interfaces(&self.pin_dir)
    }
}

/// The capabilities that loading and attaching take, by what this process has.
fn require_capabilities() -> Result<(), FirewallError> {
    let effective = capabilities(None)
        .map_err(|error| FirewallError::io("read the capabilities of this process")(error.into()))?
        .effective;
    let bpf = effective.intersects(CapabilitySet::BPF | CapabilitySet::SYS_ADMIN);
    let net = effective.contains(CapabilitySet::NET_ADMIN);
    let lacking: Vec<&str> = [(bpf, "CAP_BPF"), (net, "CAP_NET_ADMIN")]
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
    program.pin(&next).map_err(FirewallError::bpf("pin the kernel program"))?;
    fs::rename(&next, pins.program()).map_err(FirewallError::io("pin the kernel program"))
}

/// The mask of the first `prefix` bits, as the kernel side reads it (`abi::global::V6_MASK`).
fn v6_mask(prefix: u8) -> [u64; 2] {
    let bits = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
    let bytes = bits.to_be_bytes();
    let half = |at: usize| {
        bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |half| u64::from_ne_bytes(*half))
    };
    [half(0), half(8)]
}

fn port_list(ports: &[PortRange]) -> [PortRange; abi::MAX_PORT_RANGES] {
    let mut list = [PortRange::default(); abi::MAX_PORT_RANGES];
    for (entry, range) in list.iter_mut().zip(ports) {
        *entry = *range;
    }
    list
}

#[cfg(test)]
mod tests {
    use super::v6_mask;

    #[test]
    fn the_mask_covers_the_first_bits_in_memory_order() {
        let bytes = |prefix| {
            let [first, second] = v6_mask(prefix);
            [first.to_ne_bytes(), second.to_ne_bytes()].concat()
        };
        assert_eq!(bytes(64), [[0xff; 8], [0; 8]].concat());
        assert_eq!(bytes(128), [0xff; 16]);
        assert_eq!(bytes(0), [0; 16]);
        assert_eq!(bytes(12), [vec![0xff, 0xf0], vec![0; 14]].concat());
    }
}
