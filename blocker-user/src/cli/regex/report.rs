//! The end of the text output: totals for people.

use std::{
    cmp::Reverse,
    io::{self, Write},
    net::IpAddr,
};

use super::{
    criteria::Criteria,
    lines::{Task, print_line},
    tally::{FewLines, Tally},
};
use crate::dovecot::{FAILREGEX, Layout, RULES};

/// How many addresses are named unless all are asked for.
const TOP: usize = 10;
/// How many logs are named.
const TOP_LOGS: usize = 12;

pub(super) fn print(
    out: &mut impl Write,
    task: &Task,
    logs: &[String],
    tally: &Tally,
    is_verbose: bool,
) -> io::Result<()> {
    if task.printing.prints_lines() && tally.lines > 0 {
        writeln!(out)?;
    }
    writeln!(out, "filter    {}", task.criteria.title)?;
    let named = if is_verbose { logs.len() } else { TOP_LOGS };
    for (log, label) in logs.iter().take(named).zip(["logs"].iter().chain(std::iter::repeat(&""))) {
        writeln!(out, "{label:<8}  {log}")?;
    }
    if logs.len() > named {
        writeln!(out, "          and {} more", logs.len() - named)?;
    }
    if let Some((first, last)) = tally.period {
        writeln!(out, "period    {first} to {last}")?;
    }
    let Tally { lines, matched, logins, .. } = tally;
    let (missed, ignored) = (tally.missed.count, tally.ignored.count);
    writeln!(
        out,
        "lines     {lines}: {matched} matched, {missed} missed ({logins} of them logins), {ignored} \
         ignored"
    )?;

    writeln!(out, "\ndate formats")?;
    for layout in Layout::ALL {
        let hits = tally.by_layout.of(&layout);
        if hits > 0 || is_verbose {
            writeln!(out, "{hits:>9}  {}", layout.example())?;
        }
    }
    if tally.undated > 0 || is_verbose {
        writeln!(out, "{:>9}  no known timestamp at the beginning of the line", tally.undated)?;
    }

    writeln!(out, "\nhits by rule")?;
    let Criteria { mode, rules, .. } = task.criteria;
    for rule in RULES.iter().filter(|rule| rules && rule.mode <= mode) {
        writeln!(out, "{:>9}  {}", tally.by_rule.of(&rule.name), rule.name)?;
    }
    let hits = tally.by_rule.of(&FAILREGEX.name);
    if hits > 0 || !rules {
        writeln!(out, "{hits:>9}  {}", FAILREGEX.name)?;
    }
    print_addresses(out, tally, is_verbose)?;
    print_few(
        out,
        "missed",
        &tally.missed,
        task.printing.some_missed && !task.printing.all_missed,
    )?;
    print_few(
        out,
        "ignored",
        &tally.ignored,
        task.printing.some_ignored && !task.printing.all_ignored,
    )
}

fn print_addresses(out: &mut impl Write, tally: &Tally, all: bool) -> io::Result<()> {
    if tally.by_ip.is_empty() {
        return Ok(());
    }
    let mut by_ip: Vec<_> = tally.by_ip.iter().collect();
    writeln!(out, "\nhits by address ({} in all)", by_ip.len())?;
    let rank = |&(ip, hits): &(&IpAddr, &u64)| (Reverse(*hits), *ip);
    if !all && by_ip.len() > TOP {
        by_ip.select_nth_unstable_by_key(TOP, rank);
        by_ip.truncate(TOP);
    }
    by_ip.sort_unstable_by_key(rank);
    for (ip, hits) in by_ip {
        writeln!(out, "{hits:>9}  {ip}")?;
    }
    if tally.other_hits > 0 {
        writeln!(out, "{:>9}  addresses beyond those, too many to count each", tally.other_hits)?;
    }
    Ok(())
}

fn print_few(
    out: &mut impl Write,
    what: &str,
    lines: &FewLines,
    is_wanted: bool,
) -> io::Result<()> {
    match lines.all() {
        _ if !is_wanted || !lines.are_kept() => Ok(()),
        Some(all) => {
            writeln!(out, "\n{what} lines")?;
            for line in all {
                out.write_all(b"           ")?;
                print_line(out, line)?;
            }
            Ok(())
        }
        None => writeln!(out, "\n{} lines {what}: --print-all-{what} prints them", lines.count),
    }
}
