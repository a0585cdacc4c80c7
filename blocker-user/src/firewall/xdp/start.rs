//! What a start has changed so far, and the way back. The daemon is ready or it is not: until
//! it is, everything that was in force before can be put back.

use std::{fs, path::PathBuf};

use aya::programs::{Xdp, xdp::XdpLink};
use aya_obj::programs::XdpAttachType;
use blocker_common::abi::{Ports, V6Key};
use ipnet::IpNet;

use super::maps::Maps;
use crate::firewall::{FirewallError, dispatcher::Swap, pins::PinDir, slot::Slot};

pub(super) struct Start {
    /// The program of an earlier daemon, which its links go back to.
    program: Option<Xdp>,
    settings: Ports,
    allowed: Vec<IpNet>,
    /// Bans that are in the trie as well, see [`Maps::copy_foreign_prefixes`].
    pub(super) copied: Vec<(V6Key, IpNet)>,
    /// Pins of the links that are new.
    pub(super) attached: Vec<PathBuf>,
    /// Links that run the new program. They are held open, because the way back must not need
    /// a descriptor: running out of them is one way a start fails.
    pub(super) adopted: Vec<XdpLink>,
    /// Dispatchers that call the new program, in the place of those that were there, in the
    /// order in which they came: maps may have grown, and each of them been replaced again.
    pub(super) joined: Vec<Swap>,
    /// Pins, from and to.
    pub(super) renamed: Vec<(PathBuf, PathBuf)>,
    /// The allow list that is to be when the start has succeeded.
    pub(super) wanted_allowed: Option<Vec<IpNet>>,
}

impl Start {
    /// Remembers what is in force.
    pub(super) fn new(maps: &Maps, pins: &PinDir) -> Result<Self, FirewallError> {
        Ok(Self {
            program: Xdp::from_pin(pins.program(), XdpAttachType::Interface).ok(),
            settings: maps.settings()?,
            allowed: maps.allowed()?,
            copied: Vec::new(),
            attached: Vec::new(),
            adopted: Vec::new(),
            joined: Vec::new(),
            renamed: Vec::new(),
            wanted_allowed: None,
        })
    }

    pub(super) fn settings(&self) -> &Ports {
        &self.settings
    }

    pub(super) fn allowed(&self) -> &[IpNet] {
        &self.allowed
    }

    /// The start has failed. Goes on past whatever cannot be put back.
    pub(super) fn take_back(self, maps: &mut Maps) {
        let mut failed = Vec::new();
        for pin in &self.attached {
            failed.extend(fs::remove_file(pin).err().map(|error| error.to_string()));
        }
        if let Some(mut program) = self.program {
            for link in self.adopted {
                failed.extend(program.attach_to_link(link).err().map(|error| error.to_string()));
            }
        }
        for swap in self.joined.into_iter().rev() {
            failed.extend(swap.undo().err().map(|error| error.to_string()));
        }
        for (from, to) in self.renamed.iter().rev() {
            failed.extend(fs::rename(to, from).err().map(|error| error.to_string()));
        }
        let mut put_back = |result: Result<(), FirewallError>| {
            failed.extend(result.err().map(|error| error.to_string()));
        };
        put_back(maps.keep_allowed(&self.allowed));
        for (_, subject) in &self.copied {
            put_back(maps.remove(&Slot::network(subject)).map(drop));
        }
        // Behind the other maps, for it makes the kernel judge anew.
        put_back(maps.set_settings(&self.settings));
        for failure in failed {
            tracing::warn!("taking back a start that failed: {failure}");
        }
    }
}
