//! The heat map of maxretry and findtime.

use maud::{Markup, html};
use plotters::{
    element::{DashedPathElement, Rectangle},
    style::{
        Color as _,
        text_anchor::{HPos, VPos},
    },
};

use super::{Area, Drawing, Figure, Ink, Painted, bold, draw, font, write};
use crate::{
    page::{
        effect::MEASURES,
        parts::{self, Column},
        words::{bantime, counted, number, share, short, short_share, span},
    },
    report::{Cell, PolicyInForce, Read, Recommendation, Report, Sweep},
};

const LEGEND: [(Ink, &str); 4] = [
    (Ink::Calm(1), "few failures prevented, no user hit"),
    (Ink::Calm(4), "many failures prevented, no user hit"),
    (Ink::Alarm(0), "a real user hit"),
    (Ink::Alarm(2), "many real users hit"),
];

/// Of the measures, those that tell one setting from another, by their labels.
const TOLD: [&str; 5] =
    ["Bans", "Attackers caught", "Failures prevented", "Real users hit", "Logins locked out"];

/// What the cells are judged by.
struct Map<'a> {
    sweep: &'a Sweep,
    read: &'a Read,
    asked: &'a PolicyInForce,
    recommended: Option<&'a Recommendation>,
    most_users: u64,
}

impl Map<'_> {
    fn is_recommended(&self, cell: &Cell) -> bool {
        self.recommended.is_some_and(|best| {
            best.mode == self.sweep.mode
                && (best.maxretry, best.findtime) == (cell.maxretry, cell.findtime)
        })
    }

    fn is_asked(&self, cell: &Cell) -> bool {
        self.asked.mode == self.sweep.mode
            && (self.asked.maxretry, self.asked.findtime) == (cell.maxretry, cell.findtime)
    }

    fn ink(&self, cell: &Cell) -> Ink {
        let level = |part: u64, whole: u64, levels: u64| {
            let level = (u128::from(part) * u128::from(levels)).checked_div(u128::from(whole));
            u8::try_from(level.unwrap_or(0).min(u128::from(levels - 1))).unwrap_or(0)
        };
        match cell.effect.users_hit {
            0 => Ink::Calm(level(cell.effect.prevented_failures, self.read.failures, 5)),
            users => Ink::Alarm(level(users, self.most_users, 3)),
        }
    }

    /// What else there is to say of a cell, beside its numbers.
    fn note(&self, cell: &Cell) -> &'static str {
        match (self.is_recommended(cell), self.is_asked(cell)) {
            (true, true) => "recommended, and as it was asked for",
            (true, false) => "recommended",
            (false, true) => "as it was asked for",
            (false, false) => "",
        }
    }
}

pub(in crate::page) fn html(report: &Report, sweep: &Sweep) -> Markup {
    let users = sweep.cells.iter().map(|cell| cell.effect.users_hit).max().unwrap_or(0);
    let map = Map {
        sweep,
        read: &report.read,
        asked: &report.policy,
        recommended: report.recommendation.as_ref(),
        most_users: users,
    };
    let says = format!(
        "In each cell: the share of all failures that bans would have prevented, and the real users \
         hit, in {} mode with a bantime of {}. The star and the thick frame mark the recommended \
         setting, the dashed frame the one that was asked for.",
        sweep.mode,
        bantime(report.policy.bantime)
    );
    html! {
        p.says { (says) }
        (Figure {
            id: "heat-map",
            title: "Failures prevented and users hit by maxretry and findtime",
            says: says.clone(),
            legend: &LEGEND,
            wide: drawing(&map, &Look::WIDE),
            narrow: drawing(&map, &Look::NARROW),
            numbers: numbers(&map, &sweep.cells),
        }.html())
        @if !sweep.bantimes.is_empty() {
            h3 { "The same with other bantimes" }
            (numbers(&map, &sweep.bantimes))
        }
    }
}

fn numbers(map: &Map<'_>, cells: &[Cell]) -> Markup {
    let mut columns =
        vec![Column::number("maxretry"), Column::number("findtime"), Column::number("bantime")];
    let shown = || MEASURES.iter().filter(|measure| TOLD.contains(&measure.label));
    columns.extend(shown().map(|measure| Column::number(measure.label)));
    columns.push(Column::text("Note"));
    let rows = cells.iter().map(|cell| {
        let mut row = vec![
            html! { (number(u64::from(cell.maxretry))) },
            html! { (span(cell.findtime)) },
            html! { (bantime(cell.bantime)) },
        ];
        let all = shown().map(|measure| html! { (measure.show(&cell.effect, map.read)) });
        row.extend(all);
        let is_of_the_map = cell.bantime == map.asked.bantime;
        row.push(html! { @if is_of_the_map { (map.note(cell)) } });
        row
    });
    parts::table(&columns, rows)
}

