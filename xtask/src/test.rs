//! `cargo xtask test`: every suite to its end, then the lints, then one count.
use std::{
    io::{self, Read as _, Write},
    process::{Command, ExitCode, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    build, cmd, layout, lint, package, packages,
    report::{Report, Suite},
    setup, vm,
};

/// Packages with tests that run on the host. Unit, integration and doc tests of each.
const ON_THE_HOST: [&str; 3] = ["blocker-common", "blocker-user", "xtask"];
/// Drives the built daemon, as root.
const END_TO_END: &str = "blocker-tests";
/// How the names of those tests begin that install what is packaged.
const PACKAGES: &str = "package";
/// Debian's kernels, one test each.
const VIRTUAL_MACHINES: &str = "vm";

/// How long output may still come in when its process has ended. A daemon that a test left
/// behind keeps the pipe open for ever.
const AFTER_THE_END: Duration = Duration::from_secs(2);

pub(crate) fn all(filter: Option<&str>, deny_skipped: bool) -> Result<ExitCode> {
    setup::tools()?;
    packages::install();
    let built = build::both_halves();

    let mut report = Report::new(deny_skipped);
    for package in ON_THE_HOST {
        let mut tests = cargo_test(package, filter);
        // Without an object the daemon's tests still run, on an empty program.
        if built.is_ok() {
            tests.env(layout::OBJECT_VAR, layout::object());
        }
        report.add(suite(package, &mut tests, &mut io::stdout()));
    }
    match &built {
        Ok(binary) => {
            // They take minutes; a filter is for the quick turn while writing.
            if filter.is_none_or(|filter| filter.starts_with(PACKAGES)) {
                if let Err(error) = package::for_tests() {
                    report.step_failed(&format!("making the packages: {error:#}"));
                }
            }
            let mut tests = cargo_test(END_TO_END, filter);
            tests.env(layout::OBJECT_VAR, layout::object()).env(layout::BINARY_VAR, binary);
            report.add(suite(END_TO_END, &mut tests, &mut io::stdout()));
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            let mut suite = Suite::new(END_TO_END);
            suite.fail("not run, because the build failed");
            report.add(suite);
        }
    }
    if filter.is_none() {
        report.add(suite(VIRTUAL_MACHINES, &mut vm::as_command()?, &mut io::stdout()));
        for failed in lint::all() {
            report.step_failed(&format!("lint: {failed}"));
        }
    }

    println!("\n==> summary\n{report}");
    Ok(if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo_test(package: &str, filter: Option<&str>) -> Command {
    let mut cargo = cmd::cargo("test", &layout::target());
    cargo.args(["--no-fail-fast", "--package", package]);
    if let Some(filter) = filter {
        cargo.args(["--", filter]);
    }
    cargo
}

/// Runs a suite and shows its output as it comes.
fn suite(name: &str, command: &mut Command, shown: &mut impl Write) -> Suite {
    eprintln!("==> testing {name}");
    cmd::show(command);
    let mut suite = Suite::new(name);
    match watch(command, &mut suite, shown) {
        Ok((success, status)) => suite.end(success, &status),
        Err(error) => suite.fail(&format!("{error:#}")),
    }
    suite
}

fn watch(
    command: &mut Command,
    suite: &mut Suite,
    shown: &mut impl Write,
) -> Result<(bool, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| cmd::failed(command))?;
    let mut output = child.stdout.take().context("the child has no output")?;
    let (sender, chunks) = mpsc::channel::<Vec<u8>>();
    thread::spawn(move || {
        let mut buffer = vec![0; 8192];
        // In chunks and not in lines: the name of a slow test is shown while it runs.
        while let Ok(length @ 1..) = output.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });

    let mut line = Vec::new();
    let mut ended = None;
    loop {
        match chunks.recv_timeout(AFTER_THE_END) {
            Ok(chunk) => {
                shown.write_all(&chunk).and_then(|()| shown.flush())?;
                for byte in chunk {
                    if byte == b'\n' {
                        suite.line(&String::from_utf8_lossy(&line));
                        line.clear();
                    } else {
                        line.push(byte);
                    }
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) if ended.is_none() => ended = child.try_wait()?,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                eprintln!(
                    "warning: {} left a process behind that holds its output",
                    cmd::line(command)
                );
                break;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    suite.line(&String::from_utf8_lossy(&line));
    let status = child.wait().with_context(|| cmd::failed(command))?;
    Ok((status.success(), status.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: &str =
        "running 1 test\\ntest a ... ok\\ntest result: ok. 1 passed; 0 failed; 0 ignored\\n";

    fn of(script: &str) -> String {
        let mut report = Report::default();
        report.add(suite("shell", Command::new("sh").args(["-c", script]), &mut io::sink()));
        report.to_string()
    }

    #[test]
    fn a_suite_is_counted_from_what_its_process_prints() {
        assert!(of(&format!("printf '{PASSED}'")).ends_with("\n1 passed, 0 failed, 0 skipped"));
    }

    #[test]
    fn a_suite_that_exits_with_a_failure_after_its_result_has_failed() {
        let report = of(&format!("printf '{PASSED}'; exit 9"));
        assert!(report.contains("failed outside its tests (exit status: 9)"), "{report}");
        assert!(report.ends_with("\n1 passed, 1 failed, 0 skipped"), "{report}");
    }

    #[test]
    fn a_process_left_behind_does_not_hold_the_run_up() {
        let started = std::time::Instant::now();
        assert!(
            of(&format!("sleep 30 & printf '{PASSED}'")).ends_with("1 passed, 0 failed, 0 skipped")
        );
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_suite_that_cannot_be_started_has_failed() {
        let mut report = Report::default();
        report.add(suite("none", &mut Command::new("/nowhere/to/be/found"), &mut io::sink()));
        assert!(report.to_string().ends_with("0 passed, 1 failed, 0 skipped"));
    }
}
