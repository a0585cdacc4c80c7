//! Installs the compiler and the BPF linker that the builds need. What is there already is
//! left alone and costs a few milliseconds to find.
use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    cmd::{self, command},
    layout::{
        self, BPF_LINKER, CARGO_DEB, CARGO_GENERATE_RPM, LLVM_FEATURE, LLVM_LIBRARY,
        PACKAGED_TARGET, RUST,
    },
    packages,
};

/// The task: all that `build`, `run`, `test`, `package` and `lint` want.
pub(crate) fn everything() -> Result<()> {
    tools()?;
    packaging()?;
    let complete = packages::install();
    println!("Rust {RUST}: there");
    println!("bpf-linker {BPF_LINKER}: {}", layout::tools().join("bin/bpf-linker").display());
    println!("cargo-deb {CARGO_DEB}, cargo-generate-rpm {CARGO_GENERATE_RPM}: there");
    println!("packages for the end-to-end tests: {}", if complete { "there" } else { "see above" });
    Ok(())
}

/// What a build needs.
pub(crate) fn tools() -> Result<()> {
    let sysroot = rust()?;
    bpf_linker(&sysroot)
}

/// The pinned toolchain's directory, after installing what is missing in it.
pub(crate) fn rust() -> Result<PathBuf> {
    if let Some(sysroot) = complete_sysroot() {
        return Ok(sysroot);
    }
    ensure!(
        command(cmd::rustup()).arg("--version").output().is_ok(),
        "rustup was not found. doveblock is built with Rust {RUST} next to whatever Rust is \
         the default, and only rustup can do that: install it (Debian 13 and later: \
         `apt-get install rustup`; elsewhere the script on rustup's web site), then run the \
         same command again"
    );
    eprintln!(
        "==> installing Rust {RUST} next to your default toolchain (about 700 MB), with the \
         source of `core` for the BPF target and with clippy and rustfmt for the lints"
    );
    let components = ["rust-src", "clippy", "rustfmt"];
    cmd::run(
        command(cmd::rustup())
            .args(["toolchain", "install", RUST, "--no-self-update", "--profile", "minimal"])
            .args(components.iter().flat_map(|component| ["--component", component])),
    )
    .context(
        "could not install the compiler. If the machine has no way to the network but a proxy, \
         set HTTPS_PROXY; then run the command above by hand until it passes, and this one again",
    )?;
    complete_sysroot().with_context(|| {
        format!(
            "Rust {RUST} is still incomplete after its installation: remove it with \
             `rustup toolchain uninstall {RUST}` and run the same command again"
        )
    })
}

/// The sysroot, if the toolchain and every component that is used are there.
fn complete_sysroot() -> Option<PathBuf> {
    let mut rustc = command(cmd::rustup());
    rustc.args(["run", RUST, "rustc", "--print", "sysroot"]).env("RUSTUP_AUTO_INSTALL", "0");
    let sysroot = PathBuf::from(cmd::output(&mut rustc).ok()?);
    let used =
        ["lib/rustlib/src/rust/library/core", "bin/cargo", "bin/cargo-clippy", "bin/rustfmt"];
    used.iter().all(|part| sysroot.join(part).exists()).then_some(sysroot)
}

