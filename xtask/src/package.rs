//! `cargo xtask package`: a .deb and an .rpm of the static program, with its manual, its
//! completions and the licences of all that is linked into it.
mod licences;
mod root;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    build, cmd,
    layout::{self, PACKAGED_TARGET},
    packages, setup,
};

/// The shells, and what each wants its file to be called.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "doveblock.bash"), ("zsh", "_doveblock"), ("fish", "doveblock.fish")];
/// What the static program is built for, and where its maker runs.
const IS_PACKAGED_HERE: bool = cfg!(all(target_arch = "x86_64", target_os = "linux"));
/// Of the package that the tests upgrade to.
const NEXT_REVISION: &str = "2";

struct Packages {
    deb: PathBuf,
    rpm: PathBuf,
}

pub(crate) fn task() -> Result<ExitCode> {
    let Packages { deb, rpm } = build()?;
    println!("built {}\nbuilt {}", deb.display(), rpm.display());
    Ok(ExitCode::SUCCESS)
}

/// For the tests: the packages, the one after them, and a Debian to install them in. Where that
/// cannot be had, the tests that need it say so and are skipped.
pub(crate) fn for_tests() -> Result<()> {
    if !IS_PACKAGED_HERE {
        return Ok(());
    }
    build()?;
    let next = layout::package().join("next.deb");
    cmd::run(cargo_deb()?.args(["--deb-revision", NEXT_REVISION, "--output"]).arg(next))?;
    if let Err(error) = root::prepare() {
        eprintln!("warning: {error:#}");
    }
    Ok(())
}

fn build() -> Result<Packages> {
    ensure!(IS_PACKAGED_HERE, "packages are made for x86-64, and on it");
    packages::install_for_packaging();
    setup::packaging()?;
    let binary = build::packaged()?;
    let dir = layout::package();
    fs::create_dir_all(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
    // Symbols are most of it, and go into no package.
    let mut strip = cmd::command("strip");
    strip.args(["--remove-section=.comment", "-o"]).arg(dir.join("doveblock")).arg(&binary);
    cmd::run(&mut strip)?;
    documents(&binary, &dir)?;
    licences::gather(&dir)?;

    eprintln!("==> making the packages");
    let packages = Packages { deb: dir.join("doveblock.deb"), rpm: dir.join("doveblock.rpm") };
    cmd::run(cargo_deb()?.arg("--output").arg(&packages.deb))?;
    cmd::run(cargo_generate_rpm()?.arg("--output").arg(&packages.rpm))?;
    Ok(packages)
}

/// What the program writes about itself.
fn documents(binary: &Path, dir: &Path) -> Result<()> {
    eprintln!("==> writing the manual and the completions");
    let man = dir.join("man");
    if man.exists() {
        // A page of a verb that is gone would go into the package.
        fs::remove_dir_all(&man).with_context(|| format!("failed to empty {}", man.display()))?;
    }
    cmd::run(cmd::command(binary).args(["man", "--dir"]).arg(&man))?;
    let completions = dir.join("completions");
    fs::create_dir_all(&completions)?;
    for (shell, file) in COMPLETIONS {
        let script = cmd::output(cmd::command(binary).args(["completions", shell]))?;
        fs::write(completions.join(file), script + "\n")
            .with_context(|| format!("failed to write {file}"))?;
    }
    Ok(())
}

/// A deb of what is built already.
fn cargo_deb() -> Result<Command> {
    let mut deb = packager("deb")?;
    deb.args(["--quiet", "--package", "blocker-user", "--no-build", "--target", PACKAGED_TARGET]);
    Ok(deb)
}

fn cargo_generate_rpm() -> Result<Command> {
    let mut rpm = packager("generate-rpm")?;
    rpm.args(["--package", "blocker-user", "--target", PACKAGED_TARGET]);
    // A static program requires no library.
    rpm.args(["--auto-req", "disabled"]);
    Ok(rpm)
}

fn packager(subcommand: &str) -> Result<Command> {
    let mut cargo = cmd::cargo_plain(subcommand);
    cargo.env("PATH", setup::path_with_tools()?).env("CARGO_TARGET_DIR", layout::target());
    Ok(cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changelog_of_the_deb_begins_with_this_version() {
        let changelog = fs::read_to_string(layout::root().join("packaging/deb/changelog")).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert!(changelog.starts_with(&format!("doveblock ({version}-1) ")), "{changelog}");
    }

    #[test]
    fn the_rpm_has_every_page_and_script_that_the_deb_has() {
        let manifest = layout::root().join("blocker-user/Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap();
        let (deb, rpm) = manifest.split_once("[package.metadata.generate-rpm]").unwrap();
        let sources =
            deb.lines().filter_map(|line| line.trim().strip_prefix("[\"")?.split('"').next());
        let debs_own = |source: &&str| !source.starts_with("../packaging/deb/");
        let missing: Vec<_> =
            sources.filter(debs_own).filter(|source| !rpm.contains(source)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
