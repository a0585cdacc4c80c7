//! What every section is made of: names, times and tables.

use maud::{Markup, html};

use super::words::{Clock, number};
use crate::{cli::output::visible, report::When};

/// Something that a client or a log chose: it can neither be taken for a part of the page nor turn
/// the text around it.
pub(super) fn name(text: &str) -> Markup {
    html! { bdi { (visible(text)) } }
}

pub(super) fn time(at: When, clock: &Clock) -> Markup {
    html! { time datetime=(at.0) { (clock.show(at)) } }
}

/// A column of a table.
#[derive(Clone, Copy)]
pub(super) struct Column {
    label: &'static str,
    is_number: bool,
}

impl Column {
    pub(super) const fn text(label: &'static str) -> Self {
        Self { label, is_number: false }
    }

    pub(super) const fn number(label: &'static str) -> Self {
        Self { label, is_number: true }
    }

    fn class(&self) -> Option<&'static str> {
        self.is_number.then_some("number")
    }
}

/// On a phone each row becomes a card, whose lines name their columns. That takes a table its
/// meaning for screen readers, so it is given back by roles.
pub(super) fn table(columns: &[Column], rows: impl IntoIterator<Item = Vec<Markup>>) -> Markup {
    html! {
        div.scroll { table role="table" {
            thead role="rowgroup" {
                tr role="row" {
                    @for column in columns {
                        th scope="col" role="columnheader" class=[column.class()] { (column.label) }
                    }
                }
            }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" {
                        @for (column, cell) in columns.iter().zip(row) {
                            td role="cell" class=[column.class()] data-label=(column.label) { (cell) }
                        }
                    }
                }
            }
        } }
    }
}

/// A table of which the first `shown` rows are in sight, the others behind a click. `left_out` more
/// are not in the report.
pub(super) fn long_table(
    columns: &[Column],
    mut rows: Vec<Vec<Markup>>,
    shown: usize,
    left_out: u64,
) -> Markup {
    let more = rows.split_off(shown.min(rows.len()));
    html! {
        (table(columns, rows))
        @if !more.is_empty() {
            details {
                summary { (number(u64::try_from(more.len()).unwrap_or(u64::MAX))) " more" }
                (table(columns, more))
            }
        }
        @if left_out > 0 {
            p.left-out { "The report holds no more of them: " (number(left_out)) " are left out." }
        }
    }
}
