//! Failures, bans and drops over time.

use std::iter::successors;

use jiff::{Timestamp, ToSpan as _, ZonedDateTime};
use maud::{Markup, html};

use super::{
    Figure, Ink,
    columns::{Axis, Layer, columns},
    draw,
};
use crate::{
    page::{
        parts::{self, Column},
        words::{Clock, number, span},
    },
    report::{Report, Series, Source},
};

/// As many columns as can be told apart.
const WIDE: usize = 150;
const NARROW: usize = 56;
/// Rows of the table below.
const ROWS: usize = 100;

/// A [`Series`] in longer steps.
struct Steps {
    from: i64,
    length: i64,
    failures: Vec<u64>,
    prevented: Vec<u64>,
    bans: Vec<u64>,
    logins: Vec<u64>,
    drops: Vec<u64>,
}

impl Steps {
    fn of(series: &Series, most: usize) -> Option<Self> {
        let from = series.from?.0.as_secs();
        let lists =
            [&series.failures, &series.prevented, &series.bans, &series.logins, &series.drops];
        let count = lists.into_iter().map(Vec::len).max().filter(|count| *count > 0)?;
        let length = i64::try_from(series.step_secs).ok().filter(|step| *step > 0)?;
        let each = count.div_ceil(most).max(1);
        let grouped = |counts: &Vec<u64>| {
            let sum = |group: &[u64]| group.iter().fold(0, |sum: u64, n| sum.saturating_add(*n));
            counts.chunks(each).map(sum).collect()
        };
        Some(Self {
            from,
            length: length.saturating_mul(i64::try_from(each).ok()?),
            failures: grouped(&series.failures),
            prevented: grouped(&series.prevented),
            bans: grouped(&series.bans),
            logins: grouped(&series.logins),
            drops: grouped(&series.drops),
        })
    }

    fn count(&self) -> usize {
        let lists = [&self.failures, &self.prevented, &self.bans, &self.logins, &self.drops];
        lists.into_iter().map(Vec::len).max().unwrap_or(0)
    }

    fn starts(&self) -> impl Iterator<Item = i64> {
        successors(Some(self.from), |at| at.checked_add(self.length)).take(self.count())
    }

    fn end(&self) -> i64 {
        let count = i64::try_from(self.count()).unwrap_or(i64::MAX);
        self.from.saturating_add(self.length.saturating_mul(count))
    }

    /// What got through: failures that no ban would have prevented.
    fn through(&self) -> Vec<u64> {
        let prevented = self.prevented.iter().copied().chain(std::iter::repeat(0));
        self.failures.iter().zip(prevented).map(|(all, less)| all.saturating_sub(less)).collect()
    }
}

pub(in crate::page) fn html(report: &Report, clock: &Clock) -> Markup {
    let series = &report.series;
    let (Some(wide), Some(narrow), Some(rows)) =
        (Steps::of(series, WIDE), Steps::of(series, NARROW), Steps::of(series, ROWS))
    else {
        return html! { p.empty { "Nothing was counted in this time." } };
    };
    let is_simulation = report.kind == Source::Simulation;
    let legend: &[(Ink, &str)] = if is_simulation {
        &[
            (Ink::Failures, "failures that remain"),
            (Ink::Prevented, "failures that bans would have prevented"),
            (Ink::Bans, "bans"),
        ]
    } else {
        &[(Ink::Failures, "failures"), (Ink::Bans, "bans"), (Ink::Drops, "packets dropped")]
    };
    let says = format!(
        "Columns of {} each, from {} on. The numbers are in the table below.",
        span(u64::try_from(wide.length).unwrap_or(0)),
        clock.format(wide.from, "%Y-%m-%d %H:%M").unwrap_or_default()
    );
    Figure {
        id: "over-time",
        title: "Failures and bans over time",
        says,
        legend,
        wide: drawing(&wide, clock, (900, 250), 9),
        narrow: drawing(&narrow, clock, (340, 220), 4),
        numbers: numbers(&rows, clock),
    }
    .html()
}

