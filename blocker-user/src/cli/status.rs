//! `status`: what an admin knows from `fail2ban-client status`, and what the kernel counted.

use std::fmt::Write as _;

use clap::Args;

use super::{Format, SocketArg, VerbError, output};
use crate::control::{
    Client,
    api::{Listed, Status},
};

#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    /// The jail, for the layout that `fail2ban-client status JAIL` has; there is one
    #[arg(value_name = "JAIL", value_parser = ["dovecot"])]
    jail: Option<String>,
    #[command(flatten)]
    socket: SocketArg,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &StatusArgs) -> Result<(), VerbError> {
    let client = Client::new(&args.socket.socket);
    let status: Status = client.get("/v1/status")?;
    match (args.format, &args.jail) {
        (Format::Json, _) => output::json(&status),
        (Format::Text, None) => output::text_out(&text(&status)),
        (Format::Text, Some(_)) => {
            let bans: Vec<Listed> = client.get("/v1/bans")?;
            output::text_out(&tree(&status, &bans))
        }
    }
}

fn text(status: &Status) -> String {
    let bantime = status.bantime_secs.map_or_else(|| "without end".to_owned(), span);
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
                "maxretry {}, findtime {}, bantime {bantime}",
                status.maxretry,
                span(status.findtime_secs)
            ),
        ),
        ("interfaces", attached),
        ("logs", status.logs.join(", ")),
        ("lines read", status.lines.to_string()),
        ("behind the log", span(status.lag_secs)),
        ("currently failed", status.currently_failed.to_string()),
        ("total failed", status.total_failed.to_string()),
        ("currently banned", status.currently_banned.to_string()),
        ("total banned", status.total_banned.to_string()),
        ("total evicted", status.total_evicted.to_string()),
        (
            "dropped",
            format!("{} packets, {} bytes", counters.dropped_packets, counters.dropped_bytes),
        ),
        (
            "of these",
            format!(
                "{} TCP ({} answered with a reset), {} UDP, {} fragments, {} behind a chain of \
                 headers",
                counters.dropped_tcp,
                counters.answered_reset,
                counters.dropped_udp,
                counters.dropped_fragment,
                counters.dropped_hidden
            ),
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
            format!(
                "{} to other ports, {} neither TCP nor UDP",
                counters.passed_port, counters.passed_other
            ),
        ),
        ("banned", banned(status)),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "{name:<17} {value}");
    }
    text
}

/// As fail2ban-client prints it, so that eyes and scripts find what they know, and behind that
/// what the kernel counts.
fn tree(status: &Status, bans: &[Listed]) -> String {
    let ips: Vec<&str> = bans.iter().map(|ban| ban.ip.as_str()).collect();
    let counters = &status.counters;
    format!(
        "Status for the jail: {}\n\
         |- Filter\n\
         |  |- Currently failed:\t{}\n\
         |  |- Total failed:\t{}\n\
         |  `- File list:\t{}\n\
         |- Actions\n\
         |  |- Currently banned:\t{}\n\
         |  |- Total banned:\t{}\n\
         |  `- Banned IP list:\t{}\n\
         `- Kernel\n   \
            |- Interfaces:\t{}\n   \
            |- Dropped packets:\t{}\n   \
            `- Dropped bytes:\t{}\n",
        status.jail,
        status.currently_failed,
        status.total_failed,
        status.logs.join(" "),
        bans.len(),
        status.total_banned,
        ips.join(" "),
        status.interfaces.join(" "),
        counters.dropped_packets,
        counters.dropped_bytes,
    )
}

fn banned(status: &Status) -> String {
    let shown = status.banned.join(" ");
    match status.currently_banned.saturating_sub(status.banned.len()) {
        0 => shown,
        more => format!("{shown} and {more} more, which `doveblock list` shows"),
    }
}

/// A length of time as the configuration takes it: 10m, 1d 12h.
fn span(secs: u64) -> String {
    let units =
        [("d", secs / 86_400), ("h", secs / 3600 % 24), ("m", secs / 60 % 60), ("s", secs % 60)];
    let parts: Vec<String> = units
        .into_iter()
        .filter(|&(_, count)| count > 0)
        .map(|(unit, count)| format!("{count}{unit}"))
        .collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::span;
    use crate::config::parse_span;

    #[test]
    fn spans_are_written_as_they_are_read() {
        assert_eq!([600, 129_600, 86_400, 0].map(span), ["10m", "1d 12h", "1d", "0s"]);
        for secs in [0, 1, 59, 61, 3599, 3661, 90_061, 3_155_760_000] {
            assert_eq!(parse_span(&span(secs)).unwrap().as_secs(), secs);
        }
    }
}
