//! Why a pattern is refused, where in it, and what to write instead.

use super::pattern::Origin;

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}, column {column}: {problem}")]
pub struct FilterError {
    pub origin: Origin,
    /// Of the pattern's text, in characters, from 1.
    pub column: usize,
    pub problem: Problem,
}

/// A problem at a place in a pattern's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// In bytes, from 0; the length of the text for what is missing at its end.
    pub(super) at: usize,
    pub(super) problem: Problem,
}

/// What is wrong. First what Python has and Rust's `regex` has not; then the tags; then what
/// Python refuses as well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error(
        "{0} looks around without taking text, which Rust's regex cannot; write out what stands \
         there, or put what must not match into ignoreregex"
    )]
    Lookaround(&'static str),
    #[error(
        "{0} refers back to the text of a group, which Rust's regex cannot; write the group's \
         pattern once more"
    )]
    Backreference(String),
    #[error("(?(…) depends on a group, which Rust's regex cannot; write both cases with |")]
    Conditional,
    #[error("(?>…) never gives text back, which Rust's regex cannot say; write (?:…)")]
    Atomic,
    #[error("{0} never gives text back, which Rust's regex cannot say; leave out the last +")]
    Possessive(String),
    #[error("\\N{{…}} names a character, which is not supported; write \\u and its number")]
    NamedCharacter,
    #[error("(?ai) folds the case of ASCII letters only, which is not supported; leave out the a")]
    AsciiCase,
    #[error("{0:#x} is half a character (a surrogate), which no line holds")]
    Surrogate(u32),
    #[error("more than {0} groups inside each other; write it flatter")]
    TooDeep(usize),
    #[error(
        "compiles to more than {0} bytes; make its repetitions ({{1,500}}) shorter or open (+, *)"
    )]
    TooBig(usize),
    #[error("Rust's regex cannot compile it: {0}")]
    Uncompilable(String),

    #[error(
        "names no address; put <HOST> where the address stands (or <ADDR>, <IP4>, <IP6>, \
         <F-ID>…</F-ID>)"
    )]
    NoAddress,
    #[error("{tag} is no tag; {nearest} is. For the plain text write [<]{rest}")]
    UnknownTag { tag: String, nearest: &'static str, rest: String },
    #[error(
        "{tag} takes the value of an option in a filter file of fail2ban; here write out what it \
         stands for. For the plain text write [<]{rest}"
    )]
    Interpolation { tag: String, rest: String },
    #[error("{0} ties several lines together; one line decides here: {1}")]
    MultiLine(String, &'static str),
    #[error("{tag} is opened and never closed; write {tag}…</{name}>")]
    TagNotClosed { tag: String, name: String },
    #[error("{0} closes no open tag; leave it out, or open the tag before it")]
    TagNotOpen(String),
    #[error("{0} and a group cut across each other; close what was opened last first")]
    TagAcrossGroup(String),
    #[error("{0} has no pattern of its own; write <{1}>…</{1}> around one")]
    TagWithoutPattern(String, String),
    #[error(
        "{0} stands in […] or behind a backslash, where no tag can; for the plain text write [<]"
    )]
    TagOutOfPlace(String),
    #[error("{0} is several things in a row, of which only the last would repeat; write (?:{0})")]
    TagRepeated(&'static str),
    #[error(
        "{0} is a second address; a line has one, so write \\S+ for the one that does not count"
    )]
    AddressTwice(&'static str),
    #[error("the name {0:?} is given twice; give the second group another one, or none")]
    NameTwice(String),

    #[error("the pattern is empty; leave out the option instead")]
    Empty,
    #[error("{0} is not a name; use letters, digits and _")]
    BadName(String),
    #[error("this ( is never closed")]
    GroupNotClosed,
    #[error("this ) closes no group; for the plain text write \\)")]
    GroupNotOpen,
    #[error("{0} begins no group that Python knows; a named one is written (?P<name>…)")]
    BadGroup(String),
    #[error("{0:?} is not a flag; there are i, m, s, x, a and u")]
    BadFlag(char),
    #[error("flags for the whole pattern go to its very start; for a part of it write (?i:…)")]
    FlagsNotFirst,
    #[error("(?#…) is never closed")]
    CommentNotClosed,
    #[error("this [ is never closed; for the plain text write \\[")]
    ClassNotClosed,
    #[error("{0} is not a range; put the smaller character first, and a plain - last")]
    BadRange(String),
    #[error("\\{0} means nothing to Python{1}")]
    BadEscape(char, &'static str),
    #[error("\\{0} needs {1} digits behind it")]
    BadCode(char, &'static str),
    #[error("{0:#x} is no character")]
    NoCharacter(u32),
    #[error("the pattern ends with a backslash; for the plain text write \\\\")]
    LoneBackslash,
    #[error("{0} has nothing to repeat; for the plain text write \\{0}")]
    NothingToRepeat(String),
    #[error("{0} repeats a repetition; put what is repeated into (?:…)")]
    RepeatTwice(String),
    #[error(
        "{0} repeats more than 65,535 times, or at least as often as not; write the smaller number first"
    )]
    BadRepeat(String),
}
