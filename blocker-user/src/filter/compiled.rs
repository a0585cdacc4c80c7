//! The compiled patterns, and the verdict on a line.

use std::net::IpAddr;

use regex::bytes::{Captures, Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::{
    fault::{Fault, FilterError, Problem},
    pattern::{FilterOption, Pattern},
    python,
    tags::{CIDR_GROUP, ID_GROUPS},
    text::{Haystack, Message},
    warning::{Warning, doubts},
};

/// What one pattern may compile to; the time a line can take is bounded by it.
const LARGEST_BYTES: usize = 10 << 20;

/// What the patterns say of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No pattern matches.
    Missed,
    /// An ignoreregex matches.
    Ignored,
    /// A failregex matches, and no ignoreregex.
    Failure(IpAddr),
    /// The same, but what stands in the place of the address is none: a host name (names are
    /// not looked up), a network, an identifier of another kind.
    NoAddress,
}

/// The admin's patterns, ready for use. A clone is for another thread: what a pattern needs to
/// match with is a clone's own.
#[derive(Clone, Debug)]
pub struct Filter {
    failregex: List,
    ignoreregex: List,
    warnings: Vec<Warning>,
    haystack: Haystack,
}

impl Filter {
    /// Compiles all patterns, or says everything that is wrong with any of them.
    pub fn compile(patterns: impl IntoIterator<Item = Pattern>) -> Result<Self, Vec<FilterError>> {
        let mut failregex = Vec::new();
        let mut ignoreregex = Vec::new();
        let mut warnings = Vec::new();
        let mut errors = Vec::new();
        for pattern in patterns {
            let list = match pattern.origin.option {
                FilterOption::Failregex => &mut failregex,
                FilterOption::Ignoreregex => &mut ignoreregex,
            };
            match compile(&pattern) {
                Ok((regex, doubtful)) => {
                    list.push(regex);
                    warnings.extend(doubtful);
                }
                Err(faults) => {
                    errors.extend(faults.into_iter().map(|fault| located(&pattern, fault)));
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            failregex: List::new(failregex),
            ignoreregex: List::new(ignoreregex),
            warnings,
            haystack: Haystack::default(),
        })
    }

    /// Whether there is no pattern at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.failregex.patterns.is_empty() && self.ignoreregex.patterns.is_empty()
    }

    /// What works and is doubtful.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The first failregex that matches decides, as in fail2ban: also when it finds no
    /// address and a later one would.
    pub fn judge(&mut self, message: Message<'_>) -> Verdict {
        self.haystack.fill(message);
        if self.haystack.views().any(|text| self.ignoreregex.first(text).is_some()) {
            return Verdict::Ignored;
        }
        let found = self.haystack.views().find_map(|text| {
            let pattern = self.failregex.first(text)?;
            pattern.captures(text)
        });
        match found {
            None => Verdict::Missed,
            Some(captures) => address(&captures).map_or(Verdict::NoAddress, Verdict::Failure),
        }
    }
}

/// Patterns in their order.
#[derive(Clone, Debug)]
struct List {
    patterns: Vec<Regex>,
    /// All of them in one pass over the text; `None` where that would be no gain.
    set: Option<RegexSet>,
}

impl List {
    fn new(patterns: Vec<Regex>) -> Self {
        let set = (patterns.len() > 1).then(|| {
            let limit = LARGEST_BYTES.saturating_mul(patterns.len());
            let texts = patterns.iter().map(Regex::as_str);
            RegexSetBuilder::new(texts).size_limit(limit).build()
        });
        // Without the set the patterns are tried in turn: slower, with the same result.
        Self { patterns, set: set.and_then(Result::ok) }
    }

    fn first(&self, text: &[u8]) -> Option<&Regex> {
        match &self.set {
            Some(set) => self.patterns.get(set.matches(text).iter().next()?),
            None => self.patterns.iter().find(|pattern| pattern.is_match(text)),
        }
    }
}

fn compile(pattern: &Pattern) -> Result<(Regex, Vec<Warning>), Vec<Fault>> {
    let translation = python::translate(&pattern.text)?;
    let names = &translation.names;
    let has_address = ID_GROUPS.iter().any(|group| names.contains(*group));
    if pattern.origin.option == FilterOption::Failregex && !has_address {
        return Err(vec![Fault { at: 0, problem: Problem::NoAddress }]);
    }
    let regex = RegexBuilder::new(&translation.regex).size_limit(LARGEST_BYTES).build();
    let regex = regex.map_err(|error| {
        let problem = match error {
            regex::Error::CompiledTooBig(limit) => Problem::TooBig(limit),
            other => {
                let text = other.to_string();
                let reason = text.lines().last().unwrap_or(&text);
                Problem::Uncompilable(reason.trim_start_matches("error: ").to_owned())
            }
        };
        vec![Fault { at: 0, problem }]
    })?;
    let doubtful = doubts(pattern, &translation.regex, names.contains(CIDR_GROUP));
    Ok((regex, doubtful))
}

fn located(pattern: &Pattern, fault: Fault) -> FilterError {
    let before = pattern.text.get(..fault.at).unwrap_or(&pattern.text);
    FilterError {
        origin: pattern.origin.clone(),
        column: before.chars().count() + 1,
        problem: fault.problem,
    }
}

/// The address that counts. The first group that takes part decides, even if its text is no
/// address.
fn address(captures: &Captures<'_>) -> Option<IpAddr> {
    let group = |name: &str| captures.name(name).and_then(|it| str::from_utf8(it.as_bytes()).ok());
    let text = ID_GROUPS.iter().find_map(|name| group(name))?;
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let (text, length) = match text.split_once('/') {
        Some((text, length)) => (text, Some(length)),
        None => (text, group(CIDR_GROUP)),
    };
    let ip: IpAddr = text.parse().ok()?;
    let whole = if ip.is_ipv4() { "32" } else { "128" };
    length.is_none_or(|length| length == whole).then(|| ip.to_canonical())
}
