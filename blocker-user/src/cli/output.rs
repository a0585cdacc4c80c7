//! Printing: tables for people, JSON for programs, and a quiet end when nobody reads on.

use std::io::{self, Write as _};

use serde::Serialize;

use super::VerbError;

/// How a verb prints its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Prints `value` as one JSON document.
pub(super) fn json(value: &impl Serialize) -> Result<(), VerbError> {
    let mut text = serde_json::to_string_pretty(value).map_err(VerbError::failed)?;
    text.push('\n');
    text_out(&text)
}

/// `text` without anything that a terminal would obey, or that would make it show something else
/// than what there is: log lines hold what clients wrote.
pub(crate) fn visible(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
            || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if is_hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// Prints `text`. `doveblock list | head` is no error.
pub(super) fn text_out(text: &str) -> Result<(), VerbError> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(VerbError::failed(error)),
        _ => Ok(()),
    }
}

/// A table with its columns aligned; the first row is the heading.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_line_up_and_lines_do_not_trail() {
        let rows = [["ip", "until"], ["192.0.2.7", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "ip         until\n192.0.2.7  x\n");
    }
}
