//! The report for a terminal of 80 columns: the verdict first, the lists after it.

use std::{fmt::Write as _, time::Duration};

use crate::{
    cli::output::{table, visible},
    config::show_span,
    report::{Ban, Cell, Effect, Kind, Report, Sweep, Top, UserHit, When},
};

/// Longer lists are in the JSON and on the page.
const MOST: usize = 10;
/// Columns.
const WIDTH: usize = 80;
/// Names on one line.
const NAMES: usize = 5;

pub(super) fn of(report: &Report, all_bans: bool) -> String {
    let mut text = String::new();
    read(&mut text, report);
    effect(&mut text, report);
    hits(&mut text, report);
    recognised(&mut text, report);
    bans(&mut text, report, if all_bans { usize::MAX } else { MOST });
    top(&mut text, "Clients with the most failures", &report.top_sources);
    if let Some(sweep) = &report.sweep {
        self::sweep(&mut text, report, sweep);
    }
    recommendation(&mut text, report);
    for note in &report.notes {
        let _ = writeln!(text, "\n{}", wrapped(&format!("Note: {note}")));
    }
    text
}

fn span(secs: u64) -> String {
    show_span(Duration::from_secs(secs))
}

fn bantime(secs: Option<u64>) -> String {
    secs.map_or_else(|| "for ever".to_owned(), span)
}

/// To the second, which is what a log's reader needs.
fn time(when: When) -> String {
    let text = when.0.to_string();
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text,
    }
}

/// In lines of a terminal's width.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        if let Some(line) = lines.last_mut().filter(|line| line.len() + word.len() < WIDTH) {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

fn share(part: u64, whole: u64) -> String {
    let percent = part.saturating_mul(100).checked_div(whole).unwrap_or(0);
    format!("{part} ({percent} %)")
}

fn heading(text: &mut String, heading: &str) {
    let _ = write!(text, "\n{heading}\n\n");
}

fn read(text: &mut String, report: &Report) {
    let read = &report.read;
    let policy = &report.policy;
    let _ = writeln!(
        text,
        "{} lines: {} failures, {} logins, {} clients",
        read.lines, read.failures, read.logins, read.clients
    );
    if let (Some(from), Some(to)) = (read.from, read.to) {
        let _ = writeln!(text, "from {} to {}", time(from), time(to));
    }
    let probes = policy.maxretry_probe.map_or_else(String::new, |n| format!(", {n} for probes"));
    let _ = writeln!(
        text,
        "tried: mode {}, maxretry {}{probes}, findtime {}, bantime {}",
        policy.mode,
        policy.maxretry,
        span(policy.findtime),
        bantime(policy.bantime)
    );
}

fn effect(text: &mut String, report: &Report) {
    heading(text, "What it would have done, and what the other mode would");
    let mut rows = vec![["", "normal", "aggressive"].map(str::to_owned)];
    let read = &report.read;
    rows.push(row("bans", &report.modes, |it| it.bans.to_string()));
    rows.push(row("banned clients", &report.modes, |it| it.banned_clients.to_string()));
    rows.push(row("attackers caught", &report.modes, |it| {
        share(it.attackers_caught, it.attackers)
    }));
    rows.push(row("failures prevented", &report.modes, |it| {
        share(it.prevented_failures, read.failures)
    }));
    rows.push(row("connections prevented", &report.modes, |it| {
        share(it.prevented_connections, read.connections)
    }));
    rows.push(row("login process seconds", &report.modes, |it| {
        share(it.prevented_login_process_seconds, read.login_process_seconds)
    }));
    rows.push(row("clients with users hit", &report.modes, |it| {
        it.clients_with_users_hit.to_string()
    }));
    rows.push(row("users hit", &report.modes, |it| it.users_hit.to_string()));
    rows.push(row("logins locked out", &report.modes, |it| it.logins_locked_out.to_string()));
    text.push_str(&table(&rows));
}

fn row(
    name: &str,
    modes: &[crate::report::ModeEffect],
    cell: impl Fn(&Effect) -> String,
) -> [String; 3] {
    let of = |number: usize| modes.get(number).map_or_else(String::new, |mode| cell(&mode.effect));
    [name.to_owned(), of(0), of(1)]
}

fn hits(text: &mut String, report: &Report) {
    let hits = &report.hits;
    heading(text, "Real users hit");
    if hits.clients.is_empty() {
        text.push_str("nobody who logs in would have been banned\n");
    }
    hits.clients.iter().take(MOST).for_each(|hit| user(text, hit));
    more(text, hits.clients.len(), hits.clients_left_out, MOST);
    let without = hits.without_ignore_authenticated.len();
    let without = u64::try_from(without).unwrap_or(0) + hits.without_ignore_authenticated_left_out;
    let with = u64::try_from(hits.clients.len()).unwrap_or(0) + hits.clients_left_out;
    if without != with {
        let _ = writeln!(
            text,
            "with ignore_authenticated = 0 it would be {without} clients; as it is ({}), it is {with}",
            span(report.policy.ignore_authenticated)
        );
    }
}

