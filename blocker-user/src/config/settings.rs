//! What a configuration comes to: every option as a typed value.

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use super::{
    Ignored, PortList,
    text::{Line, Text},
};
use crate::{
    dovecot::{Mode, SessionCheck},
    firewall::{Action, DEFAULT_MAX_BANS, PortRange, XdpMode},
    jail::{Bantime, Count, Increment, Policy},
    source::{JournalPlace, Matches},
};

/// Every option, under its own name where Rust lets it have that.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub enabled: bool,
    pub mode: Mode,
    pub port: PortList,
    pub protocol: Protocol,
    /// Paths, patterns, `-` or `journal`. The log is looked for if empty.
    pub logpath: Vec<String>,
    pub backend: Backend,
    /// Which journal, for the backend that reads one.
    pub journal: JournalPlace,
    pub journalmatch: Matches,
    pub maxretry: NonZeroU32,
    /// `maxretry.probe`; like maxretry if there is none.
    pub maxretry_probe: Option<NonZeroU32>,
    pub findtime: Duration,
    pub bantime: Bantime,
    /// `bantime.increment` and what shapes it.
    pub increment: Increment,
    /// How long earlier bans are remembered.
    pub dbpurgeage: Duration,
    /// Both mean the same while there is one jail.
    pub overalljails: bool,
    pub ignoreip: Vec<Ignored>,
    pub ignoreself: bool,
    pub ipv6_prefix: u8,
    pub ignore_authenticated: Duration,
    pub count: Count,
    pub session_check: SessionCheck,
    pub max_tracked: NonZeroUsize,
    /// Of each family.
    pub max_bans: NonZeroU32,
    pub failregex: Regexes,
    pub ignoreregex: Regexes,
    pub on_stop: OnStop,
    /// Of those that are banned.
    pub close_connections: bool,
    pub xdp_mode: XdpMode,
    pub action: Action,
    /// Whether fragments without a port are dropped as well.
    pub drop_fragments: bool,
    /// Those of the default routes if empty.
    pub interface: Vec<String>,
    /// Where metrics are served besides the control socket.
    pub metrics: Option<SocketAddr>,
    /// Whose members may use the control socket.
    pub socket_group: Option<String>,
}

/// What the ports of `port` are ports of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
    All,
}

/// How lines come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// From the files of logpath, as soon as they change; without logpath, from wherever
    /// Dovecot logs to.
    Auto,
    /// Likewise, but files are looked at now and then.
    Polling,
    /// From the journal.
    Systemd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// Bans stay in force.
    Keep,
    Detach,
}

/// Regular expressions, in fail2ban's notation and with the places they were written in.
#[derive(Clone, Debug, PartialEq)]
pub struct Regexes {
    /// One each.
    pub lines: Vec<Line>,
    /// Whether they come in addition to the built-in rules. fail2ban's failregex replaces them,
    /// unless it holds `%(known/failregex)s`.
    pub with_builtin: bool,
}

impl Regexes {
    pub(super) fn none() -> Self {
        Self { lines: Vec::new(), with_builtin: true }
    }

    pub(super) fn of(text: &Text) -> Self {
        Self { lines: text.lines().cloned().collect(), with_builtin: text.is_empty() }
    }
}

impl Default for Settings {
    /// fail2ban's packaged values, and ours for what it does not have.
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            enabled: true,
            mode: Mode::Normal,
            port: PortList::default(),
            protocol: Protocol::Tcp,
            logpath: Vec::new(),
            backend: Backend::Auto,
            journal: JournalPlace::default(),
            journalmatch: Matches::default(),
            maxretry: policy.maxretry,
            maxretry_probe: None,
            findtime: policy.findtime,
            bantime: policy.bantime,
            increment: policy.increment,
            dbpurgeage: policy.dbpurgeage,
            overalljails: false,
            ignoreip: Vec::new(),
            ignoreself: true,
            ipv6_prefix: policy.ipv6_prefix,
            ignore_authenticated: policy.ignore_authenticated,
            count: policy.count,
            session_check: SessionCheck::default(),
            max_tracked: NonZeroUsize::new(policy.max_tracked).unwrap_or(NonZeroUsize::MIN),
            max_bans: DEFAULT_MAX_BANS,
            failregex: Regexes::none(),
            ignoreregex: Regexes::none(),
            on_stop: OnStop::Keep,
            close_connections: true,
            xdp_mode: XdpMode::default(),
            action: Action::default(),
            drop_fragments: true,
            interface: Vec::new(),
            metrics: None,
            socket_group: None,
        }
    }
}

impl Settings {
    #[must_use]
    pub fn tcp_ports(&self) -> Vec<PortRange> {
        match self.protocol {
            Protocol::Tcp | Protocol::All => self.port.ranges().to_vec(),
            Protocol::Udp => Vec::new(),
        }
    }

    #[must_use]
    pub fn udp_ports(&self) -> Vec<PortRange> {
        match self.protocol {
            Protocol::Udp | Protocol::All => self.port.ranges().to_vec(),
            Protocol::Tcp => Vec::new(),
        }
    }

    /// The part of it that the jail needs.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            maxretry: self.maxretry,
            maxretry_probe: self.maxretry_probe,
            count: self.count,
            increment: self.increment.clone(),
            dbpurgeage: self.dbpurgeage,
            findtime: self.findtime,
            bantime: self.bantime,
            ipv6_prefix: self.ipv6_prefix,
            ignore_authenticated: self.ignore_authenticated,
            max_tracked: self.max_tracked.get(),
        }
    }
}
