//! `cargo xtask bench`: doveblock beside the programs that its users know, on one machine in
//! one run. The tables are kept in docs/, the numbers behind them in benches/runs/.
mod kernel;
mod live;
mod log;
mod machine;
mod measure;
mod rules;
mod simulate;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// What a packet costs: the program alone, live frames beside other firewalls, many bans
    Kernel(kernel::Args),
    /// How fast log lines are judged: doveblock, fail2ban-regex, and ripgrep for the same words
    Rules(rules::Args),
    /// How fast a month of a large server is replayed, and in how much memory
    Simulate(simulate::Args),
}

pub(crate) fn run(bench: &Bench) -> Result<ExitCode> {
    match bench {
        Bench::Kernel(args) => kernel::run(args),
        Bench::Rules(args) => rules::run(args),
        Bench::Simulate(args) => simulate::run(args),
    }
}
