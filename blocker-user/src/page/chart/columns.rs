//! Stacked columns over steps of equal length.

use plotters::{
    chart::ChartBuilder,
    coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter},
    element::Rectangle,
    style::{Color as _, TRANSPARENT},
};

use plotters::style::text_anchor::{HPos, VPos};
use std::ops::Range;

use super::{Area, Ink, Painted, font, write};
use crate::page::words::short;

/// Room for the numbers beside the columns.
const LEFT: u32 = 44;
const BELOW: u32 = 22;
const TITLE: u32 = 22;

/// What the columns stand on. Its ticks are where a label says something: midnight, not the
/// hundredth step.
#[derive(Clone)]
pub(super) struct Axis {
    pub(super) range: Range<i64>,
    pub(super) ticks: Vec<(i64, String)>,
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = i64;

    fn map(&self, value: &i64, limit: (i32, i32)) -> i32 {
        let part = i128::from(*value) - i128::from(self.range.start);
        let whole = (i128::from(self.range.end) - i128::from(self.range.start)).max(1);
        let pixels = part * i128::from(limit.1 - limit.0) / whole;
        limit.0.saturating_add(i32::try_from(pixels).unwrap_or(i32::MAX))
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<i64> {
        self.ticks.iter().map(|(at, _)| *at).collect()
    }

    fn range(&self) -> Range<i64> {
        self.range.clone()
    }
}

impl ValueFormatter<i64> for Axis {
    fn format_ext(&self, value: &i64) -> String {
        let tick = self.ticks.iter().find(|(at, _)| at == value);
        tick.map(|(_, label)| label.clone()).unwrap_or_default()
    }
}

/// One kind of thing: a colour, and how many of it in each step.
pub(super) type Layer<'a> = (Ink, &'a [u64]);

/// Columns of `layers`, the first at the bottom, with `title` above.
pub(super) fn columns(
    area: &Area<'_>,
    title: &str,
    axis: &Axis,
    step: i64,
    layers: &[Layer<'_>],
) -> Painted {
    let (head, body) = area.split_vertically(TITLE);
    write(&head, title, (2, 5), font(13.0, Ink::Text, (HPos::Left, VPos::Top)))?;
    let steps = layers.iter().map(|(_, counts)| counts.len()).max().unwrap_or(0);
    let sum = |layers: &[Layer<'_>], step: usize| {
        let counts = layers.iter().filter_map(|(_, counts)| counts.get(step));
        counts.fold(0_u64, |sum, count| sum.saturating_add(*count))
    };
    let highest = (0..steps).map(|step| sum(layers, step)).max().unwrap_or(0);
    let mut chart = ChartBuilder::on(&body)
        .margin_top(6)
        .margin_right(20)
        .x_label_area_size(BELOW)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(axis.clone(), 0..top(highest))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(Ink::Grid.color())
        .light_line_style(TRANSPARENT)
        .axis_style(Ink::Grid.color())
        .y_labels(5)
        .y_label_formatter(&|count| short(*count))
        .x_label_style(font(12.0, Ink::Muted, (HPos::Center, VPos::Top)))
        .y_label_style(font(12.0, Ink::Muted, (HPos::Right, VPos::Center)))
        .draw()?;
    for (number, (ink, counts)) in layers.iter().enumerate() {
        let below = layers.get(..number).unwrap_or_default();
        let columns = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        chart.draw_series(columns.map(|(at, count)| {
            let bottom = sum(below, at);
            let left = axis.range.start.saturating_add(nth(at).saturating_mul(step));
            let corners =
                [(left, bottom), (left.saturating_add(step), bottom.saturating_add(*count))];
            let mut column = Rectangle::new(corners, ink.color().filled());
            column.set_margin(0, 0, 0, u32::from(steps < 100));
            column
        }))?;
    }
    Ok(())
}

fn nth(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// A round number that is not lower, so that the labels are round, too.
fn top(highest: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for steps in [4, 8, 20] {
            let top = unit.saturating_mul(steps);
            if top >= highest {
                return top;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_end_below_a_round_number() {
        assert_eq!([0, 4, 5, 9, 21, 39, 41, 1234].map(top), [4, 4, 8, 20, 40, 40, 80, 2000]);
        assert_eq!(top(u64::MAX), u64::MAX);
    }

    #[test]
    fn an_axis_maps_its_ends_to_the_ends() {
        let axis = Axis { range: -5..i64::MAX, ticks: Vec::new() };
        assert_eq!(axis.map(&-5, (10, 110)), 10);
        assert_eq!(axis.map(&i64::MAX, (10, 110)), 110);
        let nothing = Axis { range: 3..3, ticks: Vec::new() };
        assert_eq!(nothing.map(&3, (10, 110)), 10);
    }
}
