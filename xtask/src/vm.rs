//! `cargo xtask vm`: doveblock on Debian's own kernels, each in a virtual machine of its own.
//! Prints what libtest would print, one test a kernel, so that `cargo xtask test` can count
//! it. Needs QEMU and no more: not KVM, not root, and no network in the machine.
mod debian;
mod initramfs;
mod machine;

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{build, cmd, layout, packages};
pub(crate) use debian::mirror;
use debian::{Apt, Kernel};
use machine::Outcome;

/// The lines of Debian's kernels that are tried. The first that passes is the oldest kernel
/// that the README promises.
const MATRIX: [&str; 4] = ["5.10", "6.1", "6.12", NEWEST];
/// Whatever is the newest that the suites have.
const NEWEST: &str = "newest";

/// How long a machine may take: some three minutes where nothing else runs.
const PATIENCE: Duration = Duration::from_secs(600);

/// doveblock's place in the machine.
const DAEMON: &str = "bin/doveblock";

/// Where Debian's libxdp has its programs.
const LIBXDP: &str = "/usr/lib/x86_64-linux-gnu/bpf";

/// What has become of a kernel.
enum Verdict {
    Passed(Vec<String>),
    Failed(String),
    Skipped(String),
}

/// The task as a process of its own, for who counts what it prints.
pub(crate) fn as_command() -> Result<Command> {
    let mut task = cmd::command(env::current_exe().context("where is this program?")?);
    task.arg("vm");
    Ok(task)
}

