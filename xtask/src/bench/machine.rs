//! What a table says of where and when it was measured.
use std::{fs, process::Command, thread};

use crate::{cmd, layout};

/// A line of Markdown about the machine.
pub(super) fn description() -> String {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".to_owned());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|total| total.split(' ').next()?.parse::<u64>().ok())
        .map_or_else(String::new, |kib| format!(", {} GiB", kib.div_ceil(1024 * 1024)));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cpu}, {cores} cores{memory}, Linux {}", kernel.trim())
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// How many others wanted a processor in the last minute. A quiet machine has next to none.
pub(super) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// Of today, UTC, as 2026-11-24.
pub(super) fn date() -> String {
    said(Command::new("date").args(["-u", "+%F"]))
}

/// The commit that was measured, marked where the checkout differs from it.
pub(super) fn commit() -> String {
    let mut git = cmd::command("git");
    git.args(["describe", "--always", "--dirty", "--abbrev=10"]).current_dir(layout::root());
    said(&mut git)
}

/// The first line that a program prints about its version.
pub(super) fn version(program: &str) -> String {
    let version = said(cmd::command(program).arg("--version"));
    version.lines().next().unwrap_or_default().to_owned()
}

fn said(command: &mut Command) -> String {
    cmd::output(command).unwrap_or_else(|_| "unknown".to_owned())
}
