//! `run`: from flags to a running daemon. Whatever can be wrong with the flags is found before
//! anything is attached.

mod args;
pub(super) mod interfaces;
mod reach;
mod reload;
mod state;

use std::{
    process,
    sync::{Arc, Mutex, RwLock},
};

use jiff::tz::TimeZone;

use super::{VerbError, config::filter_of};
use crate::{
    config::{self, Backend, Ignored, JAIL, OnStop},
    control::{Context, Lists, Places, Server},
    daemon::{self, AnyFirewall, Clocks, KnownNames, Pipeline, Remote, Setup, Stats, manager},
    dovecot::{self, Judge},
    firewall::{Memory, Options, Xdp},
    jail::{IgnoreList, Jail},
    log::Log,
    sandbox,
    source::{Source, Waiter},
    store::{self, Reader},
};

use args::{Before, Config};
pub(super) use args::{PolicyFlags, RunArgs};
use state::State;

pub(super) fn run(args: RunArgs) -> Result<(), VerbError> {
    let log = Log::start(args.verbose()).map_err(VerbError::failed)?;
    let result = run_logged(args, &log);
    // Also what led to a failure is to be read before the failure.
    log.flush();
    result
}

fn run_logged(args: RunArgs, log: &Log) -> Result<(), VerbError> {
    let started_at = daemon::wall_clock();
    sandbox::keep_capabilities();
    let config = args.clone().into_config()?;
    let options = firewall_options(&config);
    if !config.dry_run {
        // Before the socket: who lacks the capabilities can rarely bind that either, and is to
        // hear of the first cause.
        Xdp::check(&options)?;
    }

    let waiter = match config.settings.backend {
        Backend::Polling => Waiter::polling(),
        Backend::Auto | Backend::Systemd => Waiter::new(),
    };
    let waiter = waiter.map_err(VerbError::failed)?;
    let (remote, inbox) = daemon::remote(&waiter);
    let mut server = Server::bind(&Places {
        socket: config.socket.clone(),
        group: config.settings.socket_group.clone(),
        metrics: config.settings.metrics,
    })?;

    let firewall = open_firewall(config.dry_run, &options)?;
    let view = firewall.view()?;
    // Behind the firewall, which is the one to say that another daemon is running.
    let State { keeping, saved, seed } = State::open(&config, &waiter);
    // Behind the state, whose directory may have to be made first. Threads that run by now
    // (the log's, the state's, that of --trace) are confined where the kernel can do that.
    let confined_to = config.landlock.then(|| reach::of(&config).resolved());
    let confined_to = confined_to.filter(|reach| sandbox::confine(reach, log));
    if confined_to.is_some() {
        reach::say(&config);
    }
    let before = Before::new(&config, confined_to);
    let stats = Arc::new(Stats::from(saved.totals));
    let past = keeping.is_some().then(|| Reader::of(&config.state_dir));
    let (ignore, names) = ignore_list(&config.settings, &before.names, &remote)?;
    let jail = Jail::new(config.settings.policy(), ignore, seed);
    let mut pipeline = Pipeline::new(Setup {
        sources: config.logs.iter().map(|log| (log.to_string(), Source::new(log))).collect(),
        judge: judge(&config.settings, &before.zone)?,
        jail,
        firewall,
        waiter,
        inbox,
        stats: Arc::clone(&stats),
        keeping,
        saved,
        names,
        clocks: Clocks::default(),
    })?;
    let shown = reload::shown(&config);
    let ready = format!("ready: {} mode, reading {}", shown.mode, shown.logs.join(", "));
    let context = Context {
        jail: JAIL,
        dry_run: config.dry_run,
        started_at,
        wanted: config.interfaces.clone(),
        stats,
        view: Mutex::new(view),
        lists: Lists::default(),
        past,
        shown: RwLock::new(shown),
        reload: reload::by(args, before, remote.clone()),
        remote,
        turn: tokio::sync::Mutex::default(),
    };
    let log = log.clone();
    let give_up = move || {
        tracing::error!("a second signal, and the daemon still hangs: it ends at once; bans stay");
        log.flush();
        process::exit(1);
    };
    server.serve(context, give_up).map_err(VerbError::failed)?;
    pipeline.commit()?;
    tracing::info!("{ready}");
    manager::ready(&ready);
    pipeline.run().map_err(VerbError::failed)?;
    manager::stopping();
    if pipeline.has_lost_its_logs() {
        // Whoever starts daemons is to start this one again, and bans stay as after any failure.
        return Err(VerbError::Failed("no log is left to read".to_owned()));
    }
    stopped(&config, &mut pipeline)
}

/// What becomes of the bans. Whoever ends in another way than this one leaves them in force.
fn stopped(config: &Config, pipeline: &mut Pipeline) -> Result<(), VerbError> {
    match (config.dry_run, config.settings.on_stop) {
        (true, _) => tracing::info!("stopped"),
        (false, OnStop::Keep) => {
            tracing::info!(
                "stopped; bans stay in force until they end, `doveblock detach` lifts them"
            );
        }
        (false, OnStop::Detach) => {
            pipeline.detach()?;
            if let Err(error) = store::forget_bans(&config.state_dir, &config.pin_dir) {
                tracing::error!("the next start would enforce the bans again: {error}");
            }
            tracing::info!("stopped and detached: nothing is dropped any more, every ban is gone");
        }
    }
    Ok(())
}

/// ignoreip with the addresses that its names have now. They are looked up again and again while
/// the second one lives.
fn ignore_list(
    settings: &config::Settings,
    known: &KnownNames,
    remote: &Remote,
) -> Result<(IgnoreList, Arc<()>), VerbError> {
    let (mut networks, mut names) = (Vec::new(), Vec::new());
    for ignored in &settings.ignoreip {
        match ignored {
            Ignored::Net(net) => networks.push(*net),
            Ignored::Name(name) => names.push(name.clone()),
        }
    }
    let mut list = IgnoreList::new(networks, settings.ignoreself);
    let is_wanted = Arc::new(());
    let followed = daemon::follow_names(names, known, remote.clone(), Arc::downgrade(&is_wanted));
    list.set_named(followed.map_err(VerbError::failed)?);
    Ok((list, is_wanted))
}

fn judge(settings: &config::Settings, zone: &TimeZone) -> Result<Judge, VerbError> {
    let judge = Judge::new(dovecot::Settings {
        mode: settings.mode,
        zone: zone.clone(),
        session_check: settings.session_check,
    });
    let filter = filter_of(settings)?;
    let with_builtin = settings.failregex.with_builtin;
    if !with_builtin {
        tracing::warn!(
            "failregex stands in for the built-in rules; with %(known/failregex)s in it, it comes \
             in addition"
        );
    }
    Ok(judge.with_filter(filter, with_builtin))
}

fn firewall_options(config: &Config) -> Options {
    Options {
        pin_dir: config.pin_dir.clone(),
        interfaces: config.interfaces.clone(),
        mode: config.settings.xdp_mode,
        ports: config.settings.tcp_ports(),
        udp_ports: config.settings.udp_ports(),
        drop_fragments: config.settings.drop_fragments,
        action: config.settings.action,
        ipv6_prefix: config.settings.ipv6_prefix,
        max_bans: config.settings.max_bans,
        close_connections: config.settings.close_connections,
        trace: config.trace,
    }
}

fn open_firewall(dry_run: bool, options: &Options) -> Result<AnyFirewall, VerbError> {
    if dry_run {
        tracing::info!("dry run: bans are decided and listed, nothing is dropped");
        return Ok(Box::new(Memory::default()));
    }
    Ok(Box::new(Xdp::open(options)?))
}
