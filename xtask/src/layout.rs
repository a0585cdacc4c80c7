//! Where things are: every path and pinned version that the tasks share.
use std::path::{Path, PathBuf};

/// Builds both halves. aya 0.16 needs it, and it brings LLVM 22 along.
pub(crate) const RUST: &str = "1.98.0";
/// Must be able to use the LLVM of [`RUST`].
pub(crate) const BPF_LINKER: &str = "0.13.0";
/// The LLVM of [`RUST`], as a feature of bpf-linker and as the start of a file name in the
/// toolchain's `lib/`.
pub(crate) const LLVM_FEATURE: &str = "llvm-22";
pub(crate) const LLVM_LIBRARY: &str = "libLLVM.so.22.";

/// Makes the packages.
pub(crate) const CARGO_DEB: &str = "3.8.0";
pub(crate) const CARGO_GENERATE_RPM: &str = "0.21.1";

/// Static: what is packaged runs on every distribution.
pub(crate) const PACKAGED_TARGET: &str = "x86_64-unknown-linux-musl";
pub(crate) const BPF_TARGET: &str = "bpfel-unknown-none";
/// Names the kernel program for `blocker-user/build.rs`.
pub(crate) const OBJECT_VAR: &str = "DOVEBLOCK_BPF_OBJECT";
/// Names the built daemon for the end-to-end tests and the sandbox.
pub(crate) const BINARY_VAR: &str = "DOVEBLOCK_BIN";

pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Fixed, whatever `CARGO_TARGET_DIR` says: the paths below are documented.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// Apart from the host's, so that changing flags on one side rebuilds nothing on the other.
pub(crate) fn bpf_target_dir() -> PathBuf {
    target().join("bpf")
}

pub(crate) fn object() -> PathBuf {
    bpf_target_dir().join(BPF_TARGET).join("release/doveblock-ebpf")
}

/// The programs that the kernel half is measured with.
pub(crate) fn cost_object() -> PathBuf {
    bpf_target_dir().join(BPF_TARGET).join("release/cost-ebpf")
}

pub(crate) fn binary() -> PathBuf {
    target().join("release/doveblock")
}

pub(crate) fn static_binary() -> PathBuf {
    target().join(PACKAGED_TARGET).join("release/doveblock")
}

/// The packages, and what goes into them.
pub(crate) fn package() -> PathBuf {
    target().join("package")
}

pub(crate) fn sandbox() -> PathBuf {
    target().join("debug/sandbox")
}

/// The first process of the virtual machines.
pub(crate) fn guest() -> PathBuf {
    target().join("debug/guest")
}

/// Kernels, consoles and what else belongs to the virtual machines.
pub(crate) fn vm() -> PathBuf {
    target().join("vm")
}

/// Tools that were built for this checkout, in the shape of `cargo install --root`.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}
