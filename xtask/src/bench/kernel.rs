//! `bench kernel`: what a packet costs. The measuring is done by `tests/benches/cost`, which
//! prints a row a measurement; here are the medians, the page and the picture.
mod chart;
mod page;
mod rows;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};

use super::{machine, measure, rules};
use crate::{build, cmd, layout, packages, setup};
use rows::Rows;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often everything is measured, in turn; the medians count
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Few packets and bans, one round: shows whether it works, and writes nothing
    #[arg(long)]
    quick: bool,
    /// Only print: leave docs/ and benches/runs/ as they are
    #[arg(long)]
    dry_run: bool,
}

const BEFOREHAND: &str = "\
==> bench kernel measures what a packet costs: the XDP program alone, frames over veth pairs
    beside nftables, ipset, fail2ban's chain and xdp-filter, and a million bans put into the kernel.
    It needs root, 2 GiB of free memory, some ten minutes and a machine that does nothing else.
    It makes network namespaces and pins of its own (dbk-*), removes them at its end or at Ctrl-C,
    and touches no interface and no firewall rule of this host.";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    eprintln!("{BEFOREHAND}");
    let load = machine::load();
    setup::tools()?;
    packages::install_for_bench();
    build::both_halves()?;
    eprintln!("==> building the benchmark");
    let cost = build::bench_binary("blocker-tests", "cost")?;
    let mut cost = cmd::command(cost);
    cost.arg("--object").arg(layout::cost_object());
    if args.quick {
        cost.args(["--quick", "--rounds", "1"]);
    } else {
        cost.args(["--rounds", &args.rounds.to_string()]);
    }
    cmd::show(&cost);
    let csv = measure::run(&mut cost)?.said;
    let rows = Rows::read(&csv)?;
    let page = page::markdown(&rows, &rules::typed(), &load);
    println!("{page}");
    if !args.quick && !args.dry_run {
        let run = format!("benches/runs/{}-kernel.csv", machine::date());
        write("docs/bench-kernel.md", &page)?;
        write("docs/bench-kernel.svg", &chart::svg(&page::bars(&rows)))?;
        write(&run, &csv)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(name: &str, text: &str) -> Result<()> {
    let path: PathBuf = layout::root().join(name);
    let failed = || format!("failed to write {}", path.display());
    path.parent().map_or(Ok(()), fs::create_dir_all).with_context(failed)?;
    fs::write(&path, text).with_context(failed)?;
    eprintln!("==> wrote {name}");
    Ok(())
}
