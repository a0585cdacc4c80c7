//! Who is meant: users, monitoring, gateways, and every ban.

use maud::{Markup, html};

use super::{
    parts::{self, Column},
    words::{Clock, about, counted, number, share},
};
use crate::report::{Ban, Kind, Report, Source, UserHit};

/// Rows in sight; the others are behind a click.
const SHOWN: usize = 25;

pub(super) fn hits(report: &Report, clock: &Clock) -> Markup {
    let hits = &report.hits;
    let is_simulation = report.kind == Source::Simulation;
    let without = counted(
        (hits.without_ignore_authenticated.len() as u64)
            .saturating_add(hits.without_ignore_authenticated_left_out),
        "banned client",
        "banned clients",
    );
    html! {
        @if hits.clients.is_empty() {
            p.empty {
                @if is_simulation { "Nobody logged in from a client that would have been banned." }
                @else { "Nobody is known to have logged in from a client that was banned." }
            }
        } @else {
            (users(&hits.clients, hits.clients_left_out, clock))
        }
        @if is_simulation {
            @if hits.without_ignore_authenticated.is_empty() {
                p { "Without " code { "ignore_authenticated" } " nobody would be hit either." }
            } @else {
                details.without {
                    summary {
                        "Without " code { "ignore_authenticated" } ": " (without)
                        " with real users"
                    }
                    (users(&hits.without_ignore_authenticated,
                        hits.without_ignore_authenticated_left_out, clock))
                }
            }
        }
    }
}

fn users(hits: &[UserHit], left_out: u64, clock: &Clock) -> Markup {
    let columns = [
        Column::text("Client"),
        Column::text("Users"),
        Column::number("Logins"),
        Column::number("Locked out"),
        Column::number("Failures"),
        Column::number("Bans"),
        Column::text("Logins from, to"),
        Column::text("First ban"),
    ];
    let rows = hits.iter().map(|hit| {
        let names = html! {
            ul.names {
                @for user in &hit.users { li { (parts::name(user)) } }
                @if hit.users_left_out > 0 { li { "and " (number(hit.users_left_out)) " more" } }
            }
        };
        vec![
            parts::name(&hit.subject),
            names,
            html! { (number(hit.logins)) },
            html! { (known(hit.locked_out)) },
            html! { (number(hit.failures)) },
            html! { (number(hit.bans)) },
            html! {
                (parts::time(hit.first_login, clock)) " " (parts::time(hit.last_login, clock))
            },
            parts::time(hit.first_ban, clock),
        ]
    });
    parts::long_table(&columns, rows.collect(), SHOWN, left_out)
}

/// A dash where it is not known.
fn known(count: Option<u64>) -> String {
    count.map_or_else(|| "–".to_owned(), number)
}

pub(super) fn recognised(report: &Report) -> Markup {
    if report.recognised.is_empty() {
        return html! { p.empty { "Nobody looks like monitoring or like a gateway." } };
    }
    let columns = [
        Column::text("Client"),
        Column::text("Looks like"),
        Column::number("Users"),
        Column::number("Logins"),
        Column::number("Failures"),
        Column::text("Banned"),
        Column::text("Line for the configuration"),
    ];
    let rows = report.recognised.iter().map(|who| {
        let kind = match who.kind {
            Kind::Monitoring => "monitoring",
            Kind::Gateway => "a gateway",
        };
        vec![
            parts::name(&who.subject),
            html! { strong { (kind) } ": " (parts::name(&who.reason)) },
            html! { (number(who.users)) },
            html! { (number(who.logins)) },
            html! { (number(who.failures)) },
            html! { (if who.banned { "yes" } else { "no" }) },
            html! {
                @if who.ignored { "ignored already" }
                @else { code.line { (parts::name(&who.ignoreip)) } }
            },
        ]
    });
    parts::long_table(&columns, rows.collect(), SHOWN, 0)
}

pub(super) fn rules(report: &Report) -> Markup {
    let all = report.rules.iter().fold(0_u64, |sum, rule| sum.saturating_add(rule.count));
    let columns = [Column::text("Rule"), Column::number("Failures"), Column::number("Share")];
    let rows = report.rules.iter().map(|rule| {
        vec![
            parts::name(&rule.name),
            html! { (number(rule.count)) },
            html! { (share(rule.count, all)) },
        ]
    });
    if report.rules.is_empty() {
        return html! { p.empty { "There were no failures." } };
    }
    parts::long_table(&columns, rows.collect(), SHOWN, 0)
}

pub(super) fn bans(report: &Report, clock: &Clock) -> Markup {
    if report.bans.is_empty() {
        return html! { p.empty { "There were no bans." } };
    }
    let columns = [
        Column::text("Client"),
        Column::text("Banned at"),
        Column::text("Until"),
        Column::number("For"),
        Column::text("Rules"),
        Column::number("Attempts"),
        Column::number("Bans before"),
        Column::number("Prevented"),
    ];
    let rows = report.bans.iter().map(|ban| row(ban, clock));
    parts::long_table(&columns, rows.collect(), SHOWN, report.bans_left_out)
}

fn row(ban: &Ban, clock: &Clock) -> Vec<Markup> {
    let rules: Vec<&str> = ban.rules.iter().map(String::as_str).collect();
    let shown = if rules.is_empty() { ban.cause.clone() } else { rules.join(", ") };
    let length = ban.expires.map(|end| end.0.since(ban.at.0).as_secs());
    vec![
        parts::name(&ban.subject),
        parts::time(ban.at, clock),
        html! {
            @if let Some(end) = ban.expires { (parts::time(end, clock)) } @else { "for ever" }
        },
        html! { (length.map_or_else(|| "–".to_owned(), about)) },
        parts::name(&shown),
        html! { (number(u64::from(ban.attempts))) },
        html! { (number(u64::from(ban.earlier_bans))) },
        html! { (known(ban.prevented_failures)) },
    ]
}
