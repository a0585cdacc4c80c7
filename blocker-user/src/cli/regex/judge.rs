//! The logs through a crew of clerks: what they print, in order, and what they counted, in one.

use std::io::{self, Write};

use indicatif::ProgressBar;

use super::{
    lines::{Clerk, Task},
    tally::Tally,
};
use crate::cli::reading::{self, Input};

pub(super) struct Judged {
    pub(super) tally: Tally,
    /// What could not be read, each with the name of its log.
    pub(super) troubles: Vec<String>,
}

/// An error is one of `out`; those of the logs are among the [`Judged::troubles`].
pub(super) fn judge(
    inputs: Vec<Input>,
    progress: &ProgressBar,
    task: &Task,
    threads: usize,
    out: &mut impl Write,
) -> io::Result<Judged> {
    let hire = |sees| Clerk::new(task, sees);
    let judged = reading::judge(inputs, progress, threads, hire, |text, is_live| {
        out.write_all(text)?;
        text.clear();
        if is_live { out.flush() } else { Ok(()) }
    })?;
    let mut tally = Tally::default();
    for clerk in judged.clerks {
        tally.merge(clerk.tally);
    }
    Ok(Judged { tally, troubles: judged.troubles })
}

#[cfg(test)]
mod tests;
