//! The measurements of `bench simulate` as Markdown for people, and as CSV with every run.
use std::fmt::Write as _;

use super::month::Month;
use crate::bench::{
    machine,
    measure::{Run, median},
    table::FAIL2BAN,
};

/// One program on one log, and its runs.
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) runs: Vec<Run>,
}

impl Measured {
    fn wall(&self) -> f64 {
        median(self.runs.iter().map(|run| run.wall).collect()).as_secs_f64()
    }

    fn cpu(&self) -> f64 {
        median(self.runs.iter().map(|run| run.cpu).collect()).as_secs_f64()
    }

    fn lines_per_second(&self) -> f64 {
        self.lines as f64 / self.wall()
    }

    fn lines_per_cpu_second(&self) -> f64 {
        self.lines as f64 / self.cpu()
    }

    /// The most of all runs.
    pub(super) fn peak_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.peak_bytes).max().unwrap_or(0)
    }
}

pub(super) struct Page<'b> {
    pub(super) month: &'b Month,
    pub(super) hostile: Option<&'b Month>,
    /// The load average before the first run.
    pub(super) load: &'b str,
    pub(super) measured: &'b [Measured],
}

impl Page<'_> {
    /// `typed` is the command that makes it again.
    pub(super) fn markdown(&self, typed: &str) -> String {
        let mut text = self.head(typed);
        let of = |name: &str| self.measured.iter().find(|it| it.name == name);
        let (fail2ban, regex) = (of(FAIL2BAN), of("doveblock regex"));
        text.push_str(
            "| program | lines | wall s | CPU s | lines/s | MB/s | peak MB | times fail2ban-regex | \
             the same in CPU time | of doveblock regex |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for it in self.measured {
            let times = |other: Option<&Measured>, speed: fn(&Measured) -> f64| {
                other.map_or("–".to_owned(), |other| format!("{:.2}", speed(it) / speed(other)))
            };
            // Writing to a String cannot fail.
            let _infallible = writeln!(
                text,
                "| `{}` | {} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {} | {} | {} |",
                it.name,
                it.lines,
                it.wall(),
                it.cpu(),
                it.lines_per_second(),
                it.bytes as f64 / 1e6 / it.wall(),
                it.peak_bytes() as f64 / 1e6,
                times(fail2ban, Measured::lines_per_second),
                times(fail2ban, Measured::lines_per_cpu_second),
                times(regex, Measured::lines_per_second),
            );
        }
        text
    }

    fn head(&self, typed: &str) -> String {
        let rounds = self.measured.first().map_or(0, |it| it.runs.len());
        let Month { files, lines, failures, bytes } = self.month;
        let share = 100.0 * *failures as f64 / (*lines).max(1) as f64;
        let hostile = self.hostile.map_or_else(String::new, |it| {
            format!(
                "- hostile: {} lines in {} files; the {} failures in them are of half as many \
                 distinct addresses, which come a second time when all others have been there\n",
                it.lines,
                it.files.len(),
                it.failures
            )
        });
        format!(
            "# How fast a month is replayed, and in how much memory\n\n\
             Made by `{typed}`; not edited by hand. The numbers of every round are in \
             `benches/runs/`.\n\n\
             - date: {}, commit {}\n- machine: {}; load average before the run {}: where that is \
             not next to 0, others shared the cores, and the ratios in CPU time say more than those \
             of the clock\n- versions: {}\n\
             - log: {lines} lines, {:.0} MB, in {} files, a day each, as logrotate leaves them, not \
             packed; {failures} lines ({share:.0} %) tell of a failure, the others are logins, \
             sessions, LMTP, Postfix and cron. Sixty thousand customers log in and mistype; eight \
             thousand attackers a day, most of them others than on the day before; one address in \
             four is IPv6\n{hostile}\
             - medians of {rounds} rounds; in each round every program runs once. What memory a \
             program had at most is the kernel's own mark (VmHWM), the highest of all rounds.\n\
             - `simulate` runs with `--mode aggressive --format json`, with the sweep over other \
             settings and without; it must find every failure that was written.\n\
             - fail2ban-regex reads the first part of the log (see \"lines\"), with \
             `dovecot[mode=aggressive]`; it only counts matches. The ratio is per line.\n\n",
            machine::date(),
            machine::commit(),
            machine::description(),
            self.load,
            machine::version(FAIL2BAN),
            *bytes as f64 / 1e6,
            files.len(),
        )
    }

    pub(super) fn csv(&self) -> String {
        let mut text = "program,round,lines,bytes,wall_s,cpu_s,peak_bytes\n".to_owned();
        for it in self.measured {
            for (round, run) in (1..).zip(&it.runs) {
                // Writing to a String cannot fail.
                let _infallible = writeln!(
                    text,
                    "{},{round},{},{},{:.6},{:.2},{}",
                    it.name,
                    it.lines,
                    it.bytes,
                    run.wall.as_secs_f64(),
                    run.cpu.as_secs_f64(),
                    run.peak_bytes
                );
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn measured(name: &str, lines: u64, ms: &[u64]) -> Measured {
        let run = |ms: &u64| Run {
            wall: Duration::from_millis(*ms),
            cpu: Duration::from_millis(ms * 2),
            said: String::new(),
            peak_bytes: ms * 1_000_000,
        };
        let runs = ms.iter().map(run).collect();
        Measured { name: name.to_owned(), lines, bytes: lines * 100, runs }
    }

    #[test]
    fn ratios_are_per_line_and_memory_is_the_most_there_was() {
        let measured = [
            measured("doveblock regex", 1_000_000, &[500, 500, 500]),
            measured("doveblock simulate", 1_000_000, &[1000, 100, 1000]),
            measured(FAIL2BAN, 10_000, &[1000, 1000, 1000]),
        ];
        let month =
            Month { files: Vec::new(), lines: 1_000_000, failures: 180_000, bytes: 100_000_000 };
        let page = Page { month: &month, hostile: None, load: "0.00", measured: &measured };
        let text = page.markdown("cargo xtask bench simulate");
        let row = "| `doveblock simulate` | 1000000 | 1.0 | 2.0 | 1000000 | 100 | 1000 | 100.00 | \
                   100.00 | 0.50 |";
        assert!(text.contains(row), "{text}");
        assert_eq!(page.csv().lines().count(), 10);
    }
}
