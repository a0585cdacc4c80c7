//! What is in the packages.

use std::process::Output;

use anyhow::{Result, ensure};
use blocker_tests::{
    needs::packages,
    process::{command, output, run},
};
use libtest_mimic::Trial;

use crate::{PACKAGES, trial};

/// What a .deb has and an .rpm has elsewhere, or not at all.
const DEBS_OWN: [&str; 2] = ["copyright", "changelog.Debian"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("lintian_finds_nothing_in_the_deb", PACKAGES, lintian),
        trial("the_program_needs_no_library", PACKAGES, static_program),
        trial("the_rpm_has_what_the_deb_has", PACKAGES, rpm),
        trial("the_completions_are_in_the_shells_language", PACKAGES, completions),
    ]
}

fn lintian() -> Result<()> {
    let mut lintian = command("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning,info", "--display-info"]);
    let Output { status, stdout, stderr } = output(lintian.arg(packages().join("doveblock.deb")))?;
    let said = [stdout, stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    ensure!(status.success(), "{said}");
    Ok(())
}

fn static_program() -> Result<()> {
    let dir = tempfile::tempdir()?;
    run(command("dpkg-deb")
        .arg("--extract")
        .arg(packages().join("doveblock.deb"))
        .arg(dir.path()))?;
    let program = dir.path().join("usr/bin/doveblock");
    let headers = run(command("readelf").args(["--program-headers", "--dynamic"]).arg(&program))?;
    ensure!(!headers.contains("INTERP") && !headers.contains("(NEEDED)"), "{headers}");
    let version = run(command(&program.to_string_lossy()).arg("--version"))?;
    ensure!(version.starts_with("doveblock "), "{version}");
    let built = run(command(&program.to_string_lossy()).args(["check", "--print-options"]))?;
    ensure!(built.starts_with("# Configuration"));
    Ok(())
}

/// But for what belongs to one way of packaging.
fn rpm() -> Result<()> {
    let deb = run(command("dpkg-deb").arg("--contents").arg(packages().join("doveblock.deb")))?;
    let rpm = ask_rpm("--list")?;
    let in_rpm: Vec<&str> = rpm.lines().map(name).collect();
    for line in deb.lines().filter(|line| line.starts_with('-')) {
        let Some((_, path)) = line.split_once(" ./") else { continue };
        let is_debs_own = path.contains("lintian") || DEBS_OWN.contains(&name(path));
        ensure!(is_debs_own || in_rpm.contains(&name(path)), "{path} is not in the rpm: {rpm}");
    }
    let scripts = ask_rpm("--scripts")?;
    ensure!(scripts.contains("useradd") && scripts.contains("doveblock detach"), "{scripts}");
    let configuration = ask_rpm("--configfiles")?;
    ensure!(configuration.trim() == "/etc/doveblock/doveblock.conf", "{configuration}");
    Ok(())
}

fn ask_rpm(question: &str) -> Result<String> {
    let mut rpm = command("rpm");
    rpm.args(["--query", "--nosignature", question, "--package"]);
    run(rpm.arg(packages().join("doveblock.rpm")))
}

/// The last part of a path, whether packed or not.
fn name(path: &str) -> &str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.strip_suffix(".gz").unwrap_or(name)
}

fn completions() -> Result<()> {
    let dir = packages().join("completions");
    run(command("bash").arg("-n").arg(dir.join("doveblock.bash")))?;
    for file in ["doveblock.bash", "_doveblock", "doveblock.fish"] {
        let script = std::fs::read_to_string(dir.join(file))?;
        for verb in ["run", "regex", "detach", "completions"] {
            ensure!(script.contains(verb), "{file} does not know {verb}");
        }
    }
    Ok(())
}
