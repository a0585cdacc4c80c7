//! Whose code is in the program, and under which terms: a text of every licence file that comes
//! with what is linked, each once, under the names of those that have it.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    cmd,
    layout::{self, PACKAGED_TARGET},
};

const FILE: &str = "THIRD-PARTY-LICENSES";
/// How the names of files with licences begin.
const NAMES: [&str; 4] = ["LICENSE", "LICENCE", "COPYING", "NOTICE"];
/// Ours are in the copyright file.
const OURS: &str = "blocker-";

/// Linked by the compiler, which is no dependency.
const TOOLCHAIN: &str = "\
Besides, the program holds Rust's standard library (MIT OR Apache-2.0), compiler-rt and libunwind of
LLVM (Apache-2.0 WITH LLVM-exception), and the C library musl (MIT).
";

/// Writes the file, packed.
pub(super) fn gather(dir: &Path) -> Result<()> {
    let mut crates = Vec::new();
    // The kernel half is a part of the program, too.
    for (package, target) in
        [("blocker-user", PACKAGED_TARGET), ("blocker-ebpf", layout::BPF_TARGET)]
    {
        crates.extend(linked(package, target)?);
    }
    crates.sort();
    crates.dedup();
    let path = dir.join(FILE);
    fs::write(&path, document(&crates)?)
        .with_context(|| format!("failed to write {}", path.display()))?;
    // Without name and time, so that the same text is the same file.
    cmd::run(cmd::command("gzip").args(["-9", "--no-name", "--force"]).arg(&path))
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    terms: String,
    directory: String,
}

/// What cargo links into `package`: no build scripts' or tests' dependencies, no macros.
fn linked(package: &str, target: &str) -> Result<Vec<Crate>> {
    let mut tree = cmd::cargo_plain("tree");
    tree.args(["--locked", "--package", package, "--target", target]);
    tree.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]);
    let names: BTreeSet<(String, String)> =
        cmd::output(&mut tree)?.lines().filter_map(name_and_version).collect();
    let mut metadata = cmd::cargo_plain("metadata");
    metadata.args(["--locked", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&cmd::output(&mut metadata)?)?;
    let known = metadata["packages"].as_array().context("cargo names no packages")?;
    let mut crates = Vec::new();
    for package in known {
        let text = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
        let (name, version) = (text("name"), text("version"));
        if !names.contains(&(name.clone(), version.clone())) || name.starts_with(OURS) {
            continue;
        }
        let manifest = text("manifest_path");
        let directory = Path::new(&manifest).parent().context("a manifest without a place")?;
        let directory = directory.to_string_lossy().into_owned();
        let terms = text("license");
        ensure!(!terms.is_empty(), "{name} {version} does not say under which terms it is");
        crates.push(Crate { name, version, terms, directory });
    }
    ensure!(!crates.is_empty(), "cargo says that nothing is linked into {package}");
    Ok(crates)
}

/// From `serde v1.0.0` or `serde v1.0.0 (*)`.
fn name_and_version(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    Some((name.to_owned(), version.to_owned()))
}

fn document(crates: &[Crate]) -> Result<String> {
    let mut list = String::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Crate { name, version, terms, directory } in crates {
        list.push_str(&format!("    {name} {version} ({terms})\n"));
        for text in texts_in(Path::new(directory))? {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    if texts.is_empty() {
        bail!("none of the sources of what is linked holds a licence");
    }
    let mut document = format!(
        "The program doveblock holds code of these, under the terms named:\n\n{list}\n{TOOLCHAIN}"
    );
    for (text, names) in texts {
        let line = "=".repeat(78);
        document.push_str(&format!("\n{line}\n{}\n{line}\n\n{text}\n", names.join(", ")));
    }
    Ok(document)
}

fn texts_in(directory: &Path) -> Result<BTreeSet<String>> {
    let failed = || format!("failed to read {}", directory.display());
    let mut texts = BTreeSet::new();
    for entry in fs::read_dir(directory).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if NAMES.iter().any(|start| name.starts_with(start)) && entry.path().is_file() {
            let text = fs::read(entry.path()).with_context(failed)?;
            texts.insert(String::from_utf8_lossy(&text).replace('\r', "").trim().to_owned());
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_tree_names_a_crate_and_its_version() {
        let serde = ("serde".to_owned(), "1.0.2".to_owned());
        assert_eq!(name_and_version("serde v1.0.2 (*)"), Some(serde));
        assert_eq!(name_and_version(""), None);
    }

    #[test]
    fn a_text_that_two_have_is_there_once_under_both_names() {
        let dir = std::env::temp_dir().join(format!("xtask-licences-{}", std::process::id()));
        for name in ["a", "b"] {
            fs::create_dir_all(dir.join(name)).unwrap();
            fs::write(dir.join(name).join("LICENSE-MIT"), "do as you like\r\n").unwrap();
        }
        let of = |name: &str| Crate {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            terms: "MIT".to_owned(),
            directory: dir.join(name).to_string_lossy().into_owned(),
        };
        let document = document(&[of("a"), of("b")]).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(document.matches("do as you like").count(), 1, "{document}");
        assert!(document.contains("\na, b\n") && document.contains("    b 1.0.0 (MIT)\n"));
    }
}
