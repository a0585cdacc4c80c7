//! When on a day it happens.

use maud::{Markup, html};

use super::{
    Figure, Ink,
    columns::{Axis, columns},
    draw,
};
use crate::{
    page::{
        parts::{self, Column},
        words::number,
    },
    report::Hour,
};

const SIZE: (u32, u32) = (420, 300);

pub(in crate::page) fn html(hours: &[Hour], zone: &str) -> Markup {
    if hours.is_empty() {
        return html! { p.empty { "Nothing was counted in this time." } };
    }
    let of = |what: fn(&Hour) -> u64| -> Vec<u64> { hours.iter().map(what).collect() };
    let (failures, bans) = (of(|hour| hour.failures), of(|hour| hour.bans));
    let end = i64::try_from(hours.len()).unwrap_or(24);
    let ticks = (0..=end).step_by(6).map(|hour| (hour, format!("{hour:02}:00"))).collect();
    let axis = Axis { range: 0..end, ticks };
    let drawing = draw(SIZE, |area| {
        let (upper, lower) = area.split_vertically(SIZE.1 * 3 / 5);
        columns(&upper, "Failures", &axis, 1, &[(Ink::Failures, &failures)])?;
        columns(&lower, "Bans", &axis, 1, &[(Ink::Bans, &bans)])
    });
    let busiest = (0..).zip(&failures).max_by_key(|(hour, count)| (**count, -*hour));
    let says = match busiest {
        Some((hour, count)) if *count > 0 => format!(
            "Most failures, {}, were in the hour from {hour:02}:00 on ({zone}).",
            number(*count)
        ),
        _ => "There were no failures.".to_owned(),
    };
    let rows = (0..).zip(hours).map(|(at, hour): (u32, &Hour)| {
        let counts = [hour.failures, hour.bans, hour.logins];
        let mut row = vec![html! { (format!("{at:02}:00")) }];
        row.extend(counts.map(|count| html! { (number(count)) }));
        row
    });
    let heads = [
        Column::text("Hour"),
        Column::number("Failures"),
        Column::number("Bans"),
        Column::number("Logins"),
    ];
    html! {
        p.says { (says) }
        (Figure {
            id: "hours",
            title: "Failures and bans by the hour of the day",
            says: says.clone(),
            legend: &[],
            wide: None,
            narrow: drawing,
            numbers: parts::table(&heads, rows),
        }.html())
    }
}
