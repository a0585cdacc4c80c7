//! Groups: everything that begins with `(`.

use super::{
    super::fault::{Fault, Problem},
    Last, Step, Translator,
};

/// Deep enough for anyone, shallow enough for every compiler of patterns.
const DEEPEST: usize = 100;

/// Python's flags as they stand at a place in the pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    ignore_case: bool,
    pub(super) multi_line: bool,
    pub(super) dot_all: bool,
    pub(super) verbose: bool,
    pub(super) ascii: bool,
}

impl Flags {
    /// `false` for a letter that is no flag.
    fn set(&mut self, letter: char, on: bool) -> bool {
        match letter {
            'i' => self.ignore_case = on,
            'm' => self.multi_line = on,
            's' => self.dot_all = on,
            'x' => self.verbose = on,
            'a' => self.ascii = on,
            'u' => self.ascii = !on,
            _ => return false,
        }
        true
    }
}

/// A group that waits for its end.
pub(super) struct Open<'t> {
    at: usize,
    /// The name of the tag that opened it, without brackets.
    tag: Option<&'t str>,
    /// What holds again behind it.
    flags: Flags,
}

impl<'t> Translator<'t> {
    /// Behind `(`.
    pub(super) fn group(&mut self, at: usize) -> Step {
        let bad = |this: &Self| {
            let problem = Problem::BadGroup(this.since(at));
            Err(Fault { at, problem })
        };
        if !self.eat("?") || self.eat(":") {
            return self.open(at, "(?:", self.flags, None);
        }
        for (start, name) in [("=", "(?="), ("!", "(?!"), ("<=", "(?<="), ("<!", "(?<!")] {
            if self.eat(start) {
                self.fault(at, Problem::Lookaround(name));
                return self.open(at, "(?:", self.flags, None);
            }
        }
        if self.eat("P<") {
            let Some(name) = self.until('>') else { return bad(self) };
            let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
            if !name.starts_with(is_first)
                || !name.chars().all(|c| is_first(c) || c.is_ascii_digit())
            {
                self.fault(at, Problem::BadName(format!("{name:?}")));
            }
            return self.open_named(at, name, None);
        }
        if self.eat("P=") {
            if self.until(')').is_none() {
                return bad(self);
            }
            self.fault(at, Problem::Backreference(self.since(at)));
            self.last = Last::Item;
            return Ok(());
        }
        if self.eat("#") {
            let closed = self.until(')').is_some();
            return closed.then_some(()).ok_or(Fault { at, problem: Problem::CommentNotClosed });
        }
        if self.eat(">") {
            self.fault(at, Problem::Atomic);
            return self.open(at, "(?:", self.flags, None);
        }
        if self.eat("(") {
            if self.until(')').is_none() {
                return bad(self);
            }
            self.fault(at, Problem::Conditional);
            return self.open(at, "(?:", self.flags, None);
        }
        if self.eat("P") || self.eat("<") || self.peek().is_none_or(|c| "):".contains(c)) {
            return bad(self);
        }
        self.flags(at)
    }

    /// `i)` for the whole pattern, `i:` or `s-i:` for a group.
    fn flags(&mut self, at: usize) -> Step {
        let mut flags = self.flags;
        let mut on = true;
        loop {
            match self.next() {
                Some('-') if on => on = false,
                Some(')') if on => {
                    // Nothing written means nothing read but comments and other flags.
                    if !self.regex.is_empty() && self.regex != CASE {
                        self.fault(at, Problem::FlagsNotFirst);
                    }
                    if flags.ignore_case && self.regex.is_empty() {
                        self.regex.push_str(CASE);
                    }
                    self.flags = flags;
                    return self.case_of_ascii(at);
                }
                Some(':') => {
                    let start = match (self.flags.ignore_case, flags.ignore_case) {
                        (false, true) => "(?i:",
                        (true, false) => "(?-i:",
                        _ => "(?:",
                    };
                    self.open(at, start, flags, None)?;
                    return self.case_of_ascii(at);
                }
                Some(letter) => {
                    // Which alphabet a pattern is in can be said, not unsaid.
                    let known = (on || !"au".contains(letter)) && flags.set(letter, on);
                    if !known {
                        return Err(Fault { at, problem: Problem::BadFlag(letter) });
                    }
                }
                None => return Err(Fault { at, problem: Problem::GroupNotClosed }),
            }
        }
    }

    fn case_of_ascii(&mut self, at: usize) -> Step {
        if self.flags.ascii && self.flags.ignore_case {
            self.fault(at, Problem::AsciiCase);
        }
        Ok(())
    }

    pub(super) fn open(
        &mut self,
        at: usize,
        start: &str,
        flags: Flags,
        tag: Option<&'t str>,
    ) -> Step {
        if self.open.len() >= DEEPEST {
            return Err(Fault { at, problem: Problem::TooDeep(DEEPEST) });
        }
        self.open.push(Open { at, tag, flags: self.flags });
        self.flags = flags;
        self.write(start, Last::Nothing);
        Ok(())
    }

    /// At `)`.
    pub(super) fn close(&mut self, at: usize) -> Step {
        match self.open.pop() {
            None => Err(Fault { at, problem: Problem::GroupNotOpen }),
            Some(Open { tag: Some(tag), .. }) => {
                Err(Fault { at, problem: Problem::TagAcrossGroup(format!("<{tag}>")) })
            }
            Some(Open { flags, .. }) => {
                self.end(flags);
                Ok(())
            }
        }
    }

    /// At `</F-…>`.
    pub(super) fn close_tag(&mut self, at: usize, tag: &str) -> Step {
        let name = tag.trim_matches(['<', '/', '>']);
        match self.open.last() {
            Some(open) if open.tag == Some(name) => {
                let flags = open.flags;
                self.open.pop();
                self.end(flags);
            }
            _ if self.open.iter().any(|open| open.tag == Some(name)) => {
                return Err(Fault { at, problem: Problem::TagAcrossGroup(format!("<{name}>")) });
            }
            _ => self.fault(at, Problem::TagNotOpen(tag.to_owned())),
        }
        Ok(())
    }

    fn end(&mut self, outer: Flags) {
        self.flags = outer;
        self.write(")", Last::Item);
    }

    /// At the end of the pattern.
    pub(super) fn all_closed(&self) -> Step {
        let Some(open) = self.open.last() else { return Ok(()) };
        let problem = match open.tag {
            None => Problem::GroupNotClosed,
            Some(name) => Problem::TagNotClosed { tag: format!("<{name}>"), name: name.to_owned() },
        };
        Err(Fault { at: open.at, problem })
    }

    /// The text before the next `end`, which is read too.
    fn until(&mut self, end: char) -> Option<&'t str> {
        let text = self.rest();
        let len = text.find(end)?;
        self.at += len + end.len_utf8();
        text.get(..len)
    }
}

/// What `(?i)` at the start becomes.
const CASE: &str = "(?i)";
