//! A [`Report`] as one page that needs nothing beside it: no network, no script, no font.
//!
//! What comes from logs was chosen by attackers. maud escapes all of it, `parts::name` takes what
//! is invisible or turns text around out of it, and should something come through all the same,
//! the page's own policy forbids everything but its style sheet.

mod chart;
mod effect;
mod lists;
mod parts;
mod verdict;
mod words;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{
    cli::output::visible,
    report::{Report, Source},
};
use chart::{hours, modes, over_time, ranks, sweep};
use words::{Clock, bantime, number, span};

const STYLE: &str = include_str!("style.css");
/// Nothing may be loaded, sent or run.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

#[must_use]
pub fn html(report: &Report) -> String {
    let clock = Clock::of(&report.series.zone);
    let title = title(report);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="generator" content={ "doveblock " (report.version) };
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(report, title, &clock))
                main { (sections(report, &clock)) }
                (foot(report, &clock))
            }
        }
    }
    .into_string()
}

fn title(report: &Report) -> &'static str {
    match report.kind {
        Source::Simulation => "What this policy would do",
        Source::History => "What doveblock did",
    }
}

fn head(report: &Report, title: &str, clock: &Clock) -> Markup {
    let read = &report.read;
    html! {
        header {
            p.brand { "doveblock" }
            h1 { (title) }
            p.period {
                @if let (Some(from), Some(to)) = (read.from, read.to) {
                    time datetime=(from.0) { (clock.show_minute(from)) }
                    " to "
                    time datetime=(to.0) { (clock.show_minute(to)) }
                    " (" (clock.name) ")"
                } @else {
                    "No time was covered."
                }
                @if read.lines > 0 { " · " (number(read.lines)) " lines of log" }
                @if report.anonymized { " · addresses and users are replaced" }
            }
        }
    }
}

/// A section with its heading.
fn section(id: &str, title: &str, body: &Markup) -> Markup {
    html! {
        section aria-labelledby={ "h-" (id) } {
            h2 id={ "h-" (id) } { (title) }
            (body)
        }
    }
}

fn sections(report: &Report, clock: &Clock) -> Markup {
    let is_simulation = report.kind == Source::Simulation;
    html! {
        (verdict::html(report))
        @if let Some(recommendation) = &report.recommendation {
            (section("recommendation", "Recommendation",
                &verdict::recommendation(report, recommendation)))
        }
        (section("users", "Real users hit", &lists::hits(report, clock)))
        (section("time", "Over time", &over_time::html(report, clock)))
        @if let Some(found) = &report.sweep {
            (section("sweep", "Other settings", &sweep::html(report, found)))
        }
        @if !report.modes.is_empty() {
            (section("normal-or-aggressive", "Normal against aggressive",
                &modes::html(&report.modes, &report.read)))
        }
        div.pair {
            (section("sources", "Top sources",
                &ranks::html("top-sources", "Clients with the most failures",
                    &report.top_sources, clock)))
            (section("networks", "Top networks",
                &ranks::html("top-networks", "Networks with the most failures",
                    &report.top_networks, clock)))
            (section("day", "Hours of the day",
                &hours::html(&report.hours, &clock.name)))
            (section("rules", "Why they count", &lists::rules(report)))
        }
        @if is_simulation || !report.recognised.is_empty() {
            (section("recognised", "Monitoring and gateways", &lists::recognised(report)))
        }
        (section("bans", "Bans", &lists::bans(report, clock)))
        (section("policy", "The policy", &policy(report)))
        @if !report.notes.is_empty() {
            (section("notes", "What to know of this report", &html! {
                ul.notes { @for note in &report.notes { li { (parts::name(note)) } } }
            }))
        }
    }
}

fn policy(report: &Report) -> Markup {
    let policy = &report.policy;
    let ignored: Vec<String> = policy.ignoreip.iter().map(|ip| visible(ip)).collect();
    let probe = policy.maxretry_probe.map(|tries| tries.to_string());
    let rows: Vec<(&str, String)> = [
        ("mode", Some(policy.mode.to_owned())),
        ("maxretry", Some(policy.maxretry.to_string())),
        ("maxretry.probe", probe),
        ("findtime", Some(span(policy.findtime))),
        ("bantime", Some(bantime(policy.bantime))),
        ("bantime.increment", Some(if policy.increment { "true" } else { "false" }.to_owned())),
        ("ignore_authenticated", Some(span(policy.ignore_authenticated))),
        ("ipv6_prefix", Some(format!("/{}", policy.ipv6_prefix))),
        ("ignoreip", (!ignored.is_empty()).then(|| ignored.join(" "))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    html! {
        dl.policy {
            @for (name, value) in rows { div { dt { (name) } dd { (value) } } }
        }
        @if !report.read.logs.is_empty() {
            h3 { "Logs, in the order they were read" }
            ul.logs { @for log in &report.read.logs { li { (parts::name(log)) } } }
        }
    }
}

fn foot(report: &Report, clock: &Clock) -> Markup {
    html! {
        footer {
            p {
                "Made by doveblock " (report.version) ", " (parts::time(report.made_at, clock)) ". "
                "Times are in " (clock.name) ". This page loads nothing and runs no script."
            }
        }
    }
}

#[cfg(test)]
mod tests;
