//! What is wrong with a configuration, and what to do about it. A fault is shown with the line
//! it is about; none of them keeps the others from being found.

use std::{ops::Range, path::PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::text::Place;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is started with it.
    Error,
    /// Worth knowing.
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub severity: Severity,
    pub place: Option<Place>,
    /// The file as a whole, where no line of it is to blame.
    pub file: Option<PathBuf>,
    pub option: Option<String>,
    pub what: String,
    /// The remedy.
    pub todo: String,
    /// The part of the line to point at; all of it if empty.
    mark: String,
}

impl Fault {
    pub(super) fn error(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            place: None,
            file: None,
            option: None,
            what: shortened(what.into()),
            todo: todo.into(),
            mark: String::new(),
        }
    }

    pub(super) fn warning(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(what, todo) }
    }

    pub(super) fn at(self, place: &Place) -> Self {
        Self { place: Some(place.clone()), ..self }
    }

    pub(super) fn in_file(self, file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    pub(super) fn option(self, name: impl Into<String>) -> Self {
        Self { option: Some(name.into()), ..self }
    }

    pub(super) fn mark(self, part: impl Into<String>) -> Self {
        Self { mark: part.into(), ..self }
    }

    /// `option: what`.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.option {
            Some(option) => format!("{option}: {}", self.what),
            None => self.what.clone(),
        }
    }

    /// All of it in one line.
    #[must_use]
    pub fn one_line(&self) -> String {
        let place = match (&self.place, &self.file) {
            (Some(place), _) => format!("{place}: "),
            (None, Some(file)) => format!("{}: ", file.display()),
            (None, None) => String::new(),
        };
        format!("{place}{}; {}", self.title(), self.todo)
    }

    /// With its line, for people.
    fn shown(&self) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.title());
        let help = Group::with_title(Level::HELP.secondary_title(self.todo.as_str()));
        let Some(place) = &self.place else {
            let Some(file) = &self.file else {
                return Renderer::plain().render(&[Group::with_title(title), help]);
            };
            let group = title.element(annotate_snippets::Origin::path(file.to_string_lossy()));
            return Renderer::plain().render(&[group, help]);
        };
        let (excerpt, marked) = excerpt(place.source(), &self.mark);
        let snippet = Snippet::source(excerpt)
            .line_start(place.line)
            .path(place.path().to_string_lossy())
            .annotation(AnnotationKind::Primary.span(marked));
        Renderer::plain().render(&[title.element(snippet), help])
    }
}

/// The faults, one below the other.
#[must_use]
pub fn show<'a>(faults: impl IntoIterator<Item = &'a Fault>) -> String {
    let shown: Vec<String> = faults.into_iter().map(Fault::shown).collect();
    shown.join("\n\n")
}

/// The ends of a sentence that quotes a value of megabytes.
fn shortened(what: String) -> String {
    const START: usize = 200;
    const END: usize = 150;
    let count = what.chars().count();
    if count <= START + END {
        return what;
    }
    let start: String = what.chars().take(START).collect();
    let end: String = what.chars().skip(count - END).collect();
    format!("{start} … {end}")
}

/// Enough of `line` to see `mark` in it, and where that is. A line may be megabytes long, and
/// a terminal obeys control characters.
fn excerpt(line: &str, mark: &str) -> (String, Range<usize>) {
    const BEFORE: usize = 40;
    const LONGEST: usize = 120;
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    };
    let indent = line.len() - line.trim_start().len();
    let (start, len) = match line.find(mark) {
        Some(start) if !mark.is_empty() => (start, mark.len()),
        _ => (indent, line.trim().len()),
    };
    let before: Vec<char> =
        line.get(..start).unwrap_or_default().chars().rev().take(BEFORE).collect();
    let before = plain(&before.into_iter().rev().collect::<String>());
    let rest = line.get(start..).unwrap_or_default();
    let marked: String = rest.get(..len).unwrap_or(rest).chars().take(LONGEST).collect();
    let after: String = rest.get(len..).unwrap_or_default().chars().take(BEFORE).collect();
    let (marked, after) = (plain(&marked), plain(&after));
    let span = before.len()..before.len() + marked.len();
    (before + &marked + &after, span)
}

#[cfg(test)]
mod tests {
    use super::{Fault, excerpt};

    #[test]
    fn a_fault_quotes_no_megabytes() {
        let what = format!("{} is not a time", "é".repeat(100_000));
        let fault = Fault::error(what, "").what;
        assert!(fault.chars().count() < 400 && fault.ends_with("is not a time"), "{fault}");
    }

    #[test]
    fn an_excerpt_of_a_long_line_stays_short_and_points_at_the_mark() {
        let line = format!("{}needle{}", "é".repeat(100_000), "\u{1b}[2J".repeat(100_000));
        let (shown, span) = excerpt(&line, "needle");
        assert_eq!(&shown[span], "needle");
        assert!(shown.chars().count() < 250 && !shown.contains('\u{1b}'), "{shown}");
        let (shown, span) = excerpt("  all of it ", "");
        assert_eq!(&shown[span], "all of it");
        assert_eq!(excerpt("", "x"), (String::new(), 0..0));
    }
}
