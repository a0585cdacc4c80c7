//! `run`: from flags to a running daemon. Whatever can be wrong with the flags is found before
//! anything is attached.

mod args;
mod interfaces;

use std::{
    io::{self, IsTerminal as _},
    sync::{Arc, Mutex},
};

use tracing_subscriber::{
    filter::LevelFilter, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::VerbError;
use crate::{
    control::{Context, Server},
    daemon::{self, AnyFirewall, Pipeline, Setup, Stats},
    dovecot::Judge,
    firewall::{Memory, Options, Xdp},
    jail::{IgnoreList, Jail},
    source::{Source, Waiter},
};

use args::Config;
pub(super) use args::RunArgs;

/// The only jail there is.
const JAIL: &str = "dovecot";

pub(super) fn run(args: RunArgs) -> Result<(), VerbError> {
    start_log(args.verbose());
    let config = args.into_config()?;
    let options = firewall_options(&config);
    if !config.dry_run {
        // Before the socket: who lacks the capabilities can rarely bind that either, and is to
        // hear of the first cause.
        Xdp::check(&options)?;
    }

    let waiter = Waiter::new().map_err(VerbError::failed)?;
    let (remote, inbox) = daemon::remote(&waiter);
    let stats = Arc::new(Stats::default());
    let server = Server::bind(&config.socket).map_err(|error| {
        let message = format!(
            "cannot listen on {}: {error}; --socket names another place",
            config.socket.display()
        );
        match error.kind() {
            io::ErrorKind::AddrInUse => VerbError::Usage(message),
            _ => VerbError::Failed(message),
        }
    })?;

    let firewall = open_firewall(config.dry_run, &options)?;
    let view = firewall.view()?;
    let jail = Jail::new(
        config.policy.clone(),
        IgnoreList::new(config.ignoreip.clone(), config.ignoreself),
    );
    let mut pipeline = Pipeline::new(Setup {
        sources: config.logs.iter().map(Source::new).collect(),
        judge: Judge::new(config.mode, jiff::tz::TimeZone::system()),
        jail,
        firewall,
        waiter,
        inbox,
        stats: Arc::clone(&stats),
    })?;
    let logs: Vec<String> = config.logs.iter().map(ToString::to_string).collect();
    let ready = format!("ready: {} mode, reading {}", config.mode, logs.join(", "));
    server
        .serve(Context {
            jail: JAIL,
            mode: config.mode.to_string(),
            policy: config.policy,
            dry_run: config.dry_run,
            logs,
            remote,
            stats,
            view: Mutex::new(view),
        })
        .map_err(VerbError::failed)?;
    pipeline.commit()?;
    tracing::info!("{ready}");
    pipeline.run().map_err(VerbError::failed)?;
    if config.dry_run {
        tracing::info!("stopped");
    } else {
        tracing::info!("stopped; bans stay in force until they end, `doveblock detach` lifts them");
    }
    Ok(())
}

fn firewall_options(config: &Config) -> Options {
    Options {
        pin_dir: config.pin_dir.clone(),
        interfaces: config.interfaces.clone(),
        mode: config.xdp_mode,
        ports: config.ports.ranges().to_vec(),
        ipv6_prefix: config.policy.ipv6_prefix,
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

/// The daemon's log goes to standard error, one event a line.
fn start_log(verbose: bool) {
    // The trace of the kernel program is written at debug level, and only where asked for.
    const KERNEL_PROGRAM: &str = "doveblock_ebpf";
    let level = if verbose { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let filter = Targets::new().with_default(level).with_target(KERNEL_PROGRAM, LevelFilter::DEBUG);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry().with(filter).with(layer).init();
}
