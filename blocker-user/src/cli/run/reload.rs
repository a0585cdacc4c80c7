//! The configuration, read again while the daemon runs, with the flags that it was started
//! with. What cannot change in its life stays what it was, and is named.

use std::sync::Mutex;

use super::{Config, RunArgs, args::Before, firewall_options, ignore_list, judge, reach};
use crate::{
    cli::VerbError,
    config::{OPTIONS, Settings, find},
    control::{Fresh, Reload, Shown},
    daemon::{Change, Remote},
    firewall::Rules,
    jail::Policy,
};

/// Options that take effect at a start only.
const AT_START: [&str; 11] = [
    "interface",
    "xdp_mode",
    "ipv6_prefix",
    "max_bans",
    "max_tracked",
    "close_connections",
    "on_stop",
    "metrics",
    "socket_group",
    "backend",
    "bantime.increment",
];

pub(super) fn shown(config: &Config) -> Shown {
    Shown {
        mode: config.settings.mode.to_string(),
        policy: config.settings.policy(),
        logs: config.logs.iter().map(ToString::to_string).collect(),
        max_bans: config.settings.max_bans.get(),
        files: config.files.iter().map(|file| file.display().to_string()).collect(),
        read_at: config.read_at,
        pin_dir: config.pin_dir.display().to_string(),
        ports: config.settings.port.to_string(),
        protocol: find("protocol").map(|it| it.shown(&config.settings)).unwrap_or_default(),
    }
}

/// What reads it again, for a daemon that was started with `args`, which came to `before`.
pub(super) fn by(args: RunArgs, before: Before, remote: Remote) -> Reload {
    // Whoever reads it may do so only one at a time: clap's types are not to be shared.
    let args = Mutex::new(args);
    Box::new(move || {
        let args = args.lock().map_err(|error| error.to_string())?.clone();
        fresh(args, &before, &remote).map_err(|error| error.to_string())
    })
}

fn fresh(args: RunArgs, before: &Before, remote: &Remote) -> Result<Fresh, VerbError> {
    let started = &before.settings;
    let config = args.again(before)?;
    let judge = judge(&config.settings, &before.zone)?;
    refuse_what_is_out_of_reach(before, &config)?;
    let (ignore, names) = ignore_list(&config.settings, &before.names, remote)?;
    let options = firewall_options(&config);
    let kept = started.policy();
    let (ipv6_prefix, max_tracked) = (kept.ipv6_prefix, kept.max_tracked);
    let increment = crate::jail::Increment {
        enabled: kept.increment.enabled,
        ..config.settings.policy().increment
    };
    let policy = Policy { ipv6_prefix, max_tracked, increment, ..config.settings.policy() };
    let sources = config.logs.iter().map(|log| (log.to_string(), log.clone())).collect();
    let shown =
        Shown { policy: policy.clone(), max_bans: started.max_bans.get(), ..shown(&config) };
    let rules = Rules {
        ports: options.ports,
        udp_ports: options.udp_ports,
        drop_fragments: options.drop_fragments,
        action: options.action,
    };
    let change = Change { judge, policy, ignore, names, sources, rules };
    Ok(Fresh { change, shown, at_restart: at_restart(started, &config.settings) })
}

/// It would be said to be in force, and could not be.
fn refuse_what_is_out_of_reach(before: &Before, now: &Config) -> Result<(), VerbError> {
    let lacking = before.reach.iter().flat_map(|started| reach::lacking(started, before, now));
    let lacking: Vec<String> = lacking.collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(VerbError::Usage(format!(
        "this configuration is right, but takes a restart: since its start the daemon is confined \
         by Landlock, and cannot reach {}. Nothing has changed; restart it, which loses no line and \
         no ban, or start it with --no-landlock",
        lacking.join("; nor ")
    )))
}

fn at_restart(started: &Settings, now: &Settings) -> Vec<String> {
    let options = OPTIONS.iter().filter(|option| AT_START.contains(&option.name));
    let other = options.filter(|option| option.shown(started) != option.shown(now));
    other.map(|option| option.name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{AT_START, Settings, at_restart};
    use crate::config::find;

    #[test]
    fn what_takes_a_restart_is_named() {
        assert!(AT_START.iter().all(|name| find(name).is_some()));
        let started = Settings::default();
        let now = Settings {
            ipv6_prefix: 56,
            interface: vec!["eth1".to_owned()],
            maxretry: std::num::NonZeroU32::MIN,
            ..Settings::default()
        };
        assert_eq!(at_restart(&started, &now), ["ipv6_prefix", "interface"]);
    }
}
