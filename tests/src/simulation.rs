//! `doveblock simulate` as it is typed, and its JSON held against what is known.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    doveblock::binary,
    process::{command, line, output},
};

/// `doveblock simulate WORDS...` in `dir`, with a configuration of nothing but defaults, in UTC.
pub fn simulate_command(dir: &Path, words: &[&str]) -> Result<Command> {
    let binary = binary();
    ensure!(binary.is_file(), "{} is not built: use cargo xtask build", binary.display());
    let mut simulate = command(&binary.to_string_lossy());
    simulate.arg("simulate").args(words).current_dir(dir).env("TZ", "UTC");
    if !words.contains(&"--config") {
        let config = dir.join("defaults.conf");
        fs::write(&config, "[dovecot]\nenabled = true\n")?;
        simulate.arg("--config").arg(config);
    }
    Ok(simulate)
}

/// What it prints, and how it ends.
pub fn simulate_output(dir: &Path, words: &[&str]) -> Result<Output> {
    output(&mut simulate_command(dir, words)?)
}

/// What it found. It must end well.
pub fn simulate(dir: &Path, words: &[&str]) -> Result<Value> {
    let mut simulate = simulate_command(dir, words)?;
    report(simulate.args(["--format", "json"]))
}

/// The same of a log on its standard input.
pub fn simulate_input(dir: &Path, log: &Path, words: &[&str]) -> Result<Value> {
    let mut simulate = simulate_command(dir, &[&["-"], words].concat())?;
    report(simulate.args(["--format", "json"]).stdin(File::open(log)?))
}

fn report(simulate: &mut Command) -> Result<Value> {
    let Output { status, stdout, stderr } = output(simulate)?;
    let said = String::from_utf8_lossy(&stderr);
    ensure!(status.success(), "{}: {status}: {said}", line(simulate));
    serde_json::from_slice(&stdout).with_context(|| format!("{} printed no JSON", line(simulate)))
}

/// Where `found` is not as `wanted`. Of objects the fields in `wanted` are compared, of all else
/// everything.
#[must_use]
pub fn differences(found: &Value, wanted: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    compare("", found, wanted, &mut differences);
    differences
}

fn compare(at: &str, found: &Value, wanted: &Value, differences: &mut Vec<String>) {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            for (name, wanted) in wanted {
                let found = found.get(name).unwrap_or(&Value::Null);
                compare(&format!("{at}/{name}"), found, wanted, differences);
            }
        }
        (Value::Array(found), Value::Array(wanted)) if found.len() == wanted.len() => {
            for (index, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                compare(&format!("{at}/{index}"), found, wanted, differences);
            }
        }
        _ if found == wanted => {}
        _ => differences.push(format!("{at} is {found} and not {wanted}")),
    }
}

#[cfg(test)]
mod tests {
    use super::differences;
    use serde_json::json;

    #[test]
    fn what_is_not_asked_for_is_not_compared_and_everything_else_is() {
        let found = json!({"a": 1, "b": [{"c": 2, "d": 3}], "e": null});
        assert!(differences(&found, &json!({"b": [{"c": 2}], "e": null})).is_empty());
        let wanted = json!({"a": 2, "b": [{"c": 2}, {"c": 3}], "f": 1});
        assert_eq!(differences(&found, &wanted).len(), 3);
        assert_eq!(differences(&found, &json!({"b": [{"d": 4}]})), ["/b/0/d is 3 and not 4"]);
    }
}
