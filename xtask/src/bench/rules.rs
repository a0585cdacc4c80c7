//! `bench rules`: the same log through doveblock, fail2ban-regex and ripgrep, in rounds, so
//! that what else the machine does falls on all of them alike.
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    live,
    log::{self, WORDS},
    machine, measure,
    measure::Run,
    table::{self, Row},
};
use crate::{build, cmd, layout};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Lines of the log
    #[arg(long, default_value_t = 1_000_000)]
    lines: u64,
    /// Of those, how many fail2ban-regex is given: it takes half a minute for all of them
    #[arg(long, default_value_t = 100_000)]
    slice: u64,
    /// How often each program runs; the medians count
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Lines a second that are appended to a log that `doveblock run --dry-run` tails
    #[arg(long, default_value_t = 200_000)]
    rate: u64,
    /// For how many seconds they are appended; 0 leaves this part out
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only print: leave docs/bench-rules.md and benches/runs/ as they are
    #[arg(long)]
    dry_run: bool,
}

/// Somebody who reads a log.
struct Contestant {
    name: &'static str,
    lines: u64,
    bytes: u64,
    command: Command,
    /// The number of matched lines in what it prints.
    matched: fn(&str) -> Option<u64>,
    runs: Vec<Run>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let binary = build::both_halves()?;
    let load = machine::load();
    let directory = layout::target().join("bench");
    fs::create_dir_all(&directory).context("failed to make target/bench")?;

    let (path, slice) = (directory.join("mixed.log"), directory.join("mixed-slice.log"));
    eprintln!("==> writing {} lines to {}", args.lines, path.display());
    let made = log::write(&path, args.lines)?;
    let slice_lines = args.slice.min(args.lines);
    let slice_bytes = write_slice(&path, &slice, slice_lines)?;
    let words = directory.join("words");
    fs::write(&words, WORDS.join("\n") + "\n").context("failed to write the words")?;

    let mut contestants = contestants(&binary, &path, &words, made);
    if let Some(fail2ban) = fail2ban(&slice, slice_lines, slice_bytes) {
        contestants.push(fail2ban);
    }
    for round in 1..=args.rounds {
        eprintln!("==> round {round} of {}", args.rounds);
        for contestant in &mut contestants {
            let run = measure::run(&mut contestant.command)?;
            check(contestant, &run, made)?;
            eprintln!("    {:>9.3} s  {}", run.wall.as_secs_f64(), contestant.name);
            contestant.runs.push(run);
        }
    }

