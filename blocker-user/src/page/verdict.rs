//! The first thing to see: what it comes to, and what to do.

use maud::{Markup, html};

use super::{
    effect::MEASURES,
    parts::{self, Column},
    words::{bantime, counted, number, share, span},
};
use crate::report::{Recommendation, Report, Source};

/// How bad it is for those who did nothing.
enum Judged {
    Good(String),
    Doubtful(String),
    Bad(String),
}

pub(super) fn html(report: &Report) -> Markup {
    let (class, mark, text) = match judge(report) {
        Judged::Good(text) => ("good", "✓", text),
        Judged::Doubtful(text) => ("doubtful", "!", text),
        Judged::Bad(text) => ("bad", "✕", text),
    };
    html! {
        section.verdict aria-labelledby="h-verdict" {
            h2 id="h-verdict" { (outcome(report)) }
            p.judged.(class) { span.mark aria-hidden="true" { (mark) } span { (text) } }
            dl.tiles {
                @for (label, value) in tiles(report) {
                    div { dt { (label) } dd { (value) } }
                }
            }
        }
    }
}

fn outcome(report: &Report) -> String {
    let (effect, read) = (&report.effect, &report.read);
    let clients = counted(effect.banned_clients, "client", "clients");
    match report.kind {
        _ if effect.bans == 0 && read.failures == 0 => "Nobody failed to log in.".to_owned(),
        Source::Simulation if effect.bans == 0 => {
            format!(
                "This policy would have banned nobody, in spite of {}.",
                counted(read.failures, "failure", "failures")
            )
        }
        Source::History if effect.bans == 0 => {
            format!(
                "Nobody was banned, in spite of {}.",
                counted(read.failures, "failure", "failures")
            )
        }
        Source::Simulation => format!(
            "It would have banned {clients} and prevented {} of all failures.",
            share(effect.prevented_failures, read.failures)
        ),
        Source::History => match &report.drops {
            Some(drops) => format!(
                "{} banned, and {} of theirs dropped in the kernel.",
                capital(&were(effect.banned_clients)),
                counted(drops.packets, "packet", "packets")
            ),
            None => format!("{} banned.", capital(&were(effect.banned_clients))),
        },
    }
}

fn were(clients: u64) -> String {
    let verb = if clients == 1 { "was" } else { "were" };
    format!("{} {verb}", counted(clients, "client", "clients"))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn judge(report: &Report) -> Judged {
    let effect = &report.effect;
    let users = counted(effect.users_hit, "real user", "real users");
    let clients = counted(effect.clients_with_users_hit, "banned address", "banned addresses");
    // Of what was done nobody knows who could not log in.
    if effect.logins_locked_out > 0 && report.kind == Source::Simulation {
        let logins = counted(effect.logins_locked_out, "login", "logins");
        return Judged::Bad(format!(
            "{} of real users would have been locked out: {users} behind {clients}.",
            capital(&logins)
        ));
    }
    if effect.users_hit > 0 && report.kind == Source::History {
        return Judged::Doubtful(format!(
            "Somebody logged in from {clients}: the ban was lifted at once."
        ));
    }
    if effect.users_hit > 0 {
        let verb = if effect.users_hit == 1 { "logs" } else { "log" };
        return Judged::Doubtful(format!(
            "{} {verb} in from {clients}, though not during a ban.",
            capital(&users)
        ));
    }
    if report.kind == Source::History {
        let nobody =
            "No real user was hit, as far as is known: nobody logged in from a banned address.";
        return Judged::Good(nobody.to_owned());
    }
    Judged::Good("No real user hit: nobody logged in from a banned address.".to_owned())
}

fn tiles(report: &Report) -> Vec<(&'static str, String)> {
    let (effect, read) = (&report.effect, &report.read);
    let mut tiles = vec![("Failures", number(read.failures)), ("Bans", number(effect.bans))];
    if report.kind == Source::Simulation {
        let of = |label: &str| {
            let measure = MEASURES.iter().find(|measure| measure.label == label);
            measure.map(|measure| measure.show(effect, read)).unwrap_or_default()
        };
        for label in [
            "Attackers caught",
            "Failures prevented",
            "Connections prevented",
            "Login-process time saved",
        ] {
            tiles.push((label, of(label)));
        }
    }
    if let Some(drops) = &report.drops {
        tiles.push(("Clients banned", number(effect.banned_clients)));
        tiles.push(("Packets dropped", number(drops.packets)));
        tiles.push(("Bytes dropped", number(drops.bytes)));
        tiles.push(("Logins", number(read.logins)));
    }
    if report.kind == Source::Simulation {
        tiles.push(("Real users hit", number(effect.users_hit)));
        tiles.push(("Logins locked out", number(effect.logins_locked_out)));
    } else {
        tiles.push(("Lifted by a login", number(effect.clients_with_users_hit)));
    }
    tiles
}

pub(super) fn recommendation(report: &Report, best: &Recommendation) -> Markup {
    let columns = [
        Column::text(""),
        Column::number(if report.kind == Source::Simulation { "As asked for" } else { "As it is" }),
        Column::number("Recommended"),
    ];
    let rows = MEASURES.iter().map(|measure| {
        let show = |effect| html! { (measure.show(effect, &report.read)) };
        vec![html! { (measure.label) }, show(&report.effect), show(&best.effect)]
    });
    html! {
        p.reason { (parts::name(&best.reason)) }
        @if best.changes.is_empty() {
            p { "That is what was tried: there is nothing to change." }
        } @else {
            ul.changes {
                @for change in &best.changes {
                    li {
                        code { (change.option) } ": "
                        del { (parts::name(&change.from)) } " → " ins { (parts::name(&change.to)) }
                    }
                }
            }
        }
        p.setting {
            (best.mode) " mode, maxretry " (best.maxretry) ", findtime " (span(best.findtime))
            ", bantime " (bantime(best.bantime)) "; to paste into doveblock.conf:"
        }
        pre.snippet tabindex="0" aria-label="Configuration to copy" { code { (best.snippet) } }
        @if !best.changes.is_empty() { (parts::table(&columns, rows)) }
    }
}
