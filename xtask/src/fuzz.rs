//! `cargo xtask fuzz`: libFuzzer on whatever reads packets. The flags are those of cargo-fuzz,
//! which is not needed, and neither is a nightly compiler.
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};

use crate::{cmd, layout, setup};

/// Coverage of every branch, and what comparisons compare, so that libFuzzer can guess it.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Finds something or ends after so many seconds.
pub(crate) fn packet(seconds: u32) -> Result<()> {
    setup::rust()?;
    ensure!(
        env::var_os("CXX").is_some() || cmd::find("c++", &[]).is_some(),
        "libFuzzer is C++ and needs a compiler: apt-get install g++"
    );
    let fuzz = layout::root().join("fuzz");
    let corpus = fuzz.join("corpus/packet");
    let artifacts = fuzz.join("artifacts/packet");
    for directory in [&corpus, &artifacts] {
        fs::create_dir_all(directory)
            .with_context(|| format!("creating {}", directory.display()))?;
    }
    let host = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let mut cargo = cmd::cargo("run", &fuzz.join("target"));
    cargo
        .arg("--manifest-path")
        .arg(fuzz.join("Cargo.toml"))
        // A target by name keeps the flags from build scripts, which they would not link.
        .args(["--release", "--target", &host, "--bin", "packet", "--"])
        .arg(corpus)
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([&format!("-max_total_time={seconds}"), "-max_len=256", "-print_final_stats=1"])
        .env("RUSTFLAGS", format!("{} --cfg fuzzing", COVERAGE.join(" ")));
    cmd::run(&mut cargo).context("the fuzzer found something, or could not start")?;
    println!("fuzz: nothing found in {seconds} s");
    Ok(())
}