    let live = match args.seconds {
        0 => None,
        seconds => Some(live::measure(&binary, &directory, args.rate, seconds)?),
    };
    let rows: Vec<Row> = contestants.iter().map(Row::from).collect();
    let table = table::markdown(&rows, made, &load, live.as_ref());
    println!("{table}");
    if !args.dry_run {
        write_results(&table, &table::csv(&rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl From<&Contestant> for Row {
    fn from(it: &Contestant) -> Self {
        Self {
            name: it.name.to_owned(),
            lines: it.lines,
            bytes: it.bytes,
            walls: it.runs.iter().map(|run| run.wall).collect(),
            cpus: it.runs.iter().map(|run| run.cpu).collect(),
        }
    }
}

fn contestants(binary: &Path, log: &Path, words: &Path, made: log::Made) -> Vec<Contestant> {
    let regex = |options: &[&str]| {
        let mut command = cmd::command(binary);
        command.arg("regex").arg(log).arg("dovecot[mode=aggressive]").args(options);
        command
    };
    let contestant = |name, command, matched| Contestant {
        name,
        lines: made.lines,
        bytes: made.bytes,
        command,
        matched,
        runs: Vec::new(),
    };
    let mut all = vec![
        contestant(table::ONE_THREAD, regex(&["--threads", "1"]), matched_of_regex),
        contestant("doveblock regex", regex(&[]), matched_of_regex),
        contestant(
            "doveblock regex --threads 1 --format json",
            regex(&["--threads", "1", "--format", "json"]),
            matched_of_json,
        ),
    ];
    if cmd::find("rg", &[]).is_some() {
        let rg = |options: &[&str]| {
            let mut command = cmd::command("rg");
            command.args(["--no-config", "-c", "-F", "-f"]).arg(words).args(options).arg(log);
            command
        };
        all.push(contestant(table::RIPGREP, rg(&["-j1"]), |said| said.trim().parse().ok()));
        all.push(contestant("rg -c -F", rg(&[]), |said| said.trim().parse().ok()));
    } else {
        eprintln!("warning: ripgrep is not installed (`apt-get install ripgrep`): left out");
    }
    all
}

fn fail2ban(slice: &Path, lines: u64, bytes: u64) -> Option<Contestant> {
    let Some(program) = cmd::find("fail2ban-regex", &[]) else {
        eprintln!("warning: fail2ban is not installed (`apt-get install fail2ban`): left out");
        return None;
    };
    let mut command = cmd::command(program);
    command.arg(slice).arg("dovecot[mode=aggressive]");
    let matched = matched_of_fail2ban;
    Some(Contestant { name: table::FAIL2BAN, lines, bytes, command, matched, runs: Vec::new() })
}

/// A program that did not do the work has no time. fail2ban's own count is its own: it misses
/// some of the failures.
fn check(contestant: &Contestant, run: &Run, made: log::Made) -> Result<()> {
    let said = (contestant.matched)(&run.said);
    let said = said.with_context(|| format!("{} did not print its count", contestant.name))?;
    let is_right =
        if contestant.name == table::FAIL2BAN { said > 0 } else { said == made.failures };
    ensure!(
        is_right,
        "{} found {said} failures where {} were written",
        contestant.name,
        made.failures
    );
    Ok(())
}

/// `lines     1000000: 182093 matched, …`
fn matched_of_regex(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.starts_with("lines "))?;
    line.split_once(": ")?.1.split_once(" matched")?.0.parse().ok()
}

fn matched_of_json(said: &str) -> Option<u64> {
    Some(said.matches("\"matched\":true").count() as u64)
}

/// `Lines: 100000 lines, 0 ignored, 13080 matched, 86920 missed`
fn matched_of_fail2ban(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.starts_with("Lines: "))?;
    line.split_once(" matched")?.0.rsplit(' ').next()?.parse().ok()
}

/// The first lines of the log, for the one who is slow. Gives their length.
fn write_slice(log: &Path, slice: &Path, lines: u64) -> Result<u64> {
    let text = fs::read_to_string(log).context("failed to read the log back")?;
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    let end =
        text.match_indices('\n').nth(lines.saturating_sub(1)).map_or(text.len(), |it| it.0 + 1);
    fs::write(slice, &text[..end]).context("failed to write a part of the log")?;
    Ok(end as u64)
}

fn write_results(table: &str, csv: &str) -> Result<()> {
    let table_path = layout::root().join("docs/bench-rules.md");
    let csv_path = layout::root().join(format!("benches/runs/{}-rules.csv", machine::date()));
    for (path, text) in [(table_path, table), (csv_path, csv)] {
        let failed = || format!("failed to write {}", path.display());
        path.parent().map_or(Ok(()), fs::create_dir_all).with_context(failed)?;
        fs::write(&path, text).with_context(failed)?;
        eprintln!("==> wrote {}", shown(&path).display());
    }
    Ok(())
}

fn shown(path: &Path) -> PathBuf {
    path.strip_prefix(layout::root()).unwrap_or(path).to_owned()
}

/// The command that makes the table again.
pub(super) fn typed() -> String {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    format!("cargo xtask {}", args.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_what_each_program_prints() {
        let regex = "filter    x\nlines     9: 4 matched, 5 missed (1 of them logins), 0 ignored\n";
        assert_eq!(matched_of_regex(regex), Some(4));
        let fail2ban = "Results\n\nLines: 9 lines, 0 ignored, 4 matched, 5 missed\n";
        assert_eq!(matched_of_fail2ban(fail2ban), Some(4));
        assert_eq!(matched_of_json("{\"matched\":true}\n{\"matched\":false}\n"), Some(1));
        assert_eq!(matched_of_regex("").or(matched_of_fail2ban("")), None);
    }
}
