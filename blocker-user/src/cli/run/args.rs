//! The flags of `run`, and what they come to together with the configuration.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{ArgAction, Args};
use jiff::tz::TimeZone;

use super::interfaces;
use crate::{
    cli::{
        PinDirArg, SocketArg, StateDirArg, VerbError,
        config::{ConfigArgs, refuse_errors},
        logs,
    },
    config::{
        Backend, Ignored, Invalid, Loaded, PortList, Settings, parse_bantime, parse_findtime,
        parse_ignore_list, parse_listen, parse_ports, parse_span,
    },
    daemon::{KnownNames, wall_clock},
    dovecot::Mode,
    firewall::XdpMode,
    jail::Bantime,
    sandbox::Reach,
    source::Spec,
    time::LogTime,
};

/// Flags that stand for options of the configuration, and override it. Defaults: `Settings`.
#[derive(Args, Clone, Debug)]
pub(crate) struct GuardFlags {
    /// Log to read: a file or a pattern of files, `-` for standard input, `journal`, or
    /// `journal:DIR` or `journal:UNIT` for other entries than those of dovecot.service; may be
    /// given several times [default: what Dovecot logs to, by doveconf, in the journal, or in
    /// the usual files]
    #[arg(long = "log", value_name = "PATH|journal|-")]
    logs: Vec<String>,

    /// TCP ports to guard: numbers, ranges (993:995), names (imap), separated by commas
    /// [default: 25,110,143,465,587,993,995,4190]
    #[arg(long, visible_alias = "ports", value_name = "LIST", value_parser = parse_ports)]
    port: Option<PortList>,
}

impl GuardFlags {
    fn apply(self, loaded: &mut Loaded) {
        let logs = (!self.logs.is_empty()).then_some(self.logs);
        override_with(loaded, "logpath", logs, |to| &mut to.logpath);
        override_with(loaded, "port", self.port, |to| &mut to.port);
    }
}

/// Those of them that say who is banned, and for how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct PolicyFlags {
    /// Which lines count: failed logins (normal), or silent probes as well (aggressive)
    /// [default: normal]
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,

    /// Failures that make a ban [default: 5]
    #[arg(long, value_name = "N")]
    maxretry: Option<NonZeroU32>,

    /// The time within which they must happen, as 600, 10m or 1d 12h [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = parse_findtime)]
    findtime: Option<Duration>,

    /// How long a ban lasts; -1 for ever [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = parse_bantime, allow_hyphen_values = true)]
    bantime: Option<Bantime>,

    /// Addresses, networks and host names that are never banned, separated by blanks or commas
    #[arg(long, value_name = "LIST", value_parser = parse_ignore)]
    ignoreip: Option<IgnoreFlag>,

    /// Never ban this host's own addresses and loopback [default: true]
    #[arg(long, value_name = "BOOL", action = ArgAction::Set)]
    ignoreself: Option<bool>,

    /// How long after a login silent probes from its address are forgiven; 0 for never
    /// [default: 1d]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    ignore_authenticated: Option<Duration>,

    /// Length of the IPv6 prefix that counts, and is banned, as one client [default: 64]
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(1..=128))]
    ipv6_prefix: Option<u8>,
}

impl PolicyFlags {
    /// Puts what was given in place of what the configuration says.
    pub(in crate::cli) fn apply(self, loaded: &mut Loaded) {
        let ignoreip = self.ignoreip.map(|IgnoreFlag(list)| list);
        override_with(loaded, "mode", self.mode, |to| &mut to.mode);
        override_with(loaded, "maxretry", self.maxretry, |to| &mut to.maxretry);
        override_with(loaded, "findtime", self.findtime, |to| &mut to.findtime);
        override_with(loaded, "bantime", self.bantime, |to| &mut to.bantime);
        override_with(loaded, "ignoreip", ignoreip, |to| &mut to.ignoreip);
        override_with(loaded, "ignoreself", self.ignoreself, |to| &mut to.ignoreself);
        override_with(loaded, "ignore_authenticated", self.ignore_authenticated, |to| {
            &mut to.ignore_authenticated
        });
        override_with(loaded, "ipv6_prefix", self.ipv6_prefix, |to| &mut to.ipv6_prefix);
    }
}

