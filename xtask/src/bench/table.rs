//! The measurements of `bench rules` as Markdown for people, and as CSV with every run.
use std::{fmt::Write as _, time::Duration};

use super::{live::Live, log::Made, machine, measure::median, rules};

pub(super) const ONE_THREAD: &str = "doveblock regex --threads 1";
pub(super) const RIPGREP: &str = "rg -j1 -c -F";
pub(super) const FAIL2BAN: &str = "fail2ban-regex";

/// One program and its times, round by round.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) walls: Vec<Duration>,
    pub(super) cpus: Vec<Duration>,
}

impl Row {
    fn wall(&self) -> f64 {
        median(self.walls.clone()).as_secs_f64()
    }

    fn cpu(&self) -> f64 {
        median(self.cpus.clone()).as_secs_f64()
    }

    fn nanos_per_line(&self) -> f64 {
        self.wall() * 1e9 / self.lines as f64
    }

    fn cpu_nanos_per_line(&self) -> f64 {
        self.cpu() * 1e9 / self.lines as f64
    }

    fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.wall()
    }
}

pub(super) fn markdown(rows: &[Row], made: Made, load: &str, live: Option<&Live>) -> String {
    let mut text = head(rows, made, load);
    let fail2ban = rows.iter().find(|row| row.name == FAIL2BAN).map(Row::nanos_per_line);
    let fail2ban_cpu = rows.iter().find(|row| row.name == FAIL2BAN).map(Row::cpu_nanos_per_line);
    let ripgrep = rows.iter().find(|row| row.name == RIPGREP).map(Row::megabytes_per_second);
    text.push_str(
        "| program | lines | wall s | CPU s | ns/line | lines/s | MB/s | times fail2ban-regex | \
         the same in CPU time | of rg -j1 |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let ratio = |value: Option<f64>| value.map_or("–".to_owned(), |it| format!("{it:.2}"));
        let times =
            fail2ban.map_or("–".to_owned(), |it| format!("{:.0}", it / row.nanos_per_line()));
        let by_cpu = fail2ban_cpu
            .map_or("–".to_owned(), |it| format!("{:.0}", it / row.cpu_nanos_per_line()));
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            text,
            "| `{}` | {} | {:.3} | {:.2} | {:.0} | {:.0} | {:.0} | {times} | {by_cpu} | {} |",
            row.name,
            row.lines,
            row.wall(),
            row.cpu(),
            row.nanos_per_line(),
            1e9 / row.nanos_per_line(),
            row.megabytes_per_second(),
            ratio(ripgrep.map(|it| row.megabytes_per_second() / it)),
        );
    }
    if let Some(live) = live {
        let _infallible = write!(text, "\n{}", live.markdown());
    }
    text
}

fn head(rows: &[Row], made: Made, load: &str) -> String {
    let rounds = rows.first().map_or(0, |row| row.walls.len());
    let share = 100.0 * made.failures as f64 / made.lines.max(1) as f64;
    format!(
        "# How fast lines are judged\n\n\
         Made by `{}`; not edited by hand. The numbers of every round are in `benches/runs/`.\n\n\
         - date: {}, commit {}\n- machine: {}; load average before the run {load}: where that is not next to 0, others \
         shared the cores, and the ratios in CPU time say more than those of the clock\n- versions: {}; {}\n\
         - log: {} lines, {:.0} MB, generated, always the same; {} of them ({share:.0} %) tell of \
         a failure, the others are logins, sessions, LMTP, Postfix and cron; IPv4 and IPv6; \
         syslog, RFC 3339 and Dovecot's own format mixed\n\
         - medians of {rounds} rounds; in each round every program runs once. All files are in \
         the page cache.\n\
         - fail2ban-regex reads the first part of the log (see \"lines\"), with \
         `dovecot[mode=aggressive]` as doveblock does; the ratio is per line.\n\
         - ripgrep counts the lines that contain one of {} words, which are those that the rules \
         know failures by: the same lines. It is given one file and so uses one thread, with and \
         without `-j1`.\n\n",
        rules::typed(),
        machine::date(),
        machine::commit(),
        machine::description(),
        machine::version(FAIL2BAN),
        machine::version("rg"),
        made.lines,
        made.bytes as f64 / 1e6,
        made.failures,
        super::log::WORDS.len(),
    )
}

pub(super) fn csv(rows: &[Row]) -> String {
    let mut text = "program,round,lines,bytes,wall_s,cpu_s\n".to_owned();
    for row in rows {
        for (round, (wall, cpu)) in (1..).zip(row.walls.iter().zip(&row.cpus)) {
            // Writing to a String cannot fail.
            let _infallible = writeln!(
                text,
                "{},{round},{},{},{:.6},{:.2}",
                row.name,
                row.lines,
                row.bytes,
                wall.as_secs_f64(),
                cpu.as_secs_f64()
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, lines: u64, ms: &[u64]) -> Row {
        let walls: Vec<_> = ms.iter().copied().map(Duration::from_millis).collect();
        Row { name: name.to_owned(), lines, bytes: lines * 100, cpus: walls.clone(), walls }
    }

    #[test]
    fn ratios_are_per_line_and_per_byte() {
        let rows = [
            row(ONE_THREAD, 1_000_000, &[100, 900, 100]),
            row(RIPGREP, 1_000_000, &[50, 50, 50]),
            row(FAIL2BAN, 100_000, &[3000, 1000, 2000]),
        ];
        let made = Made { lines: 1_000_000, failures: 180_000, bytes: 100_000_000 };
        let text = markdown(&rows, made, "0.00", None);
        assert!(
            text.contains(
                "threads 1` | 1000000 | 0.100 | 0.10 | 100 | 10000000 | 1000 | 200 | 200 | 0.50 |"
            ),
            "{text}"
        );
        assert_eq!(csv(&rows).lines().count(), 10);
    }
}
