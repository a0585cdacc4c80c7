//! The logs that are replayed: a file a day, as logrotate leaves them.
use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    bench::log::{Crowd, DAY_SECS, Log, Made, START, day_to},
    cmd,
};

const DAYS: u64 = 30;
/// A line is 170 bytes or so.
const ABOUT_BYTES: u64 = 180;

/// Rotated files of one log, the oldest first.
pub(super) struct Month {
    pub(super) files: Vec<PathBuf>,
    pub(super) lines: u64,
    pub(super) failures: u64,
    pub(super) bytes: u64,
}

impl Month {
    /// So many lines, of which each day has as many.
    pub(super) fn write(directory: &Path, lines: u64) -> Result<Self> {
        let log = |day| Log::of(START + day, Crowd::Month { day });
        Self::of(&directory.join("mail.log"), DAYS, lines, &log)
    }

    /// Ten days, on which every failing client is another one, and fails twice in the end.
    pub(super) fn write_hostile(directory: &Path, clients: u64) -> Result<Self> {
        const DAYS: u64 = 10;
        // Two lines in eleven are failures.
        let lines = clients * 2 * 11 / 2;
        let a_day = clients * 2 / DAYS;
        let log = |day| Log::of(START + day, Crowd::Distinct { next: day * a_day, of: clients });
        Self::of(&directory.join("hostile.log"), DAYS, lines, &log)
    }

    fn of(path: &Path, days: u64, lines: u64, log: &(dyn Fn(u64) -> Log + Sync)) -> Result<Self> {
        eprintln!("==> writing {lines} lines to {}*", path.display());
        let needed = lines * ABOUT_BYTES;
        let directory = path.parent().unwrap_or(path);
        if room(directory)? < needed + needed / 4 {
            bail!("{} has no room for {} MB", directory.display(), needed / 1_000_000);
        }
        let files: Vec<PathBuf> = (0..days).map(|day| rotated(path, days - 1 - day)).collect();
        let next = AtomicU64::new(0);
        let write = || -> Result<Vec<Made>> {
            let mut made = Vec::new();
            loop {
                let day = next.fetch_add(1, Ordering::Relaxed);
                let Some(file) = usize::try_from(day).ok().and_then(|day| files.get(day)) else {
                    return Ok(made);
                };
                let (before, behind) = (lines * day / days, lines * (day + 1) / days);
                // The last day is that of the other benchmark.
                let start = START - (days - 1 - day) * DAY_SECS;
                made.push(write_day(file, log(day), start, behind - before)?);
            }
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let made = thread::scope(|scope| {
            let writers: Vec<_> = (0..cores).map(|_| scope.spawn(write)).collect();
            let all = writers.into_iter().map(|writer| {
                writer.join().map_err(|_| anyhow!("a writer panicked")).and_then(|made| made)
            });
            all.collect::<Result<Vec<_>>>()
        })?;
        let made = made.into_iter().flatten();
        let all = made.fold(Made { lines: 0, failures: 0, bytes: 0 }, |all, it| Made {
            lines: all.lines + it.lines,
            failures: all.failures + it.failures,
            bytes: all.bytes + it.bytes,
        });
        Ok(Self { files, lines: all.lines, failures: all.failures, bytes: all.bytes })
    }

    /// The first lines, for the one who is slow; how many, and their length.
    pub(super) fn write_slice(&self, slice: &Path, lines: u64) -> Result<(u64, u64)> {
        let failed = || "failed to write a part of the log".to_owned();
        let mut out = BufWriter::new(File::create(slice).with_context(failed)?);
        let (mut number, mut bytes, mut line) = (0, 0, Vec::new());
        for file in &self.files {
            let mut file = BufReader::new(File::open(file).with_context(failed)?);
            while number < lines && file.read_until(b'\n', &mut line).with_context(failed)? > 0 {
                out.write_all(&line).with_context(failed)?;
                (number, bytes) = (number + 1, bytes + line.len() as u64);
                line.clear();
            }
        }
        out.flush().with_context(failed)?;
        Ok((number, bytes))
    }
}

/// What logrotate calls the file of so many days ago.
fn rotated(path: &Path, days_ago: u64) -> PathBuf {
    match days_ago {
        0 => path.to_owned(),
        days => PathBuf::from(format!("{}.{days}", path.display())),
    }
}

fn write_day(path: &Path, mut log: Log, start: u64, lines: u64) -> Result<Made> {
    let failed = || format!("failed to write {}", path.display());
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).with_context(failed)?);
    let made = day_to(&mut out, &mut log, start, lines).with_context(failed)?;
    out.flush().with_context(failed)?;
    Ok(made)
}

/// How many bytes there are left for files in `directory`.
fn room(directory: &Path) -> Result<u64> {
    let mut df = cmd::command("df");
    df.args(["--output=avail", "-B1"]).arg(directory);
    let said = cmd::output(&mut df)?;
    let number = said.lines().last().and_then(|line| line.trim().parse().ok());
    number.with_context(|| format!("df printed {said:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("doveblock-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_month_has_a_file_a_day_and_what_it_says_is_in_them() {
        let directory = directory("month");
        let month = Month::write(&directory, 3_000).unwrap();
        assert_eq!(month.files.len(), 30);
        let text: String = month.files.iter().map(|it| fs::read_to_string(it).unwrap()).collect();
        assert_eq!((text.lines().count() as u64, text.len() as u64), (month.lines, month.bytes));
        assert!(text.lines().next().unwrap().contains("Oct 25") || text.starts_with("2026-10-25"));
        assert!(text.lines().last().unwrap().contains("23"), "it ends on 23 November");
        let slice = directory.join("slice");
        let (lines, bytes) = month.write_slice(&slice, 150).unwrap();
        assert_eq!((lines, fs::read(&slice).unwrap().len() as u64), (150, bytes));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn in_a_hostile_log_everybody_fails_about_twice() {
        let directory = directory("hostile");
        let log = Month::write_hostile(&directory, 1_000).unwrap();
        assert_eq!(log.files.len(), 10);
        assert!((1_800..2_200).contains(&log.failures), "{}", log.failures);
        fs::remove_dir_all(directory).unwrap();
    }
}
