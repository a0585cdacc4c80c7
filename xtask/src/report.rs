//! What the test binaries print goes in, a count and the reasons go out. Reads the words of
//! libtest and of libtest-mimic, and takes a suite at its result lines only: one that ends
//! without them has failed, whatever its exit code.
use std::fmt;

#[derive(Default)]
pub(crate) struct Report {
    deny_skipped: bool,
    suites: Vec<Suite>,
    /// Steps that are no tests: they fail the run, and are not counted.
    failed_steps: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Suite {
    name: String,
    count: Count,
    started: u64,
    finished: u64,
    failures: Vec<String>,
    skips: Vec<String>,
    /// The test whose outcome stands on a later line, because it printed something itself.
    pending: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Suite {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Takes a line of output, as it came.
    pub(crate) fn line(&mut self, line: &str) {
        let line = without_escapes(line);
        let line = line.trim_end();
        if let Some(count) = result_line(line) {
            self.finished += 1;
            self.count = self.count + count;
            self.pending = None;
        } else if is_start(line) {
            self.started += 1;
        } else if let Some((name, outcome)) =
            line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        {
            self.pending = None;
            self.outcome(name.trim_end(), outcome);
        } else if let Some(name) = self.pending.take() {
            self.outcome(&name, line);
        }
    }

    fn outcome(&mut self, test: &str, outcome: &str) {
        match outcome {
            "ok" => {}
            "FAILED" => self.failures.push(test.to_owned()),
            "ignored" => self.skips.push(format!("{test}: no reason given")),
            _ => match outcome.strip_prefix("ignored, ") {
                Some(reason) => self.skips.push(format!("{test}: {reason}")),
                None => self.pending = Some(test.to_owned()),
            },
        }
    }

    /// The suite's process has ended, as `status` says, with success or without.
    pub(crate) fn end(&mut self, success: bool, status: &str) {
        if self.finished < self.started {
            self.fail(&format!("died without a result ({status})"));
        } else if !success && self.count.failed == 0 {
            self.fail(&format!("failed outside its tests ({status})"));
        }
    }

    /// A failure of the suite as such counts as one test, so that no count hides it.
    pub(crate) fn fail(&mut self, why: &str) {
        self.count.failed += 1;
        self.failures.push(why.to_owned());
    }
}

impl Report {
    pub(crate) fn new(deny_skipped: bool) -> Self {
        Self { deny_skipped, ..Self::default() }
    }

    pub(crate) fn add(&mut self, suite: Suite) {
        self.suites.push(suite);
    }

    pub(crate) fn step_failed(&mut self, step: &str) {
        self.failed_steps.push(step.to_owned());
    }

    pub(crate) fn is_success(&self) -> bool {
        let Count { passed, failed, .. } = self.total();
        failed == 0 && passed > 0 && self.failed_steps.is_empty() && !self.is_denied()
    }

    fn is_denied(&self) -> bool {
        self.deny_skipped && self.total().skipped > 0
    }

    fn total(&self) -> Count {
        self.suites.iter().fold(Count::default(), |total, suite| total + suite.count)
    }
}

impl fmt::Display for Report {
    /// Ends with the total, alone on its line and without a line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.suites.iter().map(|suite| suite.name.len()).max().unwrap_or_default();
        for Suite { name, count, .. } in &self.suites {
            writeln!(f, "{name:width$}  {count}")?;
        }
        for Suite { name, skips, .. } in &self.suites {
            for skip in skips {
                writeln!(f, "skipped: {name}: {skip}")?;
            }
        }
        for Suite { name, count, failures, .. } in self.suites.iter().filter(|s| s.count.failed > 0)
        {
            for failure in failures {
                writeln!(f, "FAILED: {name}: {failure}")?;
            }
            if failures.is_empty() {
                writeln!(f, "FAILED: {name}: {} tests", count.failed)?;
            }
        }
        for step in &self.failed_steps {
            writeln!(f, "FAILED: {step}")?;
        }
        let total = self.total();
        if self.is_denied() {
            writeln!(f, "FAILED: tests were skipped, and --deny-skipped was given")?;
        }
        if total.passed + total.failed == 0 {
            writeln!(f, "FAILED: no test ran")?;
        }
        write!(f, "{total}")
    }
}

impl std::ops::Add for Count {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; …`, at the end of a line too: what a test
/// prints without a line end comes in front of it.
fn result_line(line: &str) -> Option<Count> {
    let (_, result) = line.split_once("test result: ")?;
    let counts = result.strip_prefix("ok. ").or_else(|| result.strip_prefix("FAILED. "))?;
    let mut parts = counts.split("; ");
    let mut number = |of: &str| parts.next()?.strip_suffix(of)?.trim_end().parse().ok();
    Some(Count {
        passed: number("passed")?,
        failed: number("failed")?,
        skipped: number("ignored")?,
    })
}

/// `running 3 tests`
fn is_start(line: &str) -> bool {
    let number = line
        .strip_prefix("running ")
        .and_then(|rest| rest.strip_suffix(" tests").or_else(|| rest.strip_suffix(" test")));
    number.is_some_and(|number| number.parse::<u64>().is_ok())
}

/// Without the colours that a terminal would be sent: `ESC [ … letter`.
fn without_escapes(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            kept.push(c);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(output: &str, success: bool) -> Suite {
        let mut suite = Suite::new("e2e");
        output.lines().for_each(|line| suite.line(line));
        suite.end(success, "exit status: 101");
        suite
    }

    fn report(suites: impl IntoIterator<Item = Suite>) -> Report {
        Report { suites: suites.into_iter().collect(), ..Report::default() }
    }

    const GOOD: &str = "\nrunning 2 tests\ntest a ... ok\ntest b   ... ignored, needs root\n\n\
        test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.1s";

    #[test]
    fn results_are_added_up_over_suites_and_their_binaries() {
        let mut report = report([suite(&format!("{GOOD}\n{GOOD}"), true), suite(GOOD, true)]);
        let text = report.to_string();
        assert_eq!(text.lines().last(), Some("3 passed, 0 failed, 3 skipped"));
        assert!(text.contains("skipped: e2e: b: needs root\n"), "{text}");
        assert!(report.is_success());
        report.deny_skipped = true;
        assert!(!report.is_success());
        assert!(report.to_string().contains("FAILED: tests were skipped"));
    }

    #[test]
    fn a_failed_test_is_named() {
        let output = "running 1 test\ntest a::b ... FAILED\ntest result: FAILED. 0 passed; 1 failed; \
            0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let report = report([suite(output, false), suite(GOOD, true)]);
        let text = report.to_string();
        assert!(text.ends_with("FAILED: e2e: a::b\n1 passed, 1 failed, 1 skipped"), "{text}");
        assert!(!report.is_success());
    }

    #[test]
    fn colours_and_a_tests_own_output_do_not_hide_an_outcome() {
        let output = "running 2 tests\ntest a  ... one line\nanother\nignored, no Dovecot\n\
            test b ... \u{1b}[32mok\u{1b}[0m\nunendedtest result: \u{1b}[32mok\u{1b}[0m. 1 passed; \
            0 failed; 1 ignored; 0 measured; 0 filtered out";
        let suite = suite(output, true);
        assert_eq!(suite.count, Count { passed: 1, failed: 0, skipped: 1 });
        assert_eq!(suite.skips, ["a: no Dovecot"]);
    }

    #[test]
    fn a_suite_that_dies_has_failed_even_with_exit_code_zero() {
        for success in [true, false] {
            let report =
                report([suite(GOOD, true), suite("running 4 tests\ntest a ... ok", success)]);
            assert_eq!(report.total(), Count { passed: 1, failed: 1, skipped: 1 });
            assert!(report.to_string().contains("died without a result"));
        }
        assert_eq!(suite("", false).count.failed, 1, "as one that does not compile has");
    }

    #[test]
    fn nothing_that_ran_is_no_success() {
        let nothing = GOOD.replace("1 passed", "0 passed").replace("1 ignored", "0 ignored");
        assert!(!report([suite(&nothing, true)]).is_success());
        assert!(!report([]).is_success());
    }

    #[test]
    fn a_failed_step_fails_the_run_and_is_not_counted() {
        let mut report = report([suite(GOOD, true)]);
        report.step_failed("lint: clippy");
        assert!(!report.is_success());
        assert!(
            report.to_string().ends_with("FAILED: lint: clippy\n1 passed, 0 failed, 1 skipped")
        );
    }

    #[test]
    fn words_that_only_look_like_results_are_no_results() {
        for line in
            ["test result: unknown", "test result: ok. some passed; 0 failed", "running away"]
        {
            assert_eq!(result_line(line), None);
            assert!(!is_start(line));
        }
    }
}
