//! The rules of the house that no compiler checks: who may name what, and how long a file may
//! get. Why they are rules: ARCHITECTURE.md.
mod code;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

const LONGEST_FILE_LINES: usize = 500;

struct Rule {
    /// The files that the rule is about, by the start of their path.
    within: &'static [&'static str],
    /// The ones among them that are exempt.
    except: &'static [&'static str],
    /// Paths or identifiers that must not be named there.
    names: &'static [&'static str],
    says: &'static str,
}

const RULES: [Rule; 4] = [
    Rule {
        within: &["blocker-user/src/"],
        except: &["blocker-user/src/firewall/", "blocker-user/src/firewall.rs"],
        names: &["aya", "aya_log"],
        says: "only firewall/ knows aya",
    },
    Rule {
        within: &["blocker-user/src/"],
        except: &["blocker-user/src/store/", "blocker-user/src/store.rs"],
        names: &["rusqlite"],
        says: "only store/ knows SQLite",
    },
    Rule {
        within: &[
            "blocker-user/src/dovecot/",
            "blocker-user/src/dovecot.rs",
            "blocker-user/src/filter/",
            "blocker-user/src/filter.rs",
            "blocker-user/src/jail/",
            "blocker-user/src/jail.rs",
        ],
        except: &[],
        names: &["std::fs", "std::net::Tcp*", "SystemTime", "Instant", "tokio"],
        says: "dovecot/, filter/ and jail/ do no I/O and read no clock: what they need is an argument",
    },
    Rule {
        within: &[""],
        except: &[
            "blocker-ebpf/",
            "blocker-common/src/abi.rs",
            "blocker-user/src/firewall/xdp/batch.rs",
        ],
        names: &["unsafe"],
        says: "unsafe code stays in blocker-ebpf/, blocker-common/src/abi.rs and firewall/xdp/batch.rs",
    },
];

#[derive(PartialEq, Eq, Debug)]
struct Violation {
    file: String,
    line: usize,
    found: String,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.found, self.rule)
    }
}

/// Checks every Rust file of the checkout, and that each dependency is accounted for.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut violations = Vec::new();
    let mut files = Vec::new();
    rust_files(root, &mut files)?;
    files.sort();
    for file in &files {
        let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy().into_owned();
        let source = fs::read_to_string(file).with_context(|| format!("failed to read {name}"))?;
        violations.extend(violations_in(&name, &source));
    }
    let read = |name: &str| {
        fs::read_to_string(root.join(name)).with_context(|| format!("failed to read {name}"))
    };
    violations.extend(unexplained(&read("Cargo.toml")?, &read("ARCHITECTURE.md")?));
    if !violations.is_empty() {
        violations.iter().for_each(|violation| eprintln!("{violation}"));
        bail!("{} places break the rules of the house", violations.len());
    }
    eprintln!("    {} files are in order", files.len());
    Ok(())
}

