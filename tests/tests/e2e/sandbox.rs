//! The sandbox that `cargo xtask run` shows to newcomers.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    doveblock::binary,
    leftovers,
    process::{Process, code, command, output},
    wait::{self, LIMIT},
};
use libtest_mimic::{Completion, Failed, Trial};
use rustix::process::Signal;

pub(crate) fn trials() -> Vec<Trial> {
    [
        ("the_sandbox_shows_the_whole_line_and_leaves_nothing", to_the_end as fn() -> Result<()>),
        ("a_signal_ends_the_sandbox_and_leaves_nothing", interrupted),
    ]
    .map(|(name, body)| {
        Trial::ignorable_test(name, move || {
            if let Some(reason) = blocker_tests::needs::missing() {
                return Ok(Completion::ignored_with(reason));
            }
            let tried = body().map(|()| Completion::Completed);
            tried.map_err(|error| Failed::from(format!("{error:#}")))
        })
    })
    .into()
}

const SANDBOX: &str = env!("CARGO_BIN_EXE_sandbox");

fn to_the_end() -> Result<()> {
    let output = output(command(SANDBOX).arg("--once").env("DOVEBLOCK_BIN", binary()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for part in [
        "no auth attempts",
        "no-auth-attempts",
        "1/3",
        "ban 192.0.2.10 until",
        "timed out",
        "bpftool map dump pinned",
        "dropped_packets",
        "has ended",
    ] {
        ensure!(said.contains(part), "no {part:?} in\n{said}");
    }
    ensure!(leftovers::reap().is_empty(), "the sandbox left something behind");
    Ok(())
}

fn interrupted() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = std::fs::File::create(dir.path().join("log"))?;
    let mut wanted = command(SANDBOX);
    wanted.env("DOVEBLOCK_BIN", binary());
    let mut sandbox = Process::spawn("sandbox", &wanted, &log)?;
    let id = sandbox.id();
    wait::until(LIMIT, "the sandbox to have a world", || {
        Ok((leftovers::of(id).len() >= 4).then_some(()))
    })?;
    sandbox.signal(Signal::INT)?;
    let status = wait::until(LIMIT, "the sandbox to end", || sandbox.ended())?;
    ensure!(code(status) == 130, "exit code {}", code(status));
    let left = leftovers::of(id);
    ensure!(left.is_empty(), "left behind: {left:?}");
    let said = std::fs::read_to_string(dir.path().join("log")).context("reading its output")?;
    ensure!(!said.contains("removing"), "cleaning up failed: {said}");
    ensure!(Path::new("/sys/fs/bpf").exists());
    Ok(())
}
