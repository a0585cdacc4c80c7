//! Which packets of the banned are dropped, as the kernel is told.

use blocker_common::abi::{self, PortRange, Ports};

use super::{Action, Options};
use crate::firewall::Rules;

impl Options {
    pub(super) fn rules(&self) -> Rules {
        Rules {
            ports: self.ports.clone(),
            udp_ports: self.udp_ports.clone(),
            drop_fragments: self.drop_fragments,
            action: self.action,
        }
    }

    pub(super) fn with_rules(self, rules: &Rules) -> Self {
        let Rules { ports, udp_ports, drop_fragments, action } = rules.clone();
        Self { ports, udp_ports, drop_fragments, action, ..self }
    }
}

/// `settings` by these rules.
pub(super) fn with_rules(settings: Ports, rules: &Rules) -> Ports {
    Ports {
        tcp: port_list(&rules.ports),
        udp: port_list(&rules.udp_ports),
        drop_fragments: u32::from(rules.drop_fragments),
        action: match rules.action {
            Action::Drop => abi::ACTION_DROP,
            Action::Reset => abi::ACTION_RESET,
        },
        ..settings
    }
}

fn port_list(ports: &[PortRange]) -> [PortRange; abi::MAX_PORT_RANGES] {
    let mut list = [PortRange::default(); abi::MAX_PORT_RANGES];
    for (entry, range) in list.iter_mut().zip(ports) {
        *entry = *range;
    }
    list
}
