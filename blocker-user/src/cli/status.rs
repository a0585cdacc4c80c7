//! `status`: what an admin knows from `fail2ban-client status`, and what the kernel counted.

use std::fmt::Write as _;

use clap::Args;

use super::{Format, SocketArg, VerbError, output};
use crate::control::{Client, api::Status};

#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    /// The jail; there is one
    #[arg(value_name = "JAIL", value_parser = ["dovecot"])]
    jail: Option<String>,
    #[command(flatten)]
    socket: SocketArg,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &StatusArgs) -> Result<(), VerbError> {
    let status: Status = Client::new(&args.socket.socket).get("/v1/status")?;
    match args.format {
        Format::Json => output::json(&status),
        Format::Text => output::text_out(&text(&status)),
    }
}

fn text(status: &Status) -> String {
    let bantime =
        status.bantime_secs.map_or_else(|| "without end".to_owned(), |secs| format!("{secs} s"));
    let attached = match (status.dry_run, status.interfaces.as_slice()) {
        (true, _) => "dry run, nothing is dropped".to_owned(),
        (false, []) => "detached, nothing is dropped".to_owned(),
        (false, interfaces) => interfaces.join(", "),
    };
    let counters = &status.counters;
    let lines = [
        ("jail", format!("{}, {} mode", status.jail, status.mode)),
        (
            "policy",
            format!(
                "maxretry {}, findtime {} s, bantime {bantime}",
                status.maxretry, status.findtime_secs
            ),
        ),
        ("interfaces", attached),
        ("logs", status.logs.join(", ")),
        ("lines read", status.lines.to_string()),
        ("currently failed", status.currently_failed.to_string()),
        ("total failed", status.total_failed.to_string()),
        ("currently banned", status.currently_banned.to_string()),
        ("total banned", status.total_banned.to_string()),
        (
            "dropped",
            format!("{} packets, {} bytes", counters.dropped_packets, counters.dropped_bytes),
        ),
        (
            "passed",
            format!(
                "{} not banned, {} after their ban, {} on the allow list",
                counters.passed_clean, counters.passed_expired, counters.passed_allowed
            ),
        ),
        (
            "not judged",
            format!("{} to other ports, {} not TCP", counters.passed_port, counters.passed_other),
        ),
        ("banned", status.banned.join(" ")),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "{name:<17} {value}");
    }
    text
}
