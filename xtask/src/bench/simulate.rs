//! `bench simulate`: a month of a large server, replayed with and without the sweep, beside
//! `doveblock regex` on the same files and fail2ban-regex on a part of them; and a log in which
//! nearly everybody is somebody else, which is the worst for memory.
mod month;
mod page;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};

use super::{machine, measure, rules::typed, table::FAIL2BAN};
use crate::{build, cmd, layout};

use month::Month;
use page::{Measured, Page};

/// What a replay may use at most, whatever it reads.
const MOST_BYTES: u64 = 300_000_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Lines of the month; a hundred million are 17 GB on disk while they are measured
    #[arg(long, default_value_t = 100_000_000)]
    lines: u64,
    /// Distinct addresses of the hostile log, each of which fails twice; 0 leaves it out
    #[arg(long, default_value_t = 5_000_000)]
    hostile: u64,
    /// Of the month, how many lines fail2ban-regex is given
    #[arg(long, default_value_t = 100_000)]
    slice: u64,
    /// How often each program runs; the medians count
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only print: leave docs/bench-simulate.md and benches/runs/ as they are
    #[arg(long)]
    dry_run: bool,
}

/// A program, what it is given, and how to see that it has done the work.
struct Contestant {
    measured: Measured,
    command: Command,
    /// What it has to have counted as failures.
    failures: Option<u64>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let binary = build::both_halves()?;
    let load = machine::load();
    let directory = Scratch::new()?;
    let month = Month::write(&directory.0, args.lines)?;
    let mut contestants = of_month(&binary, &month);
    contestants.extend(fail2ban(&directory.0, &month, args.slice)?);
    let hostile = match args.hostile {
        0 => None,
        clients => Some(Month::write_hostile(&directory.0, clients)?),
    };
    if let Some(hostile) = &hostile {
        contestants.push(simulate(&binary, hostile, "hostile: ", &["--no-sweep"]));
        contestants.push(simulate(&binary, hostile, "hostile: ", &[]));
    }

    for round in 1..=args.rounds {
        eprintln!("==> round {round} of {}", args.rounds);
        for Contestant { measured, command, failures } in &mut contestants {
            let run = measure::run(command)?;
            let said = failures_in(&run.said)
                .with_context(|| format!("{} did not print its count", measured.name))?;
            ensure!(
                failures.is_none_or(|failures| failures == said) && said > 0,
                "{} found {said} failures where {failures:?} were written",
                measured.name
            );
            eprintln!(
                "    {:>9.3} s, {:>4} MB  {}",
                run.wall.as_secs_f64(),
                run.peak_bytes / 1_000_000,
                measured.name
            );
            measured.runs.push(run);
        }
    }

    let measured: Vec<Measured> = contestants.into_iter().map(|it| it.measured).collect();
    let page = Page { month: &month, hostile: hostile.as_ref(), load: &load, measured: &measured };
    println!("{}", page.markdown(&typed()));
    if !args.dry_run {
        write("docs/bench-simulate.md", &page.markdown(&typed()))?;
        write(&format!("benches/runs/{}-simulate.csv", machine::date()), &page.csv())?;
    }
    for it in measured.iter().filter(|it| it.name.contains("simulate")) {
        ensure!(
            it.peak_bytes() <= MOST_BYTES,
            "{} used {} MB, more than {} MB",
            it.name,
            it.peak_bytes() / 1_000_000,
            MOST_BYTES / 1_000_000
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Holds the logs, and takes them away.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = layout::target().join("bench/month");
        // From a run that was killed.
        let _there_is_none = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).with_context(|| format!("failed to make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("warning: {} is left behind: {error}", self.0.display());
        }
    }
}

fn of_month(binary: &Path, month: &Month) -> Vec<Contestant> {
    let mut regex = cmd::command(binary);
    regex.arg("regex").args(&month.files).arg("dovecot[mode=aggressive]").env("TZ", "UTC");
    vec![
        contestant("doveblock regex", regex, month),
        simulate(binary, month, "", &["--no-sweep"]),
        simulate(binary, month, "", &[]),
    ]
}

fn simulate(binary: &Path, month: &Month, of: &str, options: &[&str]) -> Contestant {
    let mut command = cmd::command(binary);
    command.arg("simulate").args(&month.files).args(["--mode", "aggressive", "--format", "json"]);
    command.args(options).env("TZ", "UTC");
    let options: String = options.iter().map(|option| format!(" {option}")).collect();
    contestant(&format!("{of}doveblock simulate{options}"), command, month)
}

fn contestant(name: &str, command: Command, month: &Month) -> Contestant {
    let measured = Measured {
        name: name.to_owned(),
        lines: month.lines,
        bytes: month.bytes,
        runs: Vec::new(),
    };
    Contestant { measured, command, failures: Some(month.failures) }
}

fn fail2ban(directory: &Path, month: &Month, lines: u64) -> Result<Option<Contestant>> {
    let Some(program) = cmd::find("fail2ban-regex", &[]) else {
        eprintln!("warning: fail2ban is not installed (`apt-get install fail2ban`): left out");
        return Ok(None);
    };
    let slice = directory.join("slice.log");
    let (lines, bytes) = month.write_slice(&slice, lines)?;
    let mut command = cmd::command(program);
    command.arg(&slice).arg("dovecot[mode=aggressive]");
    let measured = Measured { name: FAIL2BAN.to_owned(), lines, bytes, runs: Vec::new() };
    // Its count is its own: it misses some of the failures.
    Ok(Some(Contestant { measured, command, failures: None }))
}

/// As each of them says it: `"failures": 7` of `read`, the first of that name; `9: 7 matched`;
/// `0 ignored, 7 matched`.
fn failures_in(said: &str) -> Option<u64> {
    let digits = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    if said.trim_start().starts_with('{') {
        return digits(said.split_once("\"failures\":")?.1.trim_start());
    }
    let line = said.lines().find(|line| line.to_ascii_lowercase().starts_with("lines"))?;
    line.split_once(" matched")?.0.rsplit(' ').next()?.parse().ok()
}

fn write(name: &str, text: &str) -> Result<()> {
    let path = layout::root().join(name);
    let failed = || format!("failed to write {name}");
    path.parent().map_or(Ok(()), fs::create_dir_all).with_context(failed)?;
    fs::write(&path, text).with_context(failed)?;
    eprintln!("==> wrote {name}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::failures_in;

    #[test]
    fn counts_are_read_from_what_each_program_prints() {
        let json = "{\n \"read\": {\"lines\": 9, \"failures\": 4, \"x\": 1}, \"failures\": 7}";
        assert_eq!(failures_in(json), Some(4));
        assert_eq!(failures_in("filter  x\nlines     9: 4 matched, 5 missed\n"), Some(4));
        let fail2ban = "Results\n\nLines: 9 lines, 0 ignored, 4 matched, 5 missed\n";
        assert_eq!(failures_in(fail2ban), Some(4));
        assert_eq!(failures_in("").or(failures_in("{}")), None);
    }
}