fn user(text: &mut String, hit: &UserHit) {
    let names: Vec<String> = hit.users.iter().take(NAMES).map(|name| visible(name)).collect();
    let more = hit.users.len().saturating_sub(NAMES);
    let more = u64::try_from(more).unwrap_or(0) + hit.users_left_out;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let locked = match hit.locked_out {
        Some(count @ 1..) => format!(", {count} of them while banned"),
        _ => String::new(),
    };
    let _ = writeln!(
        text,
        "{}: {}{more}; {} logins{locked}\n  {} failures, banned {} times, first {}",
        hit.subject,
        names.join(", "),
        hit.logins,
        hit.failures,
        hit.bans,
        time(hit.first_ban)
    );
}

fn more(text: &mut String, listed: usize, left_out: u64, most: usize) {
    let more = u64::try_from(listed.saturating_sub(most)).unwrap_or(0) + left_out;
    if more > 0 {
        let _ = writeln!(text, "and {more} more");
    }
}

fn recognised(text: &mut String, report: &Report) {
    if report.recognised.is_empty() {
        return;
    }
    heading(text, "Better not banned, if they are yours");
    for found in report.recognised.iter().take(MOST) {
        let kind = match found.kind {
            Kind::Monitoring => "monitoring",
            Kind::Gateway => "gateway",
        };
        let state = match (found.ignored, found.banned) {
            (true, _) => "on ignoreip already",
            (false, true) => "would be banned",
            (false, false) => "would not be banned",
        };
        let _ = writeln!(text, "{} ({kind}, {state})", found.subject);
        let _ = writeln!(text, "  {}", found.reason);
        if !found.ignored {
            let _ = writeln!(text, "  {}", found.ignoreip);
        }
    }
    more(text, report.recognised.len(), 0, MOST);
}

fn bans(text: &mut String, report: &Report, most: usize) {
    if report.bans.is_empty() {
        return;
    }
    heading(text, "Bans, in the order of time; which one of the client, and what it prevented");
    let mut rows =
        vec![["client", "no.", "from", "until", "last rule", "prevented"].map(str::to_owned)];
    rows.extend(report.bans.iter().take(most).map(ban));
    text.push_str(&table(&rows));
    more(text, report.bans.len(), report.bans_left_out, most);
}

fn ban(ban: &Ban) -> [String; 6] {
    let until = ban.expires.map_or_else(|| "for ever".to_owned(), time);
    let prevented = ban.prevented_failures.map_or_else(String::new, |count| count.to_string());
    let number = ban.earlier_bans.saturating_add(1).to_string();
    [ban.subject.clone(), number, time(ban.at), until, ban.cause.clone(), prevented]
}

fn top(text: &mut String, title: &str, list: &[Top]) {
    if list.is_empty() {
        return;
    }
    heading(text, title);
    let mut rows = vec![["client", "failures", "logins", "bans"].map(str::to_owned)];
    rows.extend(list.iter().take(MOST).map(|top| {
        [
            top.subject.clone(),
            top.failures.to_string(),
            top.logins.to_string(),
            top.bans.to_string(),
        ]
    }));
    text.push_str(&table(&rows));
}

/// A matrix: failures prevented in percent, and behind a slash the clients with users that are
/// hit.
fn sweep(text: &mut String, report: &Report, sweep: &Sweep) {
    heading(text, "Other settings: failures prevented / clients with users hit");
    let width = 10;
    let _ = write!(text, "{:<10}", "maxretry");
    for maxretry in &sweep.maxretry {
        let _ = write!(text, "{maxretry:>width$}");
    }
    text.push('\n');
    for row in sweep.cells.chunks(sweep.maxretry.len().max(1)) {
        let name = row.first().map_or_else(String::new, |cell| span(cell.findtime));
        let _ = write!(text, "in {name:<7}");
        for cell in row {
            let _ = write!(text, "{:>width$}", brief(cell, report.read.failures));
        }
        text.push('\n');
    }
    text.push('\n');
    for cell in &sweep.bantimes {
        let _ = writeln!(
            text,
            "bantime {:<8}{}",
            bantime(cell.bantime),
            brief(cell, report.read.failures)
        );
    }
}

fn brief(cell: &Cell, failures: u64) -> String {
    let prevented = cell.effect.prevented_failures;
    let percent = prevented.saturating_mul(100).checked_div(failures).unwrap_or(0);
    format!("{percent} % / {}", cell.effect.clients_with_users_hit)
}

fn recommendation(text: &mut String, report: &Report) {
    let Some(recommended) = &report.recommendation else { return };
    heading(text, "Recommended");
    let why = format!(
        "maxretry {} within {}: {}.",
        recommended.maxretry,
        span(recommended.findtime),
        recommended.reason
    );
    let _ = writeln!(text, "{}\n", wrapped(&why));
    text.push_str(&recommended.snippet);
}
