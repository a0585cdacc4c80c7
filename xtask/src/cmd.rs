//! Running other programs: each is shown as it could be typed, sees the user's environment
//! rather than the one cargo made for xtask, and fails with a sentence that names it.
use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::layout;

/// A program with an environment that does not tell it that xtask was started by cargo.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_from_outer_cargo) {
            command.env_remove(name);
        }
    }
    match library_path_of_user() {
        Some(path) if !path.is_empty() => command.env("LD_LIBRARY_PATH", path),
        _ => command.env_remove("LD_LIBRARY_PATH"),
    };
    command
}

/// The pinned compiler's cargo in the workspace, with its artifacts under `target_dir`.
/// By way of `rustup run`, which works where the cargo on the PATH is a distribution's.
pub(crate) fn cargo(subcommand: &str, target_dir: &Path) -> Command {
    let mut cargo = cargo_plain(subcommand);
    cargo.arg("--locked").arg("--target-dir").arg(target_dir);
    cargo
}

/// As [`cargo`], for the subcommands that build nothing.
pub(crate) fn cargo_plain(subcommand: &str) -> Command {
    let mut cargo = command(rustup());
    cargo.args(["run", layout::RUST, "cargo", subcommand]).current_dir(layout::root());
    cargo
}

/// rustup by its usual place too: a login shell may not have it on the PATH yet.
pub(crate) fn rustup() -> PathBuf {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let usual = home.map(|home| home.join("bin"));
    find("rustup", usual.as_slice()).unwrap_or_else(|| "rustup".into())
}

/// The first executable file of that name on the PATH or in the directories after it.
pub(crate) fn find(program: &str, then: &[PathBuf]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(then.iter().cloned())
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Shows the command, runs it to its end with its output going where xtask's goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = line(command);
    run_as(command, &shown)
}

/// As [`run`], for a command that is easier to read as another one.
pub(crate) fn run_as(command: &mut Command, shown: &str) -> Result<()> {
    eprintln!("    $ {shown}");
    let status = command.status().with_context(|| format!("failed to run `{shown}`"))?;
    if !status.success() {
        bail!("failed to run `{shown}` ({status})");
    }
    Ok(())
}

/// What a command prints, without showing that it ran.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::piped()).output().with_context(|| failed(command))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} ({}): {}", failed(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

pub(crate) fn show(command: &Command) {
    eprintln!("    $ {}", line(command));
}

pub(crate) fn failed(command: &Command) -> String {
    format!("failed to run `{}`", line(command))
}

/// The command as a shell would take it, with the variables that were set for it.
pub(crate) fn line(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| match name.to_str()? {
        "LD_LIBRARY_PATH" => None,
        // Only ever set to find this checkout's tools first; in full it fills the screen.
        "PATH" => Some(format!("PATH={}/bin:$PATH", layout::tools().display())),
        name => Some(format!("{name}={}", quoted(value?))),
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=+:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Set by cargo and rustup for xtask (or able to move what is built to another place), and
/// wrong for everything that xtask starts. What a user sets for every cargo, such as
/// `CARGO_HOME` or a proxy, stays.
fn is_from_outer_cargo(name: &str) -> bool {
    const EXACT: [&str; 17] = [
        "CARGO",
        "CARGO_BIN_NAME",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_BUILD_TARGET_DIR",
        "CARGO_CRATE_NAME",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_DIR",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "RUSTUP_TOOLCHAIN_SOURCE",
        "RUST_RECURSION_COUNT",
        layout::OBJECT_VAR,
        layout::BINARY_VAR,
    ];
    EXACT.contains(&name) || name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_")
}

/// `LD_LIBRARY_PATH` without what cargo and rustup put in front of it for xtask.
fn library_path_of_user() -> Option<OsString> {
    let path = env::var_os("LD_LIBRARY_PATH")?;
    let of_xtask = env::current_exe().ok()?.parent()?.to_owned();
    let of_rustup = env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let kept = env::split_paths(&path).filter(|entry| {
        !entry.starts_with(&of_xtask)
            && !of_rustup.as_ref().is_some_and(|home| entry.starts_with(home))
    });
    env::join_paths(kept).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_could_be_typed() {
        let mut command = Command::new("cargo");
        command.args(["build", "-p", "it's"]).env("RUSTFLAGS", "-C a").env_remove("CARGO");
        assert_eq!(line(&command), r"RUSTFLAGS='-C a' cargo build -p 'it'\''s'");
    }

    #[test]
    fn what_cargo_set_for_xtask_goes_and_what_the_user_set_stays() {
        for name in ["CARGO", "CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "RUSTUP_TOOLCHAIN"] {
            assert!(is_from_outer_cargo(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "RUSTUP_HOME", "RUST_BACKTRACE", "PATH"] {
            assert!(!is_from_outer_cargo(name), "{name}");
        }
    }

    #[test]
    fn a_program_that_fails_is_named() {
        let error = run(&mut Command::new("/nowhere/to/be/found")).unwrap_err();
        assert!(format!("{error:#}").starts_with("failed to run `/nowhere/to/be/found`"));
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().ends_with("(exit status: 3): why"), "{error}");
    }
}
