//! A pattern as configured, and where.

use std::fmt;

/// Which list a pattern is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterOption {
    /// A line it matches counts.
    Failregex,
    /// A line it matches never counts, whatever else matches it.
    Ignoreregex,
}

impl fmt::Display for FilterOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failregex => "failregex",
            Self::Ignoreregex => "ignoreregex",
        })
    }
}

/// Where a pattern stands. `line` is its own: the patterns of one option follow each other
/// on continuation lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub file: String,
    pub line: usize,
    pub option: FilterOption,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.option)
    }
}

/// One pattern: one line of the option's value, without the blanks around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub text: String,
    pub origin: Origin,
}