/// Sizes, in pixels.
struct Look {
    width: i32,
    left: i32,
    row: i32,
    text: f64,
    is_wide: bool,
}

impl Look {
    const WIDE: Self = Self { width: 900, left: 84, row: 50, text: 14.0, is_wide: true };
    const NARROW: Self = Self { width: 340, left: 40, row: 42, text: 11.0, is_wide: false };
    const HEAD: i32 = 44;
}

fn drawing(map: &Map<'_>, look: &Look) -> Option<Drawing> {
    let sweep = map.sweep;
    let (columns, rows) =
        (i32::try_from(sweep.maxretry.len()).ok()?, i32::try_from(sweep.findtime.len()).ok()?);
    let across = (look.width - look.left).checked_div(columns)?;
    let height = Look::HEAD + rows.checked_mul(look.row)?;
    draw((look.width.unsigned_abs(), height.unsigned_abs()), |area| {
        let muted = |across, down| font(look.text.min(13.0), Ink::Muted, (across, down));
        write(area, "maxretry →", (look.left, 4), muted(HPos::Left, VPos::Top))?;
        write(area, "findtime ↓", (0, 4), muted(HPos::Left, VPos::Top))?;
        for (column, tries) in (0..).zip(&sweep.maxretry) {
            let middle = look.left + column * across + across / 2;
            let head = muted(HPos::Center, VPos::Center);
            write(area, &tries.to_string(), (middle, Look::HEAD - 12), head)?;
        }
        for (row, time) in (0..).zip(&sweep.findtime) {
            let middle = Look::HEAD + row * look.row + look.row / 2;
            let head = muted(HPos::Right, VPos::Center);
            write(area, &span(*time), (look.left - 6, middle), head)?;
        }
        // Frames come last, for a cell would hide half of its neighbour's.
        for is_frame in [false, true] {
            for (cell, (row, column)) in sweep.cells.iter().zip(places(rows, columns)) {
                let corner = (look.left + column * across, Look::HEAD + row * look.row);
                if is_frame {
                    frame(area, map, cell, corner, (across, look.row))?;
                } else {
                    fill(area, map, cell, corner, (across, look))?;
                }
            }
        }
        Ok(())
    })
}

/// Rows and columns in the order of the cells.
fn places(rows: i32, columns: i32) -> impl Iterator<Item = (i32, i32)> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}

fn fill(
    area: &Area<'_>,
    map: &Map<'_>,
    cell: &Cell,
    (x, y): (i32, i32),
    (across, look): (i32, &Look),
) -> Painted {
    let (right, bottom) = (x + across - 2, y + look.row - 2);
    let box_of = Rectangle::new([(x + 1, y + 1), (right, bottom)], map.ink(cell).color().filled());
    area.draw(&box_of)?;
    let (prevented, users) = (cell.effect.prevented_failures, cell.effect.users_hit);
    let star = if map.is_recommended(cell) { "★ " } else { "" };
    let (share_text, users_text) = if look.is_wide {
        (format!("{star}{}", share(prevented, map.read.failures)), counted(users, "user", "users"))
    } else {
        (short_share(prevented, map.read.failures), format!("{}{}", star.trim(), short(users)))
    };
    let middle = x + across / 2;
    let at = (HPos::Center, VPos::Center);
    let upper = bold(look.text, Ink::Text, at);
    write(area, &share_text, (middle, y + look.row * 7 / 20), upper)?;
    let lower = font((look.text - 1.0).max(11.0), Ink::Text, at);
    write(area, &users_text, (middle, y + look.row * 14 / 20), lower)
}

fn frame(
    area: &Area<'_>,
    map: &Map<'_>,
    cell: &Cell,
    (x, y): (i32, i32),
    (across, down): (i32, i32),
) -> Painted {
    let (right, bottom) = (x + across - 2, y + down - 2);
    let corners =
        [(x + 1, y + 1), (right, y + 1), (right, bottom), (x + 1, bottom), (x + 1, y + 1)];
    let line = |width| Ink::Mark.color().stroke_width(width);
    if map.is_recommended(cell) {
        return area.draw(&plotters::element::PathElement::new(corners.to_vec(), line(3)));
    }
    if map.is_asked(cell) {
        return area.draw(&DashedPathElement::new(corners, 5, 4, line(2)));
    }
    Ok(())
}
