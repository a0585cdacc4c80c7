//! The `doveblock` binary: parses the command line and hands it on.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    blocker_user::cli::main(blocker_user::cli::Cli::parse())
}
