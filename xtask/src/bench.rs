//! `cargo xtask bench`: doveblock beside the programs that its users know, on one machine in
//! one run. The tables are kept in docs/, the numbers behind them in benches/runs/.
mod live;
mod log;
mod machine;
mod measure;
mod rules;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// How fast log lines are judged: doveblock, fail2ban-regex, and ripgrep for the same words
    Rules(rules::Args),
}

pub(crate) fn run(bench: &Bench) -> Result<ExitCode> {
    match bench {
        Bench::Rules(args) => rules::run(args),
    }
}
