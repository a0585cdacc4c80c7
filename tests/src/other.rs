//! A second doveblock beside the one of a trial: with a socket of its own, and mostly with pins
//! of its own.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::{
    doveblock::binary,
    netns::{Namespace, World},
    process::{Process, run},
    wait::{self, LIMIT},
};

/// Drop stops it and removes its pins.
pub struct Other {
    _process: Process,
    server: Namespace,
    pins: PathBuf,
    socket: PathBuf,
}

impl Other {
    /// On `interface` of the server, with pins beside those of the trial.
    pub fn start(world: &World, interface: &str, more: &[&str]) -> Result<Self> {
        let pins = world.claim.pins().with_file_name(format!("{}-other", world.claim.name()));
        Self::with_pins(world, pins, interface, more)
    }

    pub fn with_pins(world: &World, pins: PathBuf, interface: &str, more: &[&str]) -> Result<Self> {
        let socket = world.claim.dir().join("other.sock");
        let mut command = world.server.command(&binary().to_string_lossy());
        command.args(["run", "-i", interface, "--log", "/nowhere", "--pin-dir"]).arg(&pins);
        command.arg("--socket").arg(&socket).args(more);
        let said = world.claim.dir().join("other.log");
        let mut process = Process::spawn("doveblock", &command, &File::create(&said)?)?;
        wait::until(LIMIT, "the other doveblock", || {
            let text = fs::read_to_string(&said)?;
            if let Some(status) = process.ended()? {
                bail!("{status}: {text}");
            }
            Ok(text.contains("ready").then_some(()))
        })?;
        Ok(Self { _process: process, server: world.server.clone(), pins, socket })
    }

    #[must_use]
    pub fn pins(&self) -> &Path {
        &self.pins
    }

    pub fn ban(&self, world: &World, address: impl AsRef<OsStr>) -> Result<()> {
        let mut command = world.server.command(&binary().to_string_lossy());
        command.arg("ban").arg(address).arg("--socket").arg(&self.socket);
        run(&mut command).map(drop)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let mut command = self.server.command(&binary().to_string_lossy());
        let _the_trial_has_its_verdict =
            run(command.arg("detach").arg("--pin-dir").arg(&self.pins));
    }
}