pub(crate) fn task(only: Option<&str>) -> Result<ExitCode> {
    if let Some(name) = only.filter(|name| !MATRIX.contains(name)) {
        bail!("there is no kernel {name:?} in the matrix; there is {}", MATRIX.join(", "));
    }
    build::both_halves()?;
    packages::install();
    let wanted: Vec<&str> =
        MATRIX.into_iter().filter(|name| only.is_none_or(|only| only == *name)).collect();

    let ready = prepare();
    println!("\nrunning {} tests", wanted.len());
    let [mut passed, mut failed, mut skipped] = [0_usize; 3];
    let started = Instant::now();
    for name in &wanted {
        let verdict = match &ready {
            Ok(Ready { apt: Ok(apt), userland }) => try_kernel(name, apt, userland),
            Ok(Ready { apt: Err(reason), .. }) => Verdict::Skipped(reason.clone()),
            Err(error) => Verdict::Failed(format!("{error:#}")),
        };
        match verdict {
            Verdict::Passed(details) => {
                passed += 1;
                println!("test linux_{name} ... ok");
                details.iter().for_each(|detail| println!("    {detail}"));
            }
            Verdict::Failed(why) => {
                failed += 1;
                println!("test linux_{name} ... FAILED");
                println!("    {why}");
            }
            Verdict::Skipped(reason) => {
                skipped += 1;
                println!("test linux_{name} ... ignored, {reason}");
            }
        }
    }
    println!(
        "\ntest result: {}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; {} \
         filtered out; finished in {:.2}s",
        if failed == 0 { "ok" } else { "FAILED" },
        MATRIX.len() - wanted.len(),
        started.elapsed().as_secs_f64()
    );
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What all kernels share.
struct Ready {
    /// Or why there are no kernels to be had.
    apt: Result<Apt, String>,
    userland: Vec<initramfs::Entry>,
}

fn prepare() -> Result<Ready> {
    fs::create_dir_all(layout::vm()).context("failed to create target/vm")?;
    let apt = machine::missing().map_or_else(
        || Apt::open(&layout::vm().join("apt")).map_err(|error| on_one_line(&error)),
        Err,
    );
    Ok(Ready { userland: if apt.is_ok() { userland()? } else { Vec::new() }, apt })
}

/// The programs of the machine: ours, and the tools that they run.
fn userland() -> Result<Vec<initramfs::Entry>> {
    eprintln!("==> building what runs in the machines");
    cmd::run(
        cmd::cargo("build", &layout::target())
            .args(["--package", "blocker-tests", "--bin", "guest"])
            .env(layout::OBJECT_VAR, layout::object()),
    )?;
    let packet_suite = build::test_binary("blocker-tests", "kernel")?;
    let ours =
        [("init", layout::guest()), ("bin/kernel", packet_suite), (DAEMON, layout::binary())];
    let mut programs = Vec::new();
    for (name, binary) in &ours {
        // Symbols are most of them, and every byte has to go through an emulated machine.
        let stripped = layout::vm().join(name.replace('/', "-"));
        cmd::output(cmd::command("strip").arg("-o").arg(&stripped).arg(binary))?;
        programs.push(((*name).to_owned(), stripped));
    }
    for tool in ["ip", "nsenter", "setpriv", "insmod"] {
        programs.push((format!("bin/{tool}"), machine::tool(tool)?));
    }
    // Without libxdp's tools its dispatcher is not tried, and the machine says so.
    let loader = machine::tool("xdp-loader").ok();
    programs.extend(loader.iter().map(|path| ("bin/xdp-loader".to_owned(), path.clone())));
    let mut entries = initramfs::programs(&programs)?;
    if loader.is_some() {
        for name in ["xdp-dispatcher.o", "xdpfilt_alw_all.o", "xdpfilt_dny_all.o"] {
            entries.push(initramfs::Entry::copy(&Path::new(LIBXDP).join(name))?);
        }
    }
    Ok(entries)
}

fn try_kernel(name: &str, apt: &Apt, userland: &[initramfs::Entry]) -> Verdict {
    let started = Instant::now();
    let directory = layout::vm().join(format!("linux_{name}"));
    // What cannot be had is skipped. From there on there are no excuses.
    let version = match fetch(name, apt, &directory) {
        Ok(version) => version,
        Err(error) => return Verdict::Skipped(on_one_line(&error)),
    };
    let kernel = match Kernel::unpack(version, &directory) {
        Ok(kernel) => kernel,
        Err(error) => return Verdict::Failed(format!("{error:#}")),
    };
    eprintln!("==> booting {} under QEMU", kernel.release);
    let log = layout::vm().join(format!("linux_{name}.log"));
    let outcome = boot(&kernel, userland, &log);
    let of = format!(
        "{} (Debian {}), {:.0} s, {}",
        kernel.release,
        kernel.version,
        started.elapsed().as_secs_f64(),
        log.display()
    );
    match outcome {
        Ok(Outcome { details, failures }) if failures.is_empty() => {
            Verdict::Passed([vec![of], details].concat())
        }
        Ok(Outcome { failures, .. }) => {
            Verdict::Failed(format!("{of}\n    {}", failures.join("\n    ")))
        }
        Err(error) => Verdict::Failed(format!("{of}\n    {error:#}")),
    }
}

/// Which version it is, once it is here.
fn fetch<'a>(name: &str, apt: &'a Apt, directory: &Path) -> Result<&'a str> {
    let is_of = |version: &str, line: &str| version.starts_with(&format!("{line}."));
    let version = apt.newest(|version| match name {
        NEWEST => !MATRIX.iter().any(|line| is_of(version, line)),
        line => is_of(version, line),
    });
    let version = version.with_context(|| {
        format!("no suite of {} has that kernel ({})", apt.mirror(), apt.versions().join(", "))
    })?;
    apt.fetch(version, directory)?;
    Ok(version)
}

fn boot(kernel: &Kernel, userland: &[initramfs::Entry], log: &Path) -> Result<Outcome> {
    let archive = layout::vm().join("initramfs.cpio");
    let modules = kernel.modules(&["virtio_pci", "virtio_net", "veth", "8021q", "bonding"])?;
    ensure!(!modules.is_empty(), "{} has no modules for its network", kernel.release);
    let modules = modules.into_iter().enumerate().map(|(at, module)| {
        initramfs::Entry::file(&format!("modules/{at:02}-{}.ko", module.name), module.image)
    });
    let entries: Vec<_> = userland.iter().cloned().chain(modules).collect();
    initramfs::write(&archive, &entries)?;
    machine::boot(&kernel.image, &archive, log, PATIENCE)
}

/// libtest's reasons are lines.
fn on_one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}
