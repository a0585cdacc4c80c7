//! `cargo xtask run`: the whole of doveblock before your eyes, in two network namespaces.
#![forbid(unsafe_code)]

mod screen;
mod tour;

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use blocker_tests::{leftovers, needs, wait};
use clap::Parser;

use screen::Screen;

/// Shows doveblock at work: a log line, a ban, dropped packets, and the end of the ban.
#[derive(Parser)]
struct Args {
    /// End after the tour instead of keeping everything running until Ctrl-C
    #[arg(long)]
    once: bool,
}

/// What a shell makes of an end by SIGINT.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(reason) = needs::missing() {
        eprintln!(
            "The sandbox {reason}. Nothing outside two network namespaces of its own is touched."
        );
        return ExitCode::FAILURE;
    }
    let terminal = io::stdout().is_terminal();
    let mut screen = Screen::new(terminal);
    let stays = terminal && !args.once;
    let shown = wait::watch_signals().and_then(|()| {
        for name in leftovers::reap() {
            screen.note(&format!("removed what an earlier sandbox left behind: {name}"));
        }
        tour::run(&mut screen, stays)
    });
    // The world is gone by now: it belonged to the tour.
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<wait::Interrupted>() => {
            screen.note("stopped; namespaces, pins and processes are gone");
            if stays && screen.is_complete() { ExitCode::SUCCESS } else { INTERRUPTED.into() }
        }
        Err(error) => {
            screen.failed(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