fn drawing(
    steps: &Steps,
    clock: &Clock,
    (width, upper): (u32, u32),
    labels: usize,
) -> Option<super::Drawing> {
    let axis = Axis { range: steps.from..steps.end(), ticks: ticks(steps, clock, labels) };
    let through = steps.through();
    let failures: [Layer<'_>; 2] = [(Ink::Failures, &through), (Ink::Prevented, &steps.prevented)];
    let bans: [Layer<'_>; 1] = [(Ink::Bans, &steps.bans)];
    let drops: [Layer<'_>; 1] = [(Ink::Drops, &steps.drops)];
    let lower = upper * 3 / 5;
    let panels: Vec<(&str, u32, &[Layer<'_>])> = [
        ("Failures", upper, &failures[..]),
        ("Bans", lower, &bans[..]),
        ("Packets dropped", lower, &drops[..]),
    ]
    .into_iter()
    .filter(|(_, _, layers)| layers.iter().any(|(_, counts)| !counts.is_empty()))
    .collect();
    let height = panels.iter().map(|(_, height, _)| height).sum();
    draw((width, height), |area| {
        let mut rest = area.clone();
        for (title, height, layers) in panels {
            let (panel, below) = rest.split_vertically(height);
            columns(&panel, title, &axis, steps.length, layers)?;
            rest = below;
        }
        Ok(())
    })
}

/// Where days or hours begin, not more than `most` of them.
fn ticks(steps: &Steps, clock: &Clock, most: usize) -> Vec<(i64, String)> {
    const HOURS: [i32; 12] = [1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 720, 2160];
    let secs = steps.end().saturating_sub(steps.from);
    let room = i64::try_from(most).unwrap_or(1).max(1);
    let hours =
        HOURS.into_iter().find(|hours| secs / (i64::from(*hours) * 3600) < room).unwrap_or(8760);
    let midnight = || -> Option<ZonedDateTime> {
        let from = Timestamp::from_second(steps.from).ok()?.to_zoned_datetime(clock.zone.clone());
        from.start_of_day().ok()
    };
    let Some(midnight) = midnight() else { return Vec::new() };
    // In days where they are, as not every day has 24 hours.
    let after = |n: i32| {
        let span = if hours < 24 { (n * hours).hours() } else { (n * (hours / 24)).days() };
        midnight.checked_add(span).ok()
    };
    (0..)
        .map_while(after)
        .map(|at| at.timestamp().as_second())
        .skip_while(|at| *at < steps.from)
        .take_while(|at| *at < steps.end())
        .map(|at| (at, label(at, clock)))
        .collect()
}

fn label(at: i64, clock: &Clock) -> String {
    let of = |format| clock.format(at, format).unwrap_or_default();
    match of("%H:%M") {
        midnight if midnight == "00:00" => of("%b %-d"),
        time => time,
    }
}

fn numbers(steps: &Steps, clock: &Clock) -> Markup {
    type Counts<'a> = (Column, &'a Vec<u64>);
    let lists: [Counts<'_>; 5] = [
        (Column::number("Failures"), &steps.failures),
        (Column::number("Prevented"), &steps.prevented),
        (Column::number("Bans"), &steps.bans),
        (Column::number("Logins"), &steps.logins),
        (Column::number("Packets dropped"), &steps.drops),
    ];
    let lists: Vec<Counts<'_>> = lists.into_iter().filter(|(_, of)| !of.is_empty()).collect();
    let mut columns = vec![Column::text("From")];
    columns.extend(lists.iter().map(|(column, _)| *column));
    let rows = steps.starts().enumerate().map(|(step, at)| {
        let mut row = vec![html! { (clock.format(at, "%Y-%m-%d %H:%M").unwrap_or_default()) }];
        let count = |of: &Vec<u64>| of.get(step).copied().unwrap_or(0);
        row.extend(lists.iter().map(|(_, of)| html! { (number(count(of))) }));
        row
    });
    parts::table(&columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::When, time::LogTime};

    fn series(from: i64, step_secs: u64, steps: usize) -> Series {
        let counts = vec![1; steps];
        Series {
            from: Some(When(LogTime::from_secs(from))),
            step_secs,
            failures: counts.clone(),
            bans: counts,
            ..Series::default()
        }
    }

    #[test]
    fn longer_steps_lose_nothing() {
        let steps = Steps::of(&series(0, 3600, 301), 100).unwrap();
        assert_eq!((steps.length, steps.count()), (4 * 3600, 76));
        assert_eq!(steps.failures.iter().sum::<u64>(), 301);
        assert!(Steps::of(&Series::default(), 100).is_none());
    }

    #[test]
    fn labels_are_where_days_begin() {
        let clock = Clock::of("UTC");
        // From 2023-11-14 22:13:20.
        let month = Steps::of(&series(1_700_000_000, 3600, 24 * 30), 150).unwrap();
        let ticks = ticks(&month, &clock, 9);
        assert!((4..=9).contains(&ticks.len()), "{ticks:?}");
        assert!(ticks.iter().all(|(at, _)| at % 86_400 == 0), "{ticks:?}");
        assert_eq!(ticks[0].1, "Nov 18");
    }

    #[test]
    fn an_hour_has_labels_too() {
        let clock = Clock::of("UTC");
        let hours = Steps::of(&series(1_700_000_000, 60, 180), 150).unwrap();
        let labels: Vec<String> =
            ticks(&hours, &clock, 4).into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["23:00", "Nov 15", "01:00"]);
    }
}
