//! Python's pattern in, Rust's out, with the same meaning; or everything that has none.
//!
//! A scanner over the text of the pattern, in the order in which Python reads it. It writes
//! each construct in the plainest form Rust has, so that nothing depends on a flag or on how
//! Rust would have read the original. Groups whose text nobody asks for do not capture.

mod class;
mod escape;
mod group;
mod repeat;

use std::collections::BTreeSet;

use super::{
    fault::{Fault, Problem},
    tags::{self, CIDR_GROUP, ID_GROUPS, Tag},
};
use group::{Flags, Open};

/// Rust's counterpart of a pattern.
#[derive(Debug)]
pub(super) struct Translation {
    pub(super) regex: String,
    /// Every name that a group or a tag gives.
    pub(super) names: BTreeSet<String>,
}

/// What stands before the place a repetition would be at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// Nothing, or what takes no text.
    Nothing,
    Item,
    Repeat,
    /// A tag that fail2ban replaces by several items.
    Row(&'static str),
}

/// An error ends the reading of the pattern: what follows could not be made sense of.
type Step<T = ()> = Result<T, Fault>;

struct Translator<'t> {
    text: &'t str,
    at: usize,
    regex: String,
    last: Last,
    flags: Flags,
    open: Vec<Open<'t>>,
    names: BTreeSet<String>,
    /// What is refused but does not keep the rest from being read.
    faults: Vec<Fault>,
}

pub(super) fn translate(text: &str) -> Result<Translation, Vec<Fault>> {
    let mut translator = Translator {
        text,
        at: 0,
        regex: String::new(),
        last: Last::Nothing,
        flags: Flags::default(),
        open: Vec::new(),
        names: BTreeSet::new(),
        faults: Vec::new(),
    };
    if let Err(fault) = translator.run() {
        translator.faults.push(fault);
    }
    let Translator { regex, names, faults, .. } = translator;
    if faults.is_empty() { Ok(Translation { regex, names }) } else { Err(faults) }
}

impl<'t> Translator<'t> {
    fn run(&mut self) -> Step {
        if self.text.trim().is_empty() {
            return Err(Fault { at: 0, problem: Problem::Empty });
        }
        while let Some(c) = self.next() {
            self.step(self.at - c.len_utf8(), c)?;
        }
        self.all_closed()
    }

    fn step(&mut self, at: usize, c: char) -> Step {
        match c {
            '\\' => return self.escape(at),
            '[' => return self.class(at),
            '(' => return self.group(at),
            ')' => return self.close(at),
            '<' => return self.tag(at),
            '*' | '+' | '?' => self.repeat(at),
            '{' => {
                if !self.counted(at) {
                    self.literal(c);
                }
            }
            '|' => self.write("|", Last::Nothing),
            '^' => self.write(if self.flags.multi_line { "(?m:^)" } else { "\\A" }, Last::Nothing),
            // The text ends with the only newline it has, so this is Python's meaning with
            // and without (?m).
            '$' => self.write("(?m:$)", Last::Nothing),
            '.' => self.write(if self.flags.dot_all { "(?s:.)" } else { "." }, Last::Item),
            '#' if self.flags.verbose => {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            }
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' if self.flags.verbose => {}
            c => self.literal(c),
        }
        Ok(())
    }

    fn tag(&mut self, at: usize) -> Step {
        let text = self.text.get(at..).unwrap_or_default();
        let behind = self.text.get(..at).and_then(|before| before.chars().next_back());
        match tags::read(text, behind) {
            Tag::Text => self.literal('<'),
            Tag::Standing(tag) => {
                self.at = at + tag.tag.len();
                if tag.groups.iter().any(|name| self.names.contains(*name)) {
                    self.fault(at, Problem::AddressTwice(tag.tag));
                }
                self.names.extend(tag.groups.iter().map(|name| (*name).to_owned()));
                let last = if tag.whole { Last::Item } else { Last::Row(tag.tag) };
                self.write(tag.regex, last);
            }
            Tag::Open(tag) => {
                let name = tag.trim_matches(['<', '>']);
                if !text.contains(&format!("</{name}>")) {
                    let (tag, name) = (tag.to_owned(), name.to_owned());
                    return Err(Fault { at, problem: Problem::TagNotClosed { tag, name } });
                }
                self.at = at + tag.len();
                self.open_named(at, &tags::group_of(tag), Some(name))?;
            }
            Tag::Close(tag) => {
                self.at = at + tag.len();
                self.close_tag(at, tag)?;
            }
            Tag::Wrong(tag, problem) => {
                self.at = at + tag.len();
                self.fault(at, problem);
                self.last = Last::Item;
            }
        }
        Ok(())
    }

    /// Opens a group that captures if its text is asked for.
    fn open_named(&mut self, at: usize, name: &str, tag: Option<&'t str>) -> Step {
        self.name(at, name);
        let asked_for = ID_GROUPS.contains(&name) || name == CIDR_GROUP;
        let start = if asked_for { format!("(?P<{name}>") } else { "(?:".to_owned() };
        self.open(at, &start, self.flags, tag)
    }

    fn name(&mut self, at: usize, name: &str) {
        if !self.names.insert(name.to_owned()) {
            self.fault(at, Problem::NameTwice(name.to_owned()));
        }
    }

    fn literal(&mut self, c: char) {
        quote(c, &mut self.regex);
        self.last = Last::Item;
    }

    fn write(&mut self, regex: &str, last: Last) {
        self.regex.push_str(regex);
        self.last = last;
    }

    fn fault(&mut self, at: usize, problem: Problem) {
        self.faults.push(Fault { at, problem });
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let is_next = self.rest().starts_with(text);
        if is_next {
            self.at += text.len();
        }
        is_next
    }

    /// What was read since `at`.
    fn since(&self, at: usize) -> String {
        self.text.get(at..self.at).unwrap_or_default().to_owned()
    }
}

/// Writes a character that stands for itself, inside and outside `[…]`.
fn quote(c: char, regex: &mut String) {
    match c {
        '<' | '>' => regex.push(c),
        _ if c.is_ascii_punctuation() => regex.extend(['\\', c]),
        _ if c.is_ascii_control() => regex.push_str(&format!("\\x{:02x}", u32::from(c))),
        _ => regex.push(c),
    }
}
