//! How far a long log has been read, for the one who waits at a terminal.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::input::Input;

/// Shorter ones are read before a bar could be seen.
const LONG_BYTES: u64 = 64 * 1024 * 1024;

/// A bar on standard error; one that is never seen where that is no terminal, where lines are
/// printed to the same terminal, or where there is little to read or no end in sight.
pub(in crate::cli) fn for_reading<'i>(
    inputs: impl IntoIterator<Item = &'i Input>,
    prints_lines: bool,
) -> ProgressBar {
    let total: Option<u64> = inputs.into_iter().map(|input| input.len).sum();
    let is_seen = io::stderr().is_terminal() && !(prints_lines && io::stdout().is_terminal());
    match total.filter(|total| is_seen && *total >= LONG_BYTES) {
        Some(total) => ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
            .with_style(style()),
        None => ProgressBar::hidden(),
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {percent:>3} % of {total_bytes}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
