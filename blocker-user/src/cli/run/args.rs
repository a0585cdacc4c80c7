//! The flags of `run`, and what they come to.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{ArgAction, Args};
use ipnet::IpNet;

use super::interfaces;
use crate::{
    cli::{PinDirArg, SocketArg, VerbError},
    config::{PortList, parse_bantime, parse_ignore_list, parse_ports, parse_span},
    dovecot::Mode,
    firewall::XdpMode,
    jail::{Bantime, Policy},
    source::Spec,
};

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Interface to guard; may be given several times [default: those of the default routes]
    #[arg(short, long = "interface", value_name = "IFACE")]
    interfaces: Vec<String>,

    /// Log to read, `-` for standard input; may be given several times
    #[arg(long = "log", value_name = "PATH|-", default_value = "/var/log/mail.log")]
    logs: Vec<String>,

    /// Which lines count: failed logins (normal), or silent probes as well (aggressive)
    #[arg(long, value_name = "MODE", default_value_t = Mode::Normal)]
    mode: Mode,

    /// Failures that make a ban
    #[arg(long, value_name = "N", default_value_t = Policy::default().maxretry)]
    maxretry: NonZeroU32,

    /// The time within which they must happen, as 600, 10m or 1d 12h
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "10m")]
    findtime: Duration,

    /// How long a ban lasts; -1 for ever
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse_bantime,
        default_value = "10m",
        allow_hyphen_values = true
    )]
    bantime: Bantime,

    /// Addresses and networks that are never banned, separated by blanks or commas
    #[arg(long, value_name = "LIST", default_value = "", value_parser = parse_ignore)]
    ignoreip: Ignored,

    /// Never ban this host's own addresses and loopback
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    ignoreself: bool,

    /// How long after a login silent probes from its address are forgiven; 0 for never
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "1d")]
    ignore_authenticated: Duration,

    /// Length of the IPv6 prefix that counts, and is banned, as one client
    #[arg(
        long,
        value_name = "BITS",
        default_value_t = 64,
        value_parser = clap::value_parser!(u8).range(1..=128)
    )]
    ipv6_prefix: u8,

    /// TCP ports to guard: numbers, ranges (993:995), names (imap), separated by commas
    #[arg(
        long,
        visible_alias = "ports",
        value_name = "LIST",
        value_parser = parse_ports,
        default_value = "25,110,143,465,587,993,995,4190"
    )]
    port: PortList,

    /// Where the XDP program runs
    #[arg(long, value_enum, default_value_t)]
    xdp_mode: XdpMode,

    /// Decide and list bans, but attach and drop nothing
    #[arg(long)]
    dry_run: bool,

    /// Log every verdict of the XDP program on a banned source
    #[arg(long)]
    trace: bool,

    /// Log what is not counted, and why
    #[arg(short, long)]
    verbose: bool,

    #[command(flatten)]
    pin_dir: PinDirArg,

    #[command(flatten)]
    socket: SocketArg,

    /// Directory for state that outlives a restart; this version keeps all of it in the pins
    #[arg(long, value_name = "DIR", default_value = "/var/lib/doveblock")]
    state_dir: PathBuf,
}

/// A list in one argument; clap would take a bare `Vec` for an argument that repeats.
#[derive(Clone, Debug)]
struct Ignored(Vec<IpNet>);

fn parse_ignore(text: &str) -> Result<Ignored, crate::config::Invalid> {
    parse_ignore_list(text).map(Ignored)
}

/// The flags with everything that follows from them.
pub(super) struct Config {
    pub(super) interfaces: Vec<String>,
    pub(super) logs: Vec<Spec>,
    pub(super) mode: Mode,
    pub(super) policy: Policy,
    pub(super) ignoreip: Vec<IpNet>,
    pub(super) ignoreself: bool,
    pub(super) ports: PortList,
    pub(super) xdp_mode: XdpMode,
    pub(super) dry_run: bool,
    pub(super) trace: bool,
    pub(super) pin_dir: PathBuf,
    pub(super) socket: PathBuf,
}

impl RunArgs {
    pub(super) fn verbose(&self) -> bool {
        self.verbose
    }

    pub(super) fn into_config(self) -> Result<Config, VerbError> {
        let interfaces = match (self.dry_run, self.interfaces) {
            (true, given) => given,
            (false, given) if given.is_empty() => interfaces::of_default_routes()?,
            (false, mut given) => {
                given.sort();
                given.dedup();
                given
            }
        };
        if self.findtime.is_zero() {
            return Err(VerbError::Usage("--findtime 0 would never count two failures".to_owned()));
        }
        Ok(Config {
            interfaces,
            logs: self.logs.iter().map(|log| log_spec(log)).collect::<Result<_, _>>()?,
            mode: self.mode,
            policy: Policy {
                maxretry: self.maxretry,
                findtime: self.findtime,
                bantime: self.bantime,
                ipv6_prefix: self.ipv6_prefix,
                ignore_authenticated: self.ignore_authenticated,
                ..Policy::default()
            },
            ignoreip: self.ignoreip.0,
            ignoreself: self.ignoreself,
            ports: self.port,
            xdp_mode: self.xdp_mode,
            dry_run: self.dry_run,
            trace: self.trace,
            pin_dir: self.pin_dir.pin_dir,
            socket: self.socket.socket,
        })
    }
}

fn log_spec(log: &str) -> Result<Spec, VerbError> {
    match log {
        "-" => Ok(Spec::Stdin),
        "journal" => Err(VerbError::Usage(
            "--log journal is not there yet; until then pipe it in: journalctl --follow \
             --unit dovecot --output short-iso | doveblock run --log -"
                .to_owned(),
        )),
        path if std::path::Path::new(path).is_dir() => {
            Err(VerbError::Usage(format!("--log {path} is a directory, not a log")))
        }
        path => Ok(Spec::File(PathBuf::from(path))),
    }
}