fn override_with<T>(
    loaded: &mut Loaded,
    option: &'static str,
    given: Option<T>,
    field: fn(&mut Settings) -> &mut T,
) {
    if let Some(value) = given {
        *field(&mut loaded.settings) = value;
        loaded.flag(option);
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// Interface to guard; may be given several times [default: those of the default routes]
    #[arg(short, long = "interface", value_name = "IFACE")]
    interfaces: Vec<String>,

    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    guard: GuardFlags,

    #[command(flatten)]
    policy: PolicyFlags,

    /// Where the XDP program runs [default: auto]
    #[arg(long, value_enum)]
    xdp_mode: Option<XdpMode>,

    /// Decide and list bans, but attach and drop nothing
    #[arg(long)]
    dry_run: bool,

    /// Log every verdict of the XDP program on a banned source
    #[arg(long)]
    trace: bool,

    /// Log what is not counted, and why
    #[arg(short, long)]
    verbose: bool,

    /// Keep every file and the network within reach, where Landlock would leave only what is needed
    #[arg(long)]
    no_landlock: bool,

    #[command(flatten)]
    pin_dir: PinDirArg,

    #[command(flatten)]
    socket: SocketArg,

    /// Group whose members may use the control socket too [default: the one this runs as]
    #[arg(long, value_name = "GROUP")]
    socket_group: Option<String>,

    /// Serve metrics for Prometheus on a loopback address and port too, like 127.0.0.1:9418
    #[arg(long, value_name = "ADDRESS", value_parser = parse_listen)]
    metrics: Option<SocketAddr>,

    #[command(flatten)]
    state_dir: StateDirArg,
}

/// A list in one argument; clap would take a bare `Vec` for an argument that repeats.
#[derive(Clone, Debug)]
struct IgnoreFlag(Vec<Ignored>);

fn parse_ignore(text: &str) -> Result<IgnoreFlag, Invalid> {
    parse_ignore_list(text).map(IgnoreFlag)
}

/// Flags and configuration with everything that follows from them.
pub(super) struct Config {
    pub(super) settings: Settings,
    pub(super) interfaces: Vec<String>,
    pub(super) logs: Vec<Spec>,
    pub(super) dry_run: bool,
    pub(super) trace: bool,
    pub(super) landlock: bool,
    /// Where the configuration was read, and may be read again.
    pub(super) read_from: Vec<PathBuf>,
    /// The files that it was read from, and when that began.
    pub(super) files: Vec<PathBuf>,
    pub(super) read_at: LogTime,
    pub(super) pin_dir: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) state_dir: PathBuf,
}

/// What a daemon was started with.
pub(super) struct Before {
    pub(super) settings: Settings,
    pub(super) logs: Vec<Spec>,
    /// What it is confined to, if it is.
    pub(super) reach: Option<Reach>,
    /// The host's. Its file may be another one by now, which is out of reach.
    pub(super) zone: TimeZone,
    /// What the names of ignoreip were found to be.
    pub(super) names: KnownNames,
}

impl Before {
    pub(super) fn new(config: &Config, reach: Option<Reach>) -> Self {
        Self {
            settings: config.settings.clone(),
            logs: config.logs.clone(),
            reach,
            zone: TimeZone::system(),
            names: KnownNames::default(),
        }
    }

    /// The logs of `loaded`, of a daemon that can look for none any more.
    fn logs(&self, loaded: &Loaded) -> Result<logs::Logs, VerbError> {
        match (nothing_named(&self.settings), nothing_named(&loaded.settings)) {
            // Which log was found stays; what of a journal is Dovecot's may be another by now.
            (true, true) => {
                let again = |spec: &Spec| match spec {
                    Spec::Journal(_) => Spec::Journal(loaded.settings.journal()),
                    spec => spec.clone(),
                };
                Ok(logs::Logs { specs: self.logs.iter().map(again).collect(), why: None })
            }
            // Neither doveconf nor journalctl would answer, and what is left is a guess.
            (false, true) if self.reach.is_some() => Err(VerbError::Usage(
                "no logpath is named any more, and a daemon that Landlock confines cannot ask \
                 Dovecot where it logs: name it, or restart"
                    .to_owned(),
            )),
            _ => logs::of(loaded),
        }
    }
}

/// Whether the log is to be looked for.
fn nothing_named(settings: &Settings) -> bool {
    settings.logpath.is_empty() && settings.backend != Backend::Systemd
}

impl RunArgs {
    pub(super) fn verbose(&self) -> bool {
        self.verbose
    }

    pub(super) fn into_config(self) -> Result<Config, VerbError> {
        self.config(None)
    }

    /// The same for a daemon that was started with `before`, and can look for nothing any more:
    /// neither for Dovecot's log nor for interfaces.
    pub(super) fn again(self, before: &Before) -> Result<Config, VerbError> {
        self.config(Some(before))
    }

