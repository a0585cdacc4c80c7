//! Who fails most: bars from left to right, the longest on top.

use maud::{Markup, html};
use plotters::{
    element::Rectangle,
    style::{
        Color as _,
        text_anchor::{HPos, VPos},
    },
};

use super::{Area, Drawing, Figure, Ink, Painted, draw, font, write};
use crate::{
    cli::output::visible,
    page::{
        parts::{self, Column},
        words::{Clock, counted, number},
    },
    report::Top,
};

const WIDTH: i32 = 420;
const ROW: i32 = 36;
const MOST: usize = 12;
/// Of a name, beside its numbers.
const LONGEST: usize = 36;

pub(in crate::page) fn html(id: &str, title: &str, tops: &[Top], clock: &Clock) -> Markup {
    let Some(first) = tops.first() else {
        return html! { p.empty { "There were no failures." } };
    };
    let says = format!("Most failures, {}, came from {}.", number(first.failures), first.subject);
    let rows = tops.iter().map(|top| {
        vec![
            parts::name(&top.subject),
            html! { (number(top.failures)) },
            html! { (number(top.bans)) },
            html! { (number(top.logins)) },
            html! { (number(top.clients)) },
            parts::time(top.first, clock),
            parts::time(top.last, clock),
        ]
    });
    let columns = [
        Column::text("Source"),
        Column::number("Failures"),
        Column::number("Bans"),
        Column::number("Logins"),
        Column::number("Clients"),
        Column::text("First failure"),
        Column::text("Last failure"),
    ];
    Figure {
        id,
        title,
        says,
        legend: &[],
        wide: None,
        narrow: drawing(tops.get(..MOST).unwrap_or(tops)),
        numbers: parts::table(&columns, rows),
    }
    .html()
}

fn drawing(tops: &[Top]) -> Option<Drawing> {
    let height = u32::try_from(tops.len()).ok()? * ROW.unsigned_abs();
    let most = tops.iter().map(|top| top.failures).max().unwrap_or(0).max(1);
    draw((WIDTH.unsigned_abs(), height.max(1)), |area| {
        for (top, y) in tops.iter().zip((0..).step_by(usize::try_from(ROW).unwrap_or(1))) {
            row(area, top, y, most)?;
        }
        Ok(())
    })
}

fn row(area: &Area<'_>, top: &Top, y: i32, most: u64) -> Painted {
    let mut name: String = visible(&top.subject);
    if name.chars().count() > LONGEST {
        name = name.chars().take(LONGEST - 1).chain(['…']).collect();
    }
    let numbers = match top.bans {
        0 => number(top.failures),
        bans => format!("{} · {}", number(top.failures), counted(bans, "ban", "bans")),
    };
    write(area, &name, (0, y + 4), font(13.0, Ink::Text, (HPos::Left, VPos::Top)))?;
    write(area, &numbers, (WIDTH, y + 4), font(13.0, Ink::Muted, (HPos::Right, VPos::Top)))?;
    let length = u128::from(top.failures) * u128::from(WIDTH.unsigned_abs()) / u128::from(most);
    let length = i32::try_from(length).unwrap_or(WIDTH).max(1);
    let bar = |to: i32, ink: Ink| Rectangle::new([(0, y + 21), (to, y + 29)], ink.color().filled());
    area.draw(&bar(WIDTH, Ink::Grid))?;
    area.draw(&bar(length, Ink::Failures))
}
