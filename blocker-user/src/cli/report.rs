//! `report`: what the daemon did, as text, as JSON or as a page.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use jiff::tz::TimeZone;

use super::{
    Format, SocketArg, VerbError,
    config::{ConfigArgs, refuse_errors},
    output::{self, PageFile},
};
use crate::{
    config::{parse_span, show_span},
    control::{
        Client,
        api::{History, PolicyShown},
        encode_query,
    },
    daemon::wall_clock,
    history, page,
    report::Report,
    store::{KEPT, Reader},
};

/// Bans and sources that the text names.
const MOST_SHOWN: usize = 10;

#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    /// From how long ago on, as 12h or 7d; the hour it is in is taken whole
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_span)]
    since: Duration,
    /// Write a page to this file as well, for any browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    socket: SocketArg,
    /// Read the database there and ask no daemon, as when none runs
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &ReportArgs) -> Result<(), VerbError> {
    if args.since > KEPT {
        let kept = show_span(KEPT);
        return Err(VerbError::usage(format!("--since: no more than {kept} are kept")));
    }
    let html = args.html.as_deref().map(PageFile::open).transpose()?;
    let history = match &args.state_dir {
        Some(dir) => stored(args, dir)?,
        None => asked(args)?,
    };
    let report = history::report(&history, &TimeZone::system(), wall_clock());
    if let Some(file) = html {
        file.write(&page::html(&report))?;
    }
    match args.format {
        Format::Json => output::json(&report),
        Format::Text => output::text_out(&text(&report)),
    }
}

fn asked(args: &ReportArgs) -> Result<History, VerbError> {
    let since = encode_query(&args.since.as_secs().to_string());
    let client = Client::new(&args.socket.socket);
    client.get(&format!("/v1/history?since={since}")).map_err(|error| match error {
        error @ crate::control::ClientError::Unreachable { .. } => VerbError::failed(format!(
            "{error}. `--state-dir /var/lib/doveblock` reads what an earlier one left"
        )),
        error => error.into(),
    })
}

/// The settings are those of the configuration: nobody is there to say what holds.
fn stored(args: &ReportArgs, dir: &Path) -> Result<History, VerbError> {
    let loaded = args.config.load();
    refuse_errors(&loaded)?;
    let (now, settings) = (wall_clock(), &loaded.settings);
    let chronicle = Reader::of(dir).chronicle(now.before(args.since), now);
    Ok(History {
        policy: PolicyShown::new(&settings.mode.to_string(), &settings.policy()),
        chronicle: chronicle.map_err(VerbError::failed)?,
    })
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _infallible = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    let Report { read, effect, policy, .. } = report;
    if let (Some(from), Some(to)) = (read.from, read.to) {
        writeln!(text, "From {} to {}:", from.0, to.0)?;
    }
    let mut count = |name: &str, count: u64| writeln!(text, "  {name:<17}{count:>12}");
    count("failures", read.failures)?;
    count("logins", read.logins)?;
    count("bans", effect.bans)?;
    count("clients banned", effect.banned_clients)?;
    if let Some(drops) = &report.drops {
        count("packets dropped", drops.packets)?;
        count("bytes dropped", drops.bytes)?;
    }
    count("lifted by logins", report.hits.clients.iter().map(|hit| hit.bans).sum())?;
    let findtime = show_span(Duration::from_secs(policy.findtime));
    writeln!(
        text,
        "Now: {} mode, maxretry {}, findtime {findtime}.",
        policy.mode, policy.maxretry
    )?;
    if !report.rules.is_empty() {
        writeln!(text, "Failures by rule:")?;
    }
    for rule in report.rules.iter().take(MOST_SHOWN) {
        writeln!(text, "  {:>9}  {}", rule.count, output::visible(&rule.name))?;
    }
    if !report.top_sources.is_empty() {
        writeln!(text, "Banned most:")?;
    }
    for top in report.top_sources.iter().take(MOST_SHOWN) {
        let s = if top.bans == 1 { "" } else { "s" };
        writeln!(text, "  {}: {} ban{s}, {} failures", top.subject, top.bans, top.failures)?;
    }
    let last = report.bans.len().saturating_sub(MOST_SHOWN);
    if !report.bans.is_empty() {
        writeln!(text, "The last bans of {}:", report.effect.bans)?;
    }
    for ban in report.bans.iter().skip(last) {
        let end = ban.expires.map_or("for ever".to_owned(), |end| format!("to {}", end.0));
        let cause = output::visible(&ban.cause);
        writeln!(text, "  {} {end}  {}  {cause}", ban.at.0, ban.subject)?;
    }
    report.notes.iter().try_for_each(|note| writeln!(text, "Note: {note}"))
}
