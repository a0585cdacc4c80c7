//! `check --live`: why does it not ban? Looks at the running daemon, the kernel, the log and
//! Dovecot, and says of each whether it is as it should be, and what to do where it is not.
//!
//! Changes nothing. Facts are gathered here, as far as whoever asks may see them; what they mean
//! is said by the functions of the modules below, each from its arguments alone.

mod address;
mod daemon;
mod dovecot;
mod files;
mod item;
mod kernel;
mod lines;
mod logs;
mod process;
mod traffic;

use std::{net::IpAddr, path::PathBuf};

use serde::Serialize;

use super::CheckArgs;
use crate::{
    cli::{Format, VerbError, config::ConfigArgs, output, run::interfaces::of_default_routes},
    config::Loaded,
    control::{Client, ClientError, api::Status},
    daemon::wall_clock,
    time::LogTime,
};

use item::{Item, Verdict};
use process::Process;

/// What there is to know before anything is judged.
struct Facts<'a> {
    args: &'a CheckArgs,
    loaded: Loaded,
    /// What the daemon says of itself, where one answers.
    status: Option<Status>,
    process: Option<Process>,
    now: LogTime,
}

#[derive(Serialize)]
struct Report {
    /// Whether there is no fault.
    ok: bool,
    items: Vec<Item>,
}

pub(super) fn run(args: &CheckArgs) -> Result<(), VerbError> {
    let items = look(args)?;
    let faults = items.iter().filter(|item| item.verdict == Verdict::Fault).count();
    match args.format {
        Format::Json => output::json(&Report { ok: faults == 0, items })?,
        Format::Text => output::text_out(&item::text(&items))?,
    }
    match faults {
        0 => Ok(()),
        1 => Err(VerbError::Failed("one fault was found".to_owned())),
        faults => Err(VerbError::Failed(format!("{faults} faults were found"))),
    }
}

fn look(args: &CheckArgs) -> Result<Vec<Item>, VerbError> {
    let address = args.address.as_deref().map(address::parse).transpose()?;
    let client = Client::new(&args.socket.socket);
    let answer: Result<Status, ClientError> = client.get("/v1/status");
    let reached = daemon::reached(&answer, &args.socket.socket);
    let status = answer.ok();
    let process = status.as_ref().and_then(|status| Process::of(status.pid));
    let facts = Facts { args, loaded: args.config.load(), status, process, now: wall_clock() };

    let mut items = vec![reached];
    items.extend(of_the_daemon(&facts));
    items.extend(of_the_kernel(&facts));
    let read = files::read(&facts, address);
    items.extend(read.items);
    let tally = read.tally;
    let (settings, status) = (&facts.loaded.settings, facts.status.as_ref());
    let mode = status.map_or_else(|| settings.mode.to_string(), |status| status.mode.clone());
    items.push(lines::understood(&tally));
    items.extend(lines::mode(&tally, &mode));
    items.extend(status.map(|status| lines::failures(&tally, status)));
    items.extend(dovecot::look(&guarded_ports(&facts), &read.names));
    if let Some(ip) = address {
        items.extend(of_the_address(&facts, &client, ip, &tally));
    }
    Ok(items)
}

fn of_the_daemon(facts: &Facts<'_>) -> Vec<Item> {
    let Facts { args, loaded, status, process, .. } = facts;
    let is_wrong = loaded.errors().next().is_some();
    let Some(status) = status else {
        return vec![daemon::configuration_alone(is_wrong)];
    };
    let ConfigArgs { config, fail2ban } = &args.config;
    let is_default = config.is_none() && fail2ban.is_none();
    let changed = files::changed_since(&status.running, is_default.then_some(&loaded.files));
    let is_replaced = process.as_ref().and_then(Process::is_replaced);
    vec![
        daemon::version(&status.version, env!("CARGO_PKG_VERSION"), is_replaced),
        daemon::configuration(&status.running, is_wrong, &changed),
        daemon::enforcement(status),
    ]
}

fn of_the_kernel(facts: &Facts<'_>) -> Vec<Item> {
    let Some(status) = &facts.status else {
        // Bans outlive the daemon: whether any are in force is worth knowing.
        return vec![kernel::program(crate::firewall::look(&pin_dir(facts)), None)];
    };
    if status.dry_run {
        return vec![kernel::fill(status)];
    }
    if facts.process.as_ref().is_some_and(|process| process.shares_network() == Some(false)) {
        return vec![kernel::elsewhere(status.pid), kernel::fill(status)];
    }
    let dir = pin_dir(facts);
    let mut items = vec![kernel::program(crate::firewall::look(&dir), Some(&status.running))];
    let wanted = wanted_interfaces(facts);
    items.extend(wanted.iter().map(|name| kernel::interface(&crate::firewall::guard(name, &dir))));
    let routes = of_default_routes().unwrap_or_default();
    let is_open = |name: &&String| !crate::firewall::covers(&wanted, name);
    let open: Vec<String> = routes.iter().filter(is_open).cloned().collect();
    items.push(kernel::routes(&routes, &open));
    items.push(traffic::seen(status));
    items.push(kernel::fill(status));
    items
}

/// What the daemon says that it guards; where it guards nothing, what it ought to.
fn wanted_interfaces(facts: &Facts<'_>) -> Vec<String> {
    let said = facts.status.as_ref().map(|status| status.running.wanted.clone());
    let said = said.filter(|wanted| !wanted.is_empty());
    said.unwrap_or_else(|| of_default_routes().unwrap_or_default())
}

fn pin_dir(facts: &Facts<'_>) -> PathBuf {
    let said = facts.status.as_ref().map(|status| PathBuf::from(&status.running.pin_dir));
    said.filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or_else(|| facts.args.pin_dir.pin_dir.clone())
}

/// As `port` takes them.
fn guarded_ports(facts: &Facts<'_>) -> String {
    let said = facts.status.as_ref().map(|status| status.running.ports.clone());
    said.unwrap_or_else(|| facts.loaded.settings.port.to_string())
}

fn of_the_address(
    facts: &Facts<'_>,
    client: &Client,
    ip: IpAddr,
    tally: &lines::Tally,
) -> Vec<Item> {
    let mut items = vec![address::in_the_log(ip, tally)];
    if facts.status.is_none() {
        items.push(Item::unknown(
            "address",
            format!("what would become of {ip}: no daemon answers"),
            "start it first",
        ));
        return items;
    }
    let explained = client.get(&format!("/v1/explain?ip={ip}"));
    let is_allowed = crate::firewall::is_allowed(&pin_dir(facts), ip);
    items.extend(address::walk(ip, &explained, is_allowed.as_ref().ok().copied()));
    items
}
