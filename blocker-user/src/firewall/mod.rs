//! The seam to the kernel. In go bans, out comes what is enforced.
//!
//! [`Xdp`] is the only place in the project that speaks to aya; [`Memory`] stands in for it
//! with `--dry-run` and in tests. Neither decides anything: whom to ban, and until when, is
//! the jail's business.

mod bpffs;
mod clock;
mod dispatcher;
mod events;
mod features;
mod interface;
mod layers;
mod memory;
mod notices;
mod pins;
mod slot;
mod sockets;
mod trace;
mod xdp;

use std::{net::IpAddr, num::NonZeroU32, os::fd::OwnedFd, path::PathBuf, sync::Arc};

use blocker_common::abi;
use ipnet::IpNet;

use crate::time::LogTime;

pub use memory::Memory;
pub use pins::{Detached, detach};
pub use xdp::{
    Action, Options, Seen, SeenGuard, SeenPlace, Xdp, XdpMode, covers, guard, is_allowed, look,
};

/// `max_bans` if nobody says otherwise.
pub const DEFAULT_MAX_BANS: NonZeroU32 = NonZeroU32::MIN.saturating_add((1 << 20) - 1);

/// A ban to be enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub subject: IpNet,
    pub banned_at: LogTime,
    /// `None` for a ban without end.
    pub expires: Option<LogTime>,
    /// Failures that led to it, 0 for a ban by hand.
    pub attempts: u32,
}

/// A ban as it is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforced {
    pub order: Order,
    pub dropped_packets: u64,
    pub dropped_bytes: u64,
    /// When the last of those packets came.
    pub last_seen: Option<LogTime>,
}

/// A port range that is guarded, inclusive.
pub type PortRange = abi::PortRange;

/// What of [`Options`] can change while it is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// TCP ports that are guarded.
    pub ports: Vec<PortRange>,
    /// UDP ports that are guarded.
    pub udp_ports: Vec<PortRange>,
    pub drop_fragments: bool,
    pub action: Action,
}

/// An interface that the program is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub interface: String,
    /// In the network stack, not in the driver.
    pub is_generic: bool,
}

/// What passed and what was dropped, summed over all CPUs.
pub type Counters = abi::Counters;

/// Enforcement, as the pipeline uses it. One owner, one writer.
pub trait Firewall {
    /// Enforces `order`. A ban of the same subject is replaced and keeps its drop counters.
    fn ban(&mut self, order: &Order) -> Result<(), FirewallError>;
    /// Enforces all of `orders`, in no particular order and as fast as the kernel takes them.
    fn ban_many(&mut self, orders: &[Order]) -> Result<(), FirewallError> {
        orders.iter().try_for_each(|order| self.ban(order))
    }
    /// Whether what was enforced at the start was set by an earlier daemon. Otherwise there was
    /// nothing, as after a reboot.
    fn is_inherited(&self) -> bool {
        false
    }
    /// Whose bans have ended before their time since this was last asked, because there was no
    /// room for another one.
    fn evicted(&mut self) -> Vec<IpNet> {
        Vec::new()
    }
    /// Ends a ban; `false` where there was none.
    fn unban(&mut self, subject: &IpNet) -> Result<bool, FirewallError>;
    /// Ends all bans of `subjects`, as fast as the kernel takes it, and returns those that there
    /// were. After an error some of them may have ended.
    fn unban_many(&mut self, subjects: &[IpNet]) -> Result<Vec<IpNet>, FirewallError> {
        let mut ended = Vec::new();
        for subject in subjects {
            if self.unban(subject)? {
                ended.push(*subject);
            }
        }
        Ok(ended)
    }
    /// Makes `networks` the ones that are never dropped, whatever is banned.
    fn allow(&mut self, networks: &[IpNet]) -> Result<(), FirewallError>;
    /// Enforces the bans by other rules from here on.
    fn set_rules(&mut self, _rules: &Rules) -> Result<(), FirewallError> {
        Ok(())
    }
    /// The daemon is ready: what was set up until here stays, and what it replaces ends. A
    /// firewall dropped before leaves everything as it was found.
    fn commit(&mut self) -> Result<(), FirewallError>;
    /// Ends all enforcement, and forgets every ban.
    fn detach(&mut self) -> Result<(), FirewallError>;
    /// Called every second or so, and when [`Firewall::descriptor`] is readable: notices
    /// interfaces that went away and guards them again when they are back. Reports to the log
    /// what is not as it should be.
    fn tend(&mut self);
    /// Readable when [`Firewall::tend`] has something to do at once.
    fn descriptor(&self) -> Option<Arc<OwnedFd>>;
    /// A second, read-only way to what is enforced, for another thread.
    fn view(&self) -> Result<Box<dyn View>, FirewallError>;
}

