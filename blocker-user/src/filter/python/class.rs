//! Classes: `[…]`. Inside, Python has ranges and escapes, and no sets within sets: `[[]`,
//! `&&`, `--` and `~~` are plain characters, which Rust would read otherwise.

use super::{
    super::{
        fault::{Fault, Problem},
        tags,
    },
    Last, Step, Translator,
    escape::{Escaped, first_tag},
    quote,
};

impl Translator<'_> {
    /// Behind `[`.
    pub(super) fn class(&mut self, at: usize) -> Step {
        let not_closed = Fault { at, problem: Problem::ClassNotClosed };
        let negated = self.eat("^");
        self.regex.push_str(if negated { "[^" } else { "[" });
        let mut first = true;
        loop {
            // A bracket that would close it at once is one of its characters.
            if !first && self.eat("]") {
                break;
            }
            first = false;
            let start = self.at;
            let item = self.member(start)?.ok_or_else(|| not_closed.clone())?;
            if self.rest().starts_with("-]") || !self.eat("-") {
                self.put(item);
                continue;
            }
            let end = self.member(self.at)?.ok_or_else(|| not_closed.clone())?;
            match (item, end) {
                (Escaped::Char(from), Escaped::Char(to)) if from <= to => {
                    quote(from, &mut self.regex);
                    self.regex.push('-');
                    quote(to, &mut self.regex);
                }
                _ => {
                    let problem = Problem::BadRange(self.since(start));
                    return Err(Fault { at: start, problem });
                }
            }
        }
        self.write("]", Last::Item);
        Ok(())
    }

    /// One character or escape; `None` at the end of the pattern.
    fn member(&mut self, at: usize) -> Step<Option<Escaped>> {
        match self.next() {
            None => Ok(None),
            Some('\\') if self.eat("b") => Ok(Some(Escaped::Char('\x08'))),
            Some('\\') => self.escaped(at).map(Some),
            Some(c) => {
                if c == '<' && tags::is_tag(self.text.get(at..).unwrap_or_default()) {
                    let tag = first_tag(self.text, at).to_owned();
                    self.fault(at, Problem::TagOutOfPlace(tag));
                }
                Ok(Some(Escaped::Char(c)))
            }
        }
    }

    fn put(&mut self, item: Escaped) {
        match item {
            Escaped::Char(c) => quote(c, &mut self.regex),
            Escaped::Set(set) => self.regex.push_str(set),
        }
    }
}
