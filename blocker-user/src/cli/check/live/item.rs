//! One thing that was looked at, and what was found.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::output;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Verdict {
    #[serde(rename = "ok")]
    Ok,
    /// It may be so by intention.
    #[serde(rename = "warning")]
    Warning,
    /// With this it does not ban, or not everybody.
    #[serde(rename = "fault")]
    Fault,
    /// It could not be looked at.
    #[serde(rename = "not known")]
    Unknown,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fault => "FAULT",
            Self::Unknown => "not known",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Item {
    /// One of the words that docs/troubleshooting.md explains.
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// What is so.
    pub(super) what: String,
    /// What to do about it; `null` where there is nothing to do.
    pub(super) todo: Option<String>,
}

impl Item {
    pub(super) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, what: what.into(), todo: None }
    }

    pub(super) fn warning(
        check: &'static str,
        what: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self { check, verdict: Verdict::Warning, what: what.into(), todo: Some(todo.into()) }
    }

    pub(super) fn fault(
        check: &'static str,
        what: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self { check, verdict: Verdict::Fault, what: what.into(), todo: Some(todo.into()) }
    }

    pub(super) fn unknown(
        check: &'static str,
        what: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self { check, verdict: Verdict::Unknown, what: what.into(), todo: Some(todo.into()) }
    }
}

/// For people: an item a line, what to do below it, and the sum of it.
pub(super) fn text(items: &[Item]) -> String {
    let width = items.iter().map(|item| item.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Item { check, verdict, what, todo } in items {
        let verdict = verdict.name();
        // Writing to a string cannot fail. Names of files and lines are others' text.
        let _infallible =
            writeln!(text, "{verdict:<9}  {check:<width$}  {}", output::visible(what));
        if let Some(todo) = todo {
            let todo = output::visible(todo);
            let _infallible = writeln!(text, "{:<9}  {:<width$}  → {todo}", "", "");
        }
    }
    let count = |wanted| items.iter().filter(|item| item.verdict == wanted).count();
    let _infallible = writeln!(
        text,
        "\n{} ok, {} warnings, {} faults, {} not known",
        count(Verdict::Ok),
        count(Verdict::Warning),
        count(Verdict::Fault),
        count(Verdict::Unknown)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::{Item, text};

    #[test]
    fn says_what_is_so_what_to_do_and_the_sum() {
        let items = [
            Item::ok("daemon", "it runs"),
            Item::fault("ports", "1143 is not guarded\u{1b}[2J", "put it into port"),
        ];
        let expected = "ok         daemon  it runs\n\
                        FAULT      ports   1143 is not guarded\\u{1b}[2J\n                   \
                        → put it into port\n\n\
                        1 ok, 0 warnings, 1 faults, 0 not known\n";
        assert_eq!(text(&items), expected);
    }
}