/// Reads what is enforced.
pub trait View: Send {
    /// Every ban, in no particular order, ended ones included until they are removed.
    fn bans(&self) -> Result<Vec<Enforced>, FirewallError>;
    fn counters(&self) -> Result<Counters, FirewallError>;
    /// The ban of `subject`, ended or not, if there is one.
    fn find(&self, subject: &IpNet) -> Result<Option<Enforced>, FirewallError> {
        Ok(self.bans()?.into_iter().find(|ban| ban.order.subject == *subject))
    }
    /// Where the program is attached right now; empty for a dry run.
    fn attachments(&self) -> Vec<Attachment>;
    /// The names of these interfaces.
    fn interfaces(&self) -> Vec<String> {
        self.attachments().into_iter().map(|attachment| attachment.interface).collect()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    #[error("network interface {name:?} does not exist; this host has: {}", known.join(", "))]
    UnknownInterface { name: String, known: Vec<String> },

    #[error(
        "another doveblock uses the pins in {}; stop it first, or give this one its own --pin-dir",
        .0.display()
    )]
    PinsInUse(PathBuf),

    #[error(
        "{} is not on a BPF filesystem; mount one with `mount -t bpf bpf /sys/fs/bpf`, or name a \
         directory on one with --pin-dir", .0.display()
    )]
    NoBpfFilesystem(PathBuf),

    #[error(
        "the pins in {} are of a version that this one does not know, probably a newer one \
         ({reason}); start that version again, or remove them with `doveblock detach`, which lifts \
         their bans", dir.display()
    )]
    IncompatiblePins { dir: PathBuf, reason: String },

    #[error(
        "{} is the root of a BPF filesystem; name a directory of its own below it with --pin-dir, \
         like {}", .0.display(), .0.join("doveblock").display()
    )]
    PinDirIsRoot(PathBuf),

    #[error(
        "{} is not an absolute path without `..`; name the directory in full with --pin-dir, like \
         /sys/fs/bpf/doveblock", .0.display()
    )]
    PinDirNotAbsolute(PathBuf),

    #[error(
        "{} holds an interface of another network namespace; give this one its own --pin-dir, or \
         remove that pin, which opens the other interface", .0.display()
    )]
    LinkElsewhere(PathBuf),

    #[error(
        "another XDP program (id {program}) is attached to {interface}; see it with `bpftool prog \
         show id {program}`, and remove it with `ip link set dev {interface} {mode} off` before \
         doveblock can take its place"
    )]
    InterfaceInUse { interface: String, program: u32, mode: &'static str },

    #[error(
        "another XDP program (id {program}) is attached to {interface} by BPF link {link}, which \
         `ip link` cannot remove; `bpftool -f link show id {link}` names its pin: remove that, or \
         end the process that holds it, before doveblock can take its place"
    )]
    InterfaceLinked { interface: String, program: u32, link: u32 },

    #[error(
        "{interface} is a part of {above}, which has an XDP program (id {program}); the kernel takes \
         none below it: guard {above} instead with -i, or remove that program first"
    )]
    Below { interface: String, above: String, program: u32 },

    #[error(
        "{interface} runs libxdp's dispatcher (program {program}, which calls {runs}), and \
         doveblock cannot join it: {reason}. See it with `xdp-loader status {interface}`; `xdp-loader \
         unload {interface} --all` ends everything that it calls and makes room for doveblock; or \
         name another interface with -i"
    )]
    Dispatcher { interface: String, program: u32, runs: String, reason: String },

    #[error(
        "{interface} is no Ethernet device (its kind is {kind}): doveblock would not understand \
         its packets, and pass them all; guard the Ethernet device below it with -i"
    )]
    NotEthernet { interface: String, kind: String },

    #[error("{interface} cannot run XDP in native mode ({reason}); use --xdp-mode auto or generic")]
    NoNativeMode { interface: String, reason: String },

    #[error("doveblock needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (or root) and lacks {0}")]
    Capabilities(String),

    #[error("this kernel has no {0}, which doveblock needs: use Linux 5.10 or later")]
    KernelTooOld(&'static str),

    #[error(
        "this doveblock was built without its kernel program; build it with `cargo xtask build`"
    )]
    NoProgram,

    #[error("there is no room for another ban; {0} is not banned")]
    Full(IpNet),

    #[error("{action}: {source}")]
    Io {
        action: String,
        #[source]
        source: std::io::Error,
    },

    /// Says every cause: the last one of aya's errors is the kernel's answer.
    #[error("{action}: {}", all_causes(.cause.as_ref()))]
    Bpf { action: String, cause: Box<dyn std::error::Error + Send + Sync> },
}

impl FirewallError {
    fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action: action.into(), source }
    }

    fn bpf<E: std::error::Error + Send + Sync + 'static>(
        action: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        move |cause| Self::Bpf { action: action.into(), cause: Box::new(cause) }
    }

    /// Whether the command line or configuration is at fault rather than the machine.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::UnknownInterface { .. }
                | Self::PinsInUse(_)
                | Self::NoBpfFilesystem(_)
                | Self::IncompatiblePins { .. }
                | Self::PinDirIsRoot(_)
                | Self::PinDirNotAbsolute(_)
                | Self::LinkElsewhere(_)
                | Self::InterfaceInUse { .. }
                | Self::InterfaceLinked { .. }
                | Self::Below { .. }
                | Self::Dispatcher { .. }
                | Self::NotEthernet { .. }
                | Self::NoNativeMode { .. }
        )
    }
}

fn all_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // A transparent error says what its cause says.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// Where pins are that doveblock shares with other programs of libxdp's.
pub(crate) fn shared_pins() -> PathBuf {
    dispatcher::pins()
}

/// The network that holds only `ip`.
#[must_use]
pub fn host(ip: IpAddr) -> IpNet {
    IpNet::from(ip)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::FirewallError;

    #[derive(Debug, thiserror::Error)]
    #[error("`bpf_link_update` failed")]
    struct Syscall(#[source] io::Error);

    #[test]
    fn an_error_of_the_kernels_says_what_the_kernel_answered() {
        let error = FirewallError::bpf("attach")(Syscall(io::Error::from_raw_os_error(24)));
        let expected = "attach: `bpf_link_update` failed: Too many open files (os error 24)";
        assert_eq!(error.to_string(), expected);
    }
}
