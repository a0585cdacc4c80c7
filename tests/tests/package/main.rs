//! The packages, as their users meet them. `cargo xtask test` builds them, and a Debian to
//! install them in.

mod contents;
mod life;
mod unit;

use std::process::ExitCode;

use anyhow::Result;
use blocker_tests::{leftovers, needs};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    for name in leftovers::reap() {
        eprintln!("removed what a killed run left: {name}");
    }
    let trials = [contents::trials(), life::trials(), unit::trials()];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}

/// Skipped where one of `needs` is missing.
fn trial(name: &str, needs: &'static [fn() -> Option<String>], body: fn() -> Result<()>) -> Trial {
    Trial::ignorable_test(format!("package::{name}"), move || {
        if let Some(reason) = needs.iter().find_map(|missing| missing()) {
            return Ok(Completion::ignored_with(reason));
        }
        body().map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
    })
}

const PACKAGES: &[fn() -> Option<String>] = &[needs::missing_packages, needs::missing_judges];
const INSTALLED: &[fn() -> Option<String>] =
    &[needs::missing, needs::missing_packages, needs::missing_debian];
