//! `cargo xtask run`: the sandbox, or the daemon itself. Either takes this process over, so
//! that Ctrl-C reaches it alone and its exit code is the task's.
use std::{ffi::OsString, os::unix::process::CommandExt as _, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::{build, cmd, layout, packages};

/// The daemon in network namespaces of its own. It checks for root itself.
pub(crate) fn sandbox() -> Result<ExitCode> {
    let binary = build::both_halves()?;
    eprintln!("==> building the sandbox");
    cmd::run(
        cmd::cargo("build", &layout::target())
            .args(["--package", "blocker-tests", "--bin", "sandbox"])
            .env(layout::OBJECT_VAR, layout::object()),
    )?;
    packages::advise_for_sandbox();
    let mut sandbox = cmd::command(layout::sandbox());
    sandbox.env(layout::BINARY_VAR, binary);
    cmd::show(&sandbox);
    Err(sandbox.exec()).with_context(|| cmd::failed(&sandbox))
}

/// The daemon on this host, in the directory that the user is in.
pub(crate) fn doveblock(args: &[OsString]) -> Result<ExitCode> {
    let mut doveblock = cmd::command(build::both_halves()?);
    doveblock.arg("run").args(args);
    cmd::show(&doveblock);
    Err(doveblock.exec()).with_context(|| cmd::failed(&doveblock))
}
