//! Where the pins may be, in mount namespaces of their own: nothing that is mounted there
//! touches the host.

use std::fs::{self, File};

use anyhow::{Result, bail, ensure};
use blocker_tests::{
    doveblock::binary,
    netns::World,
    process::{Process, output},
    wait::{self, LIMIT},
};
use libtest_mimic::Trial;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_pin_directory_is_made_with_its_parents_and_hides_nothing", &[], parents),
        trial("the_root_of_the_bpf_filesystem_is_no_pin_directory", &[], root),
        trial("pins_that_end_with_their_mount_namespace_are_warned_of", &[], private),
    ]
}

/// `first`, a line of shell, and then doveblock on `pins`, in a mount namespace of its own.
fn apart(world: &World, first: &str, pins: &str) -> std::process::Command {
    let mut command = world.server.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg(format!("{first}; exec \"$@\"")).arg("sh").arg(binary());
    command.args(["run", "-i", "mail0", "--log", "/nowhere", "--pin-dir", pins, "--socket"]);
    command.arg(world.claim.dir().join("apart.sock"));
    command
}

/// The process when it is ready, and what it said.
fn ready(world: &World, command: &std::process::Command) -> Result<(Process, String)> {
    let said = world.claim.dir().join("apart.log");
    let mut process = Process::spawn("doveblock", command, &File::create(&said)?)?;
    let text = wait::until(LIMIT, "doveblock to be ready", || {
        let text = fs::read_to_string(&said)?;
        if let Some(status) = process.ended()? {
            bail!("{status}: {text}");
        }
        Ok(text.contains("ready").then_some(text))
    })?;
    Ok((process, text))
}

fn bpf_mounts(mounts: &str) -> usize {
    mounts.lines().filter(|line| line.split(' ').nth(2) == Some("bpf")).count()
}

fn parents(world: &World) -> Result<()> {
    let before = bpf_mounts(&fs::read_to_string("/proc/self/mounts")?);
    let pins = world.claim.pins().join("a/doveblock");
    let (process, text) = ready(world, &apart(world, ":", &pins.to_string_lossy()))?;
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", process.id()))?;
    ensure!(bpf_mounts(&mounts) == before, "mounted another one:\n{mounts}");
    // The namespace is another one, the filesystem is the host's.
    ensure!(pins.join("bans_v4").exists() && !text.contains("mount namespace"), "{text}");
    Ok(())
}

fn root(world: &World) -> Result<()> {
    for (pins, words) in [
        ("/sys/fs/bpf", "root of a BPF filesystem"),
        ("/sys/fs/bpf/", "root of a BPF filesystem"),
        ("/sys/fs/bpf/../bpf/x", "absolute path"),
        ("doveblock", "absolute path"),
        ("/tmp/doveblock", "not on a BPF filesystem"),
    ] {
        let output = output(&mut apart(world, ":", pins))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(2), "{pins}: {}: {said}", output.status);
        ensure!(said.contains(words), "{pins}: no {words:?} in {said}");
    }
    // Nor are links of others removed from there.
    let mut detach = blocker_tests::process::command(&binary().to_string_lossy());
    let output = output(detach.args(["detach", "--pin-dir", "/sys/fs/bpf"]))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2), "{}: {said}", output.status);
    ensure!(said.contains("root of a BPF filesystem"), "{said}");
    Ok(())
}

fn private(world: &World) -> Result<()> {
    let unmounted = "while umount /sys/fs/bpf 2>/dev/null; do :; done";
    let pins = world.claim.pins();
    let (_process, text) = ready(world, &apart(world, unmounted, &pins.to_string_lossy()))?;
    ensure!(text.contains("mounted a BPF filesystem on /sys/fs/bpf"), "{text}");
    ensure!(text.contains("only in this mount namespace") && text.contains("nsenter"), "{text}");
    ensure!(!pins.exists(), "pinned on the host's filesystem");
    Ok(())
}