fn rust_files(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = || format!("failed to read {}", directory.display());
    for entry in fs::read_dir(directory).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().with_context(failed)?.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                rust_files(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn violations_in(file: &str, source: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut add = |line, found: &str, rule: &str| {
        let (file, found, rule) = (file.to_owned(), found.to_owned(), rule.to_owned());
        violations.push(Violation { file, line, found, rule });
    };
    let code = code::names(source);
    for rule in RULES {
        let starts = |paths: &[&str]| paths.iter().any(|path| file.starts_with(path));
        if !starts(rule.within) || starts(rule.except) {
            continue;
        }
        for name in &code {
            if rule.names.iter().any(|forbidden| is_or_is_in(&name.path, forbidden)) {
                add(name.line, &name.path, rule.says);
            }
        }
    }
    let lines = source.lines().count();
    if lines > LONGEST_FILE_LINES {
        let found = format!("{lines} lines");
        add(LONGEST_FILE_LINES + 1, &found, "a file has one job: no more than 500 lines");
    }
    violations
}

/// Dependencies of the workspace without an entry in the list that says why they are there.
fn unexplained(manifest: &str, architecture: &str) -> Vec<Violation> {
    let mut dependencies = manifest
        .lines()
        .zip(1..)
        .skip_while(|(line, _)| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|(line, _)| !line.starts_with('['))
        .filter_map(|(line, number)| Some((line.split_once(" = ")?, number)))
        .filter(|((_, value), _)| !value.contains("path = "))
        .peekable();
    let found = |line, found: &str, rule: &str| Violation {
        file: "Cargo.toml".to_owned(),
        line,
        found: found.to_owned(),
        rule: rule.to_owned(),
    };
    if dependencies.peek().is_none() {
        return vec![found(1, "no dependencies", "[workspace.dependencies] was not found")];
    }
    dependencies
        .filter(|((name, _), _)| !architecture.contains(&format!("\n- `{name}`: ")))
        .map(|((name, _), line)| found(line, name, "ARCHITECTURE.md says why each is there"))
        .collect()
}

/// Whether the path names the forbidden one: `std::fs::File` is in `std::fs`,
/// `std::time::Instant::now` is in `Instant`, `std::net::TcpStream` in `std::net::Tcp*`.
fn is_or_is_in(path: &str, forbidden: &str) -> bool {
    let path: Vec<_> = path.split("::").collect();
    let forbidden: Vec<_> = forbidden.split("::").collect();
    path.windows(forbidden.len()).any(|window| {
        window.iter().zip(&forbidden).all(|(part, wanted)| match wanted.strip_suffix('*') {
            Some(start) => part.starts_with(start),
            None => part == wanted,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(file: &str, source: &str) -> Vec<String> {
        violations_in(file, source)
            .iter()
            .map(|violation| format!("{}:{}: {}", violation.file, violation.line, violation.found))
            .collect()
    }

    #[test]
    fn only_the_firewall_names_aya() {
        let source = "//! aya:: in words\nuse aya::maps::HashMap;\nlet maya::x = \"aya::\";\n";
        assert_eq!(
            broken("blocker-user/src/cli/run.rs", source),
            ["blocker-user/src/cli/run.rs:2: aya::maps::HashMap"]
        );
        assert!(broken("blocker-user/src/firewall/xdp.rs", source).is_empty());
        assert!(broken("blocker-common/src/abi.rs", source).is_empty());
    }

    #[test]
    fn parser_and_policy_cannot_reach_files_sockets_or_clocks_however_they_are_imported() {
        for source in [
            "use std::fs;",
            "use std::{\n    collections::HashMap,\n    fs::File,\n};",
            "use std::net::{IpAddr, TcpStream};",
            "fn f() { std::net::TcpListener::bind(a) }",
            "use std::time::{Duration, Instant};",
            "let now = std::time::SystemTime::now();",
            "tokio::spawn(x)",
        ] {
            for file in [
                "blocker-user/src/dovecot/rules.rs",
                "blocker-user/src/filter/text.rs",
                "blocker-user/src/jail/mod.rs",
            ] {
                assert_eq!(violations_in(file, source).len(), 1, "{source}");
            }
            assert!(broken("blocker-user/src/source/file.rs", source).is_empty());
        }
        assert!(
            broken("blocker-user/src/jail/mod.rs", "use std::net::IpAddr; offset(x)").is_empty()
        );
    }

    #[test]
    fn unsafe_is_found_wherever_it_does_not_belong() {
        assert_eq!(
            broken("tests/src/netns.rs", "\n\nunsafe { x() }"),
            ["tests/src/netns.rs:3: unsafe"]
        );
        assert!(broken("blocker-user/src/lib.rs", "#![forbid(unsafe_code)] // unsafe").is_empty());
        assert!(broken("blocker-common/src/abi.rs", "unsafe impl aya::Pod for Key {}").is_empty());
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let manifest = "[a]\n[workspace.dependencies]\nb = \"1\"\nc = \"1\"\nd = { path = \"d\" }\n[e]\nf = 1\n";
        let found = |list| unexplained(manifest, list).iter().map(ToString::to_string).collect();
        let found: Vec<String> = found("list\n- `b`: because.\n");
        assert_eq!(found, ["Cargo.toml:4: c: ARCHITECTURE.md says why each is there"]);
        assert_eq!(unexplained("nothing\n", "").len(), 1);
    }

    #[test]
    fn a_file_of_501_lines_is_too_long() {
        assert!(broken("a.rs", &"x\n".repeat(500)).is_empty());
        assert_eq!(broken("a.rs", &"x\n".repeat(501)), ["a.rs:501: 501 lines"]);
    }
}
