//! Patterns that work and that their author may regret.

use std::fmt;

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::pattern::{FilterOption, Origin, Pattern};

/// A pattern, and what is doubtful about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub origin: Origin,
    pub text: String,
    pub doubt: Doubt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A failregex that may match anywhere on the line.
    NotAnchored,
    /// A failregex with `^.*` in front, which is no anchor.
    CatchAll,
    /// A failregex whose address may be a network, which does not count.
    Network,
    /// An ignoreregex that may match anywhere on the line.
    Excuse,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, text, doubt } = self;
        write!(f, "{origin}: {text}: {doubt}")
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnchored => {
                "does not begin with ^, so a client that can put text of its own on the line (a \
                 user name) can put another's address there and have it banned"
            }
            Self::CatchAll => {
                "begins with ^.*, which matches wherever a pattern without ^ would: a client \
                 that can put text of its own on the line can have another's address banned"
            }
            Self::Network => {
                "may take a network (192.0.2.0/24) for the address; such a line is not counted"
            }
            Self::Excuse => {
                "does not begin with ^, so a client that can put text of its own on the line (a \
                 user name) can have its failures ignored"
            }
        })
    }
}

/// The doubts about a pattern that was translated to `regex` and gives `has_network`.
pub(super) fn doubts(pattern: &Pattern, regex: &str, has_network: bool) -> Vec<Warning> {
    // What does not parse was refused before.
    let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(regex);
    let front = parsed.ok().and_then(|hir| match pattern.origin.option {
        FilterOption::Failregex if !is_anchored(&hir) => Some(Doubt::NotAnchored),
        FilterOption::Failregex if is_catch_all(&hir) => Some(Doubt::CatchAll),
        FilterOption::Ignoreregex if !is_anchored(&hir) || is_catch_all(&hir) => {
            Some(Doubt::Excuse)
        }
        FilterOption::Failregex | FilterOption::Ignoreregex => None,
    });
    let network = has_network && pattern.origin.option == FilterOption::Failregex;
    let doubts = front.into_iter().chain(network.then_some(Doubt::Network));
    let warning =
        |doubt| Warning { origin: pattern.origin.clone(), text: pattern.text.clone(), doubt };
    doubts.map(warning).collect()
}

fn is_anchored(hir: &Hir) -> bool {
    let start = hir.properties().look_set_prefix();
    start.contains(Look::Start) || start.contains(Look::StartLF)
}

/// `^.*`, in as many groups as there are.
fn is_catch_all(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => is_catch_all(&capture.sub),
        HirKind::Alternation(cases) => cases.iter().any(is_catch_all),
        HirKind::Concat(items) => {
            let next = items.iter().find(|item| !matches!(item.kind(), HirKind::Look(_)));
            next.is_some_and(is_anything)
        }
        _ => false,
    }
}

fn is_anything(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Capture(capture) => is_anything(&capture.sub),
        HirKind::Repetition(repetition) => repetition.max.is_none() && is_any_char(&repetition.sub),
        _ => false,
    }
}

/// `.`, or a class that is as wide.
fn is_any_char(hir: &Hir) -> bool {
    const ALL: usize = 0x0010_0000;
    match hir.kind() {
        HirKind::Capture(capture) => is_any_char(&capture.sub),
        HirKind::Class(Class::Unicode(class)) => {
            let width = class.ranges().iter().map(regex_syntax::hir::ClassUnicodeRange::len);
            width.sum::<usize>() >= ALL
        }
        _ => false,
    }
}
