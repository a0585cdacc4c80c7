//! `cargo xtask lint`: formatting, clippy for both halves, and the rules of the house.
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::{build, cmd, layout, setup, tidy};

pub(crate) fn task() -> Result<ExitCode> {
    setup::rust()?;
    let failed = all();
    if !failed.is_empty() {
        bail!("lint failed: {}", failed.join(", "));
    }
    println!("lint: fine");
    Ok(ExitCode::SUCCESS)
}

/// What it is called in the report, and the check itself.
type Check = (&'static str, fn() -> Result<()>);

/// Runs each check to its end and names the ones that failed. Expects the toolchain.
pub(crate) fn all() -> Vec<&'static str> {
    let checks: [Check; 4] = [
        ("rustfmt", || cmd::run(cmd::cargo_plain("fmt").args(["--all", "--check"]))),
        ("clippy", || cmd::run(deny_warnings(&mut host_clippy()))),
        ("clippy for the kernel half", || {
            cmd::run(deny_warnings(&mut build::kernel_cargo("clippy")?))
        }),
        ("rules of the house", || tidy::check(layout::root())),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        eprintln!("==> lint: {name}");
        if let Err(error) = check() {
            eprintln!("error: {error:#}");
            failed.push(name);
        }
    }
    failed
}

/// With the object where there is one, as the builds have it: a change of the variable would
/// compile the daemon anew on every turn from lint to test and back.
fn host_clippy() -> Command {
    let mut clippy = cmd::cargo("clippy", &layout::target());
    clippy.args(["--workspace", "--all-targets"]);
    if layout::object().exists() {
        clippy.env(layout::OBJECT_VAR, layout::object());
    }
    clippy
}

fn deny_warnings(clippy: &mut Command) -> &mut Command {
    clippy.args(["--", "-D", "warnings"])
}
