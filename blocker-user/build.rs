//! Puts the kernel program where `firewall::xdp` includes it from. `cargo xtask` builds the
//! program and names it in `DOVEBLOCK_BPF_OBJECT`; without that variable an empty file takes
//! its place, so that checks, unit tests and log replays need no BPF toolchain.
use std::{env, fs, path::PathBuf};

fn main() -> std::io::Result<()> {
    const OBJECT: &str = "DOVEBLOCK_BPF_OBJECT";
    println!("cargo::rerun-if-env-changed={OBJECT}");
    let out_dir = env::var_os("OUT_DIR").ok_or_else(|| std::io::Error::other("no OUT_DIR"))?;
    let target = PathBuf::from(out_dir).join("doveblock.bpf.o");
    match env::var_os(OBJECT) {
        Some(object) => {
            println!("cargo::rerun-if-changed={}", object.display());
            fs::copy(object, target)?;
        }
        None => fs::write(target, [])?,
    }
    Ok(())
}
