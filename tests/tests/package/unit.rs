//! The unit, as systemd judges it without running it.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    needs,
    process::{command, run},
};
use libtest_mimic::Trial;

use crate::trial;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/doveblock.service");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/security.md");

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("the_unit_exposes_as_little_as_docs_security_says", &[needs::missing_judges], score)]
}

fn score() -> Result<()> {
    ensure!(Path::new(UNIT).is_file());
    let mut analyze = command("systemd-analyze");
    // Ten times what it prints; it fails if that is exceeded.
    analyze.args(["security", "--offline=true", "--threshold=20", "--no-pager", UNIT]);
    let judged = run(&mut analyze)?;
    let score = judged
        .lines()
        .find_map(|line| line.split_once("Overall exposure level for doveblock.service: "))
        .and_then(|(_, score)| score.split_whitespace().next());
    let score = score.with_context(|| format!("no score in {judged}"))?;
    // Another version may judge otherwise.
    let version = run(command("systemd-analyze").arg("--version"))?;
    let version: Vec<&str> = version.split_whitespace().take(2).collect();
    let document = fs::read_to_string(DOCUMENT)?;
    let said = format!("exposure level {score}");
    ensure!(
        document.contains(&said) || !document.contains(&version.join(" ")),
        "docs/security.md does not say {said:?}"
    );
    Ok(())
}
