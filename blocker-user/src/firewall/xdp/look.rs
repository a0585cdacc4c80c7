//! What anybody with the rights to it sees of a firewall, without being the one that owns it:
//! the pins, the program, the interfaces. Changes nothing, and takes no lock.

use std::{net::IpAddr, path::Path, time::SystemTime};

use aya::{maps::lpm_trie::LpmTrie, programs::ProgramInfo};
use blocker_common::abi::{Allowed, Network, PROGRAM, map};

use super::{
    link,
    maps::{networks, open},
    require_capabilities,
};
use crate::{
    firewall::{
        FirewallError, bpffs, dispatcher,
        interface::{Interface, Kind, all},
        pins,
    },
    time::LogTime,
};

/// The pins of a firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What ought to be pinned and is not; empty where nothing is pinned at all, which
    /// `program` tells.
    pub missing: Vec<&'static str>,
    /// The id of the pinned program, and when it was loaded.
    pub program: Option<(u32, Option<LogTime>)>,
    /// Their filesystem ends with this mount namespace.
    pub is_private: bool,
}

/// An interface that is meant to be guarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    pub name: String,
    pub place: Place,
}

/// Where the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// There is no such interface in this network namespace.
    NoInterface,
    /// No XDP program is attached.
    Nowhere,
    /// The interface runs a program that is not ours.
    Foreign(u32),
    /// By a link of ours.
    Itself { is_generic: bool },
    /// Called by libxdp's dispatcher.
    Dispatcher { is_generic: bool },
    /// There is a program; whose, we may not look.
    Somebodys { is_generic: bool },
}

/// What is pinned in `dir`.
pub fn look(dir: &Path) -> Result<Seen, FirewallError> {
    require_capabilities()?;
    let pin = dir.join(PROGRAM);
    if pin.symlink_metadata().is_err() {
        return Ok(Seen::default());
    }
    let program = ProgramInfo::from_pin(&pin)
        .map_err(FirewallError::bpf(format!("open the pinned program {}", pin.display())))?;
    let loaded_at = program.loaded_at().and_then(|at| {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(LogTime::EPOCH.after(since))
    });
    Ok(Seen {
        missing: pins::missing(dir),
        program: Some((program.id(), loaded_at)),
        is_private: bpffs::is_private(dir),
    })
}

/// What guards the interface of that name, if anything does.
#[must_use]
pub fn guard(name: &str, dir: &Path) -> Guard {
    let place = Interface::named(name).map_or(Place::NoInterface, |found| place(&found, dir));
    Guard { name: name.to_owned(), place }
}

fn place(interface: &Interface, dir: &Path) -> Place {
    let Some(attached) = interface.xdp else { return Place::Nowhere };
    let is_generic = attached.generic;
    let links = match require_capabilities().and_then(|()| link::all(dir)) {
        Ok(links) => links,
        Err(_) => return Place::Somebodys { is_generic },
    };
    if links.iter().any(|link| link.is_on(interface.index)) {
        Place::Itself { is_generic }
    } else if dispatcher::serves(interface, dir) {
        Place::Dispatcher { is_generic }
    } else {
        Place::Foreign(attached.program)
    }
}

/// Whether packets that come in by `name` are judged where one of `guarded` is: it is guarded
/// itself, or lies on what is, or what is guarded lies on it.
#[must_use]
pub fn covers(guarded: &[String], name: &str) -> bool {
    let all = all();
    // By the names that the kernel has for them: others lead there, too.
    let guarded: Vec<String> =
        guarded.iter().filter_map(|name| Some(Interface::named(name).ok()?.name)).collect();
    // Longer chains than this are nobody's.
    const DEPTH: usize = 4;
    all.iter()
        .find(|one| one.name == name)
        .is_some_and(|one| is_covered(one, &guarded, &all, DEPTH))
}

fn is_covered(one: &Interface, guarded: &[String], all: &[Interface], depth: usize) -> bool {
    if guarded.contains(&one.name) {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else { return false };
    let is_below = |other: &&Interface| match one.layer {
        Kind::Vlan => Some(other.index) == one.parent,
        Kind::Bridge | Kind::Bond => other.controller == Some(one.index),
        Kind::Other => false,
    };
    let mut below = all.iter().filter(is_below);
    below.any(|other| is_covered(other, guarded, all, depth))
}

/// Whether the kernel lets `ip` pass, whatever is banned.
pub fn is_allowed(dir: &Path, ip: IpAddr) -> Result<bool, FirewallError> {
    require_capabilities()?;
    let allow: LpmTrie<_, Network, Allowed> = open(&dir.join(map::ALLOW))?;
    Ok(networks(allow.iter())?.iter().any(|(net, _)| net.contains(&ip)))
}

#[cfg(test)]
mod tests {
    use super::{Interface, Kind, is_covered};

    fn is_covered_by(guarded: &str, name: &str) -> bool {
        let card = Interface::of_test(2, "eth0");
        let mut port = Interface::of_test(3, "eth1");
        port.controller = Some(4);
        let mut bridge = Interface::of_test(4, "br0");
        bridge.layer = Kind::Bridge;
        let mut vlan = Interface::of_test(5, "eth0.5");
        (vlan.layer, vlan.parent) = (Kind::Vlan, Some(2));
        let mut over = Interface::of_test(6, "br0.7");
        (over.layer, over.parent) = (Kind::Vlan, Some(4));
        let all = [card, port, bridge, vlan, over];
        let one = all.iter().find(|one| one.name == name).unwrap();
        is_covered(one, &[guarded.to_owned()], &all, 4)
    }

    #[test]
    fn what_lies_on_a_guarded_interface_is_guarded() {
        for (guarded, name) in
            [("eth0", "eth0"), ("eth0", "eth0.5"), ("eth1", "br0"), ("eth1", "br0.7")]
        {
            assert!(is_covered_by(guarded, name), "{guarded} {name}");
        }
        for (guarded, name) in [("eth0.5", "eth0"), ("eth0", "br0"), ("eth0", "eth1")] {
            assert!(!is_covered_by(guarded, name), "{guarded} {name}");
        }
    }
}