    fn config(self, before: Option<&Before>) -> Result<Config, VerbError> {
        let read_at = wall_clock();
        let mut loaded = self.config.load();
        let read_from = self.config.directories(&loaded);
        self.guard.apply(&mut loaded);
        self.policy.apply(&mut loaded);
        let interfaces = (!self.interfaces.is_empty()).then_some(self.interfaces);
        override_with(&mut loaded, "interface", interfaces, |to| &mut to.interface);
        override_with(&mut loaded, "xdp_mode", self.xdp_mode, |to| &mut to.xdp_mode);
        let (group, metrics) = (self.socket_group.map(Some), self.metrics.map(Some));
        override_with(&mut loaded, "socket_group", group, |to| &mut to.socket_group);
        override_with(&mut loaded, "metrics", metrics, |to| &mut to.metrics);
        refuse_errors(&loaded)?;
        for warning in loaded.warnings() {
            tracing::warn!("{}", warning.one_line());
        }
        if let Some(line) = loaded.unused_line() {
            tracing::info!("{line}");
        }

        if !loaded.settings.enabled {
            return Err(VerbError::Usage(
                "enabled = false in the configuration: the jail is not to run".to_owned(),
            ));
        }
        let logs::Logs { specs: logs, why } = match before {
            Some(before) => before.logs(&loaded)?,
            None => logs::of(&loaded)?,
        };
        if let Some(why) = why {
            let names: Vec<String> = logs.iter().map(ToString::to_string).collect();
            tracing::info!("reading {}: {why}", names.join(", "));
        }
        let settings = loaded.settings;
        let interfaces = match (self.dry_run, settings.interface.clone()) {
            (true, given) => given,
            (false, _) if before.is_some() => Vec::new(),
            (false, given) if given.is_empty() => interfaces::of_default_routes()?,
            (false, mut given) => {
                given.sort();
                given.dedup();
                given
            }
        };
        Ok(Config {
            interfaces,
            logs,
            settings,
            dry_run: self.dry_run,
            trace: self.trace,
            landlock: !self.no_landlock,
            read_from,
            files: loaded.files,
            read_at,
            pin_dir: self.pin_dir.pin_dir,
            socket: self.socket.socket,
            state_dir: self.state_dir.state_dir,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::{Args as _, Command};
    use jiff::tz::TimeZone;

    use super::{Before, GuardFlags, KnownNames, PolicyFlags};
    use crate::{
        config::{Loaded, Settings, find},
        sandbox::Reach,
        source::Spec,
    };

    fn confined(logpath: &[&str], logs: Vec<Spec>) -> Before {
        let logpath = logpath.iter().map(|&it| it.to_owned()).collect();
        Before {
            settings: Settings { logpath, ..Settings::default() },
            logs,
            reach: Some(Reach::default()),
            zone: TimeZone::UTC,
            names: KnownNames::default(),
        }
    }

    #[test]
    fn whoever_can_ask_nobody_guesses_no_log() {
        let before = confined(&["/a.log"], vec![Spec::File("/a.log".into())]);
        let refused = before.logs(&Loaded::defaults()).err().unwrap().to_string();
        assert!(refused.starts_with("no logpath is named any more"), "{refused}");
        let mut loaded = Loaded::defaults();
        loaded.settings.logpath = vec!["/none-such/b.log".to_owned()];
        let logs = before.logs(&loaded).unwrap().specs;
        assert_eq!(logs, [Spec::File("/none-such/b.log".into())]);
    }

    #[test]
    fn a_log_that_was_found_stays_and_its_entries_may_be_others() {
        let file = Spec::File("/a.log".into());
        let journal = Spec::Journal(Settings::default().journal());
        let before = confined(&[], vec![file.clone(), journal]);
        let mut loaded = Loaded::defaults();
        loaded.settings.findtime = Duration::from_secs(3_000_000);
        let logs = before.logs(&loaded).unwrap().specs;
        assert_eq!(logs, [file, Spec::Journal(loaded.settings.journal())]);
    }

    #[test]
    fn the_help_has_the_defaults_of_the_settings() {
        let command = GuardFlags::augment_args(PolicyFlags::augment_args(Command::new("run")));
        let defaults = Settings::default();
        for flag in command.get_arguments() {
            let option = if flag.get_id() == "logs" { "logpath" } else { flag.get_id().as_str() };
            let default = find(option).unwrap().shown(&defaults);
            let help = flag.get_help().unwrap().to_string();
            if !default.is_empty() {
                assert!(help.contains(&format!("[default: {default}]")), "{option}: {help}");
            }
        }
    }
}
