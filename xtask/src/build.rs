//! The two halves: the BPF object first, then the daemon that carries it inside.
use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::{
    cmd,
    layout::{self, BPF_TARGET, PACKAGED_TARGET},
    setup,
};

const KERNEL_FLAGS: [&str; 4] = [
    // The linker writes BTF only when it is asked to, and from debug information: without it
    // `bpftool map dump` shows bytes where it could show fields.
    "-C debuginfo=2",
    "-C link-arg=--btf",
    // Instructions on 32 bits, which Linux has had since 5.1.
    "-C target-cpu=v3",
    // A packet's fields lie where they lie, and are read in one go all the same. Byte by byte
    // they cost a quarter more, and more stack than the kernel allows.
    "-C link-arg=--cpu-features=+allows-misaligned-mem-access",
];

/// The task. Gives the path of the daemon.
pub(crate) fn both_halves() -> Result<PathBuf> {
    setup::tools()?;
    kernel()?;
    user()
}

fn kernel() -> Result<()> {
    eprintln!("==> building the kernel half");
    cmd::run(kernel_cargo("build")?.env("RUSTFLAGS", KERNEL_FLAGS.join(" ")))
        .context("could not build the kernel half")?;
    expect_file(layout::object())?;
    Ok(())
}

fn user() -> Result<PathBuf> {
    eprintln!("==> building the user half");
    cmd::run(
        cmd::cargo("build", &layout::target())
            .args(["--release", "--package", "blocker-user"])
            .env(layout::OBJECT_VAR, layout::object()),
    )
    .context("could not build the user half")?;
    expect_file(layout::binary())
}

/// Both halves as they are packaged. Gives the path of the daemon, which needs no library.
pub(crate) fn packaged() -> Result<PathBuf> {
    setup::tools()?;
    kernel()?;
    eprintln!("==> building the user half as a static program");
    let mut cargo = cmd::cargo("build", &layout::target());
    cargo
        .args(["--release", "--package", "blocker-user", "--target", PACKAGED_TARGET])
        .env(layout::OBJECT_VAR, layout::object());
    // For what is written in C: the host's compiler, with the static library's headers.
    if cmd::find("musl-gcc", &[]).is_some() {
        cargo.env(format!("CC_{}", PACKAGED_TARGET.replace('-', "_")), "musl-gcc");
    }
    cmd::run(&mut cargo).context("could not build the static program")?;
    expect_file(layout::static_binary())
}

/// Builds a test of `package` that is a file of its own, and says where it is.
pub(crate) fn test_binary(package: &str, test: &str) -> Result<PathBuf> {
    target_binary("test", package, test)
}

/// Likewise a benchmark, optimised as the daemon is.
pub(crate) fn bench_binary(package: &str, bench: &str) -> Result<PathBuf> {
    target_binary("bench", package, bench)
}

/// The kind of target is the name of cargo's subcommand, and of the flag that picks one.
fn target_binary(kind: &str, package: &str, name: &str) -> Result<PathBuf> {
    let mut cargo = cmd::cargo(kind, &layout::target());
    cargo
        .args(["--package", package, &format!("--{kind}"), name])
        .args(["--no-run", "--message-format=json"])
        .env(layout::OBJECT_VAR, layout::object());
    cmd::show(&cargo);
    let messages = cmd::output(&mut cargo)?;
    let executable = messages.lines().find_map(|message| {
        let message: serde_json::Value = serde_json::from_str(message).ok()?;
        let target = &message["target"];
        let is_it = target["name"] == name && target["kind"][0] == kind;
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    });
    executable.with_context(|| format!("cargo does not say where the {kind} {name} is"))
}

/// cargo for the BPF target, which has no precompiled `core`; building that is open to a
/// stable compiler only when it is told to act as its own bootstrap.
pub(crate) fn kernel_cargo(subcommand: &str) -> Result<Command> {
    let mut cargo = cmd::cargo(subcommand, &layout::bpf_target_dir());
    cargo
        .args(["--package", "blocker-ebpf", "--release", "--target", BPF_TARGET])
        .args(["-Z", "build-std=core"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("PATH", setup::path_with_tools()?);
    Ok(cargo)
}

/// A cargo configuration outside the checkout can send artifacts elsewhere.
fn expect_file(path: PathBuf) -> Result<PathBuf> {
    ensure!(
        fs::metadata(&path).is_ok_and(|file| file.len() > 0),
        "cargo did not leave {}: does a cargo configuration file set `build.target` or another \
         output directory?",
        path.display()
    );
    Ok(path)
}
