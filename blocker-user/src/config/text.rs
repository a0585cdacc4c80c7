//! Configuration text that knows where it was written, so that whatever is wrong with it can
//! be shown in its place, interpolated or not.

use std::{
    fmt,
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
    pub(super) text: String,
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
        lines(&self.file.text).nth(self.line.saturating_sub(1)).unwrap_or_default()
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

/// Lines as Python reads them from a text file: ended by `\n`, `\r\n` or `\r`.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.filter(|text| !text.is_empty())?;
        let Some((line, after)) = text.split_once(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let is_crlf = text.as_bytes().get(line.len()) == Some(&b'\r');
        rest = Some(after.strip_prefix('\n').filter(|_| is_crlf).unwrap_or(after));
        Some(line)
    })
}

/// What Python's `strip` takes away.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn lines_end_as_python_ends_them() {
        let found: Vec<&str> = lines("a\nb\r\nc\rd\r\r\n\ne").collect();
        assert_eq!(found, ["a", "b", "c", "d", "", "", "e"]);
        assert_eq!(lines("a\n").count(), 1);
        assert_eq!(lines("").count(), 0);
    }
}
