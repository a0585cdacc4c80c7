//! Configuration text that knows where it was written, so that whatever is wrong with it can
//! be shown in its place, interpolated or not.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Whose rules a file is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Written for us: every word in it should mean something.
    Doveblock,
    /// Written for fail2ban: much in it is not for us.
    Fail2ban,
}

/// A file that was read.
#[derive(PartialEq, Eq)]
pub struct SourceFile {
    pub path: PathBuf,
    pub owner: Owner,
    text: String,
    lines: Vec<Range<usize>>,
}

impl SourceFile {
    pub(super) fn new(path: PathBuf, owner: Owner, text: String) -> Self {
        let lines = line_ranges(&text);
        Self { path, owner, text, lines }
    }

    /// Its lines, without what ends them.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|range| self.text.get(range.clone()).unwrap_or_default())
    }
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

/// A line of a file; the first is 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) file: Arc<SourceFile>,
    pub line: usize,
}

impl Place {
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    #[must_use]
    pub fn owner(&self) -> Owner {
        self.file.owner
    }

    /// The line itself.
    pub(super) fn source(&self) -> &str {
        let range = self.file.lines.get(self.line.saturating_sub(1)).cloned();
        range.and_then(|range| self.file.text.get(range)).unwrap_or_default()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.path.display(), self.line)
    }
}

/// One line of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub place: Place,
}

/// The value of an option: its first line, and those that continue it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub(super) Vec<Line>);

impl Text {
    /// Its lines that hold anything.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().filter(|line| !line.text.is_empty())
    }

    /// The value as fail2ban has it: one string with newlines in it.
    #[must_use]
    pub fn joined(&self) -> String {
        let lines: Vec<&str> = self.0.iter().map(|line| line.text.as_str()).collect();
        lines.join("\n").trim_end().to_owned()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines().next().is_none()
    }
}

/// Where lines are, ended as Python ends them in a text file: by `\n`, `\r\n` or `\r`.
fn line_ranges(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut ranges = Vec::new();
    let mut start = 0;
    for end in memchr::memchr2_iter(b'\n', b'\r', bytes) {
        // The \n of a \r\n ended its line with the \r.
        if end < start {
            continue;
        }
        ranges.push(start..end);
        start = if bytes.get(end..end + 2) == Some(b"\r\n") { end + 2 } else { end + 1 };
    }
    if start < text.len() {
        ranges.push(start..text.len());
    }
    ranges
}

/// Number of the line, from 1, in which the byte at `offset` is.
pub(super) fn line_at(bytes: &[u8], offset: usize) -> usize {
    let before = String::from_utf8_lossy(bytes.get(..offset).unwrap_or(bytes));
    let ended = before.is_empty() || before.ends_with(['\n', '\r']);
    line_ranges(&before).len() + usize::from(ended)
}

/// What Python's `strip` takes away.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::{Owner, SourceFile, line_at};

    fn lines(text: &str) -> Vec<String> {
        let file = SourceFile::new("x".into(), Owner::Doveblock, text.to_owned());
        file.lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_end_as_python_ends_them() {
        assert_eq!(lines("a\nb\r\nc\rd\r\r\n\ne"), ["a", "b", "c", "d", "", "", "e"]);
        assert_eq!(lines("a\n"), ["a"]);
        assert!(lines("").is_empty());
    }

    #[test]
    fn a_byte_is_in_the_line_that_it_ends() {
        let found: Vec<usize> = (0..5).map(|offset| line_at(b"a\nb\nc", offset)).collect();
        assert_eq!(found, [1, 1, 2, 2, 3]);
    }
}
