//! Normal against aggressive.

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
    page::{
        effect::{self, Measure},
        parts::{self, Column},
    },
    report::{ModeEffect, Read},
};

const SIDE: i32 = 62;
const GROUP: i32 = 78;
const BAR: i32 = 18;

pub(in crate::page) fn html(modes: &[ModeEffect], read: &Read) -> Markup {
    let shares: Vec<(&str, Vec<(u64, u64)>)> = effect::MEASURES
        .iter()
        .filter_map(|measure| {
            let parts: Option<Vec<_>> =
                modes.iter().map(|mode| measure.share_of(&mode.effect, read)).collect();
            Some((measure.label, parts?))
        })
        .collect();
    let mut columns = vec![Column::text("")];
    columns.extend(modes.iter().map(|mode| Column::number(mode.mode)));
    let rows = effect::MEASURES.iter().map(|measure: &Measure| {
        let mut row = vec![html! { (measure.label) }];
        row.extend(modes.iter().map(|mode| html! { (measure.show(&mode.effect, read)) }));
        row
    });
    let says = modes.iter().map(|mode| {
        let of = |measure: &Measure| {
            format!("{} {}", measure.label.to_lowercase(), measure.show(&mode.effect, read))
        };
        let all: Vec<String> = effect::MEASURES.iter().map(of).collect();
        format!("{}: {}.", mode.mode, all.join(", "))
    });
    Figure {
        id: "modes",
        title: "What normal and aggressive mode would have prevented",
        says: says.collect::<Vec<_>>().join(" "),
        legend: &[],
        wide: drawing(modes, &shares, 900),
        narrow: drawing(modes, &shares, 340),
        numbers: parts::table(&columns, rows),
    }
    .html()
}

type Shares<'a> = [(&'a str, Vec<(u64, u64)>)];

fn drawing(modes: &[ModeEffect], shares: &Shares<'_>, width: i32) -> Option<Drawing> {
    let height = u32::try_from(shares.len()).ok()? * GROUP.unsigned_abs();
    draw((width.unsigned_abs(), height.max(1)), |area| {
        let mut y = 0;
        for (label, parts) in shares {
            write(area, label, (0, y + 4), font(13.0, Ink::Text, (HPos::Left, VPos::Top)))?;
            let mut top = y + 22;
            for (mode, part) in modes.iter().zip(parts) {
                let ink = if mode.mode == "normal" { Ink::Drops } else { Ink::Prevented };
                bar(area, mode.mode, *part, ink, (top, width))?;
                top += BAR + 4;
            }
            y += GROUP;
        }
        Ok(())
    })
}

fn bar(
    area: &Area<'_>,
    mode: &str,
    (part, whole): (u64, u64),
    ink: Ink,
    (top, width): (i32, i32),
) -> Painted {
    let middle = top + BAR / 2;
    let label = |at, align, text: &str| {
        write(area, text, (at, middle), font(12.0, Ink::Muted, (align, VPos::Center)))
    };
    let right = width - 52;
    label(SIDE + 2, HPos::Right, mode)?;
    label(width, HPos::Right, &crate::page::words::share(part, whole))?;
    let room = u128::from((right - SIDE - 10).unsigned_abs());
    let length = (u128::from(part) * room).checked_div(u128::from(whole)).unwrap_or(0).min(room);
    let rectangle = |length: u128, ink: Ink| {
        let to = SIDE + 10 + i32::try_from(length).unwrap_or(0);
        Rectangle::new([(SIDE + 10, top), (to, top + BAR)], ink.color().filled())
    };
    area.draw(&rectangle(room, Ink::Grid))?;
    area.draw(&rectangle(length, ink))
}
