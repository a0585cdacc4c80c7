//! The packet suite, `tests/kernel.rs`, as it runs on the host.

use anyhow::{Context as _, Result, ensure};
use blocker_tests::process::{command, output};

const SUITE: &str = "/bin/kernel";

/// Nothing may be skipped here: there is root, and there is the program.
pub(crate) fn all() -> Result<String> {
    let output = output(command(SUITE).arg("--test-threads=1"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    let result = text.lines().find(|line| line.starts_with("test result: "));
    let result = result.with_context(|| format!("no result ({})", output.status))?;
    let failed: Vec<_> = text.lines().filter(|line| line.ends_with("FAILED")).collect();
    ensure!(output.status.success(), "{result} {}", failed.join(" | "));
    ensure!(result.contains("; 0 ignored;"), "tests were skipped: {result}");
    let counts = result.trim_start_matches("test result: ok. ");
    Ok(counts.split(';').next().unwrap_or(counts).to_owned())
}