/// bpf-linker has to use the very LLVM of the compiler whose bitcode it links, so it is
/// built here, against the library that the toolchain brings along, and again when that
/// changes.
fn bpf_linker(sysroot: &Path) -> Result<()> {
    let tools = layout::tools();
    let llvm = llvm_library(&sysroot.join("lib"))?;
    let stamp = tools.join("bpf-linker.stamp");
    let wanted = format!("bpf-linker {BPF_LINKER} for Rust {RUST} with {}\n", llvm.display());
    let linker = tools.join("bin/bpf-linker");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted)
        && cmd::output(command(&linker).arg("--version")).is_ok()
    {
        return Ok(());
    }

    eprintln!(
        "==> building bpf-linker {BPF_LINKER} into {}: it links the kernel half, with the LLVM \
         of Rust {RUST} (about a minute, once)",
        tools.display()
    );
    let prefix = tools.join("llvm");
    point(&prefix.join("lib/libLLVM.so"), &llvm)?;
    let build_dir = tools.join("build");
    cmd::run(
        cmd::cargo("install", &build_dir)
            .args(["bpf-linker", "--version", BPF_LINKER, "--force"])
            .args(["--no-default-features", "--features", LLVM_FEATURE, "--root"])
            .arg(&tools)
            .env("LLVM_PREFIX", &prefix)
            .env("PATH", path_with_tools()?)
            .env("RUSTFLAGS", format!("-C link-arg=-Wl,-rpath,{}/lib", sysroot.display())),
    )
    .context(
        "could not build bpf-linker: if the reason above is the network (a proxy goes into \
         HTTPS_PROXY), mend it and run the same command again",
    )?;
    cmd::output(command(&linker).arg("--version"))
        .context("bpf-linker was built but does not start")?;
    fs::write(&stamp, wanted).with_context(|| format!("failed to write {}", stamp.display()))?;
    // Kept until here, so that a build that was interrupted goes on where it stopped.
    match fs::remove_dir_all(&build_dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", build_dir.display()))
        }
        _ => Ok(()),
    }
}

/// What packages are made with, besides [`tools`].
pub(crate) fn packaging() -> Result<()> {
    let sysroot = rust()?;
    if !sysroot.join("lib/rustlib").join(PACKAGED_TARGET).join("lib").is_dir() {
        eprintln!("==> installing what Rust {RUST} needs for static programs (about 200 MB)");
        let mut add = command(cmd::rustup());
        cmd::run(add.args(["target", "add", "--toolchain", RUST, PACKAGED_TARGET]))?;
    }
    cargo_tool("cargo-deb", CARGO_DEB)?;
    cargo_tool("cargo-generate-rpm", CARGO_GENERATE_RPM)
}

/// A subcommand of cargo's, of exactly that version. Not optimised: it is built more often
/// than what it does takes time.
fn cargo_tool(name: &str, version: &str) -> Result<()> {
    let tools = layout::tools();
    let installed = cmd::output(command(tools.join("bin").join(name)).arg("--version"));
    if installed.is_ok_and(|found| found.split_whitespace().any(|word| word == version)) {
        return Ok(());
    }
    eprintln!("==> building {name} {version} into {} (about a minute, once)", tools.display());
    let build_dir = tools.join("build");
    cmd::run(
        cmd::cargo("install", &build_dir)
            .args([name, "--version", version, "--force", "--debug", "--root"])
            .arg(&tools)
            .env("CARGO_PROFILE_DEV_DEBUG", "0"),
    )
    .with_context(|| format!("could not build {name}"))?;
    fs::remove_dir_all(&build_dir)
        .with_context(|| format!("failed to remove {}", build_dir.display()))
}

/// The PATH with this checkout's tools in front.
pub(crate) fn path_with_tools() -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let tools = layout::tools().join("bin");
    env::join_paths(std::iter::once(tools).chain(env::split_paths(&path)))
        .context("the path of this checkout contains a colon, so no PATH can lead to its tools")
}

/// The toolchain's own LLVM: its name ends in the compiler's version.
fn llvm_library(lib: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(lib).with_context(|| format!("failed to read {}", lib.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("failed to read {}", lib.display()))?;
        if entry.file_name().to_string_lossy().starts_with(LLVM_LIBRARY) {
            return Ok(entry.path());
        }
    }
    bail!(
        "{} has no {LLVM_LIBRARY}*: bpf-linker needs Rust {RUST} as rustup installs it, with a \
         shared LLVM (not every host platform has one)",
        lib.display()
    )
}

/// Makes `link` point to `target`, whatever it was before.
fn point(link: &Path, target: &Path) -> Result<()> {
    let make = || {
        if let Some(directory) = link.parent() {
            fs::create_dir_all(directory)?;
        }
        match fs::remove_file(link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        symlink(target, link)
    };
    make().with_context(|| format!("failed to link {} to {}", link.display(), target.display()))
}
