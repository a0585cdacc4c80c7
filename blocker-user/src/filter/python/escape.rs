//! What a backslash begins.

use super::{
    super::{
        fault::{Fault, Problem},
        tags,
    },
    Last, Step, Translator,
};

/// What an escape stands for, inside and outside `[…]`.
#[derive(Clone, Copy)]
pub(super) enum Escaped {
    Char(char),
    /// A class in Rust's notation, brackets included.
    Set(&'static str),
}

impl Translator<'_> {
    /// Behind a backslash outside `[…]`.
    pub(super) fn escape(&mut self, at: usize) -> Step {
        let ascii = self.flags.ascii;
        match self.peek() {
            Some('A') => self.anchor("\\A"),
            Some('Z') => self.anchor("\\z"),
            Some('b') => self.anchor(if ascii { "(?-u:\\b)" } else { "\\b" }),
            Some('B') => self.anchor(if ascii { "(?-u:\\B)" } else { "\\B" }),
            Some('1'..='9') => return self.reference(at),
            _ => match self.escaped(at)? {
                Escaped::Char(c) => self.literal(c),
                Escaped::Set(set) => self.write(set, Last::Item),
            },
        }
        Ok(())
    }

    fn anchor(&mut self, regex: &str) {
        self.next();
        self.write(regex, Last::Nothing);
    }

    /// Three octal digits are a character, anything shorter is the number of a group.
    fn reference(&mut self, at: usize) -> Step {
        let digits = |text: &str, most, is: fn(char) -> bool| {
            text.chars().take(most).take_while(|c| is(*c)).count()
        };
        if digits(self.rest(), 3, |c| c.is_digit(8)) == 3 {
            let c = self.octal(at, 3)?;
            self.literal(c);
            return Ok(());
        }
        self.at += digits(self.rest(), 2, |c| c.is_ascii_digit());
        self.fault(at, Problem::Backreference(self.since(at)));
        self.last = Last::Item;
        Ok(())
    }

    /// Behind a backslash anywhere.
    pub(super) fn escaped(&mut self, at: usize) -> Step<Escaped> {
        let from = self.at;
        let fault = |problem| Fault { at, problem };
        let c = self.next().ok_or(fault(Problem::LoneBackslash))?;
        let set = |unicode, ascii| Ok(Escaped::Set(if self.flags.ascii { ascii } else { unicode }));
        let c = match c {
            // Python's letters and numbers are no more than that, and its white space has
            // four separators that Unicode has not.
            'w' => return set(tags::WORD, "[0-9A-Za-z_]"),
            'W' => return set(tags::NOT_WORD, "[^0-9A-Za-z_]"),
            'd' => return set("[\\p{Nd}]", "[0-9]"),
            'D' => return set("[^\\p{Nd}]", "[^0-9]"),
            's' => return set("[\\s\\x1c-\\x1f]", "[ \\t\\n\\r\\x0b\\x0c]"),
            'S' => return set("[^\\s\\x1c-\\x1f]", "[^ \\t\\n\\r\\x0b\\x0c]"),
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => self.code(at, 'x', 2, "two hexadecimal")?,
            'u' => self.code(at, 'u', 4, "four hexadecimal")?,
            'U' => self.code(at, 'U', 8, "eight hexadecimal")?,
            'N' => return Err(fault(Problem::NamedCharacter)),
            '0'..='7' => {
                self.at = from;
                self.octal(at, 3)?
            }
            '8' | '9' => return Err(fault(Problem::BadEscape(c, ""))),
            _ if c.is_ascii_alphabetic() => {
                return Err(fault(Problem::BadEscape(c, instead_of(c))));
            }
            '<' if tags::is_tag(self.text.get(from..).unwrap_or_default()) => {
                self.fault(at, Problem::TagOutOfPlace(format!("\\{}", first_tag(self.text, from))));
                c
            }
            _ => c,
        };
        Ok(Escaped::Char(c))
    }

    /// At most `most` octal digits.
    fn octal(&mut self, at: usize, most: usize) -> Step<char> {
        let len = self.rest().chars().take(most).take_while(|c| c.is_digit(8)).count();
        let digits = self.rest().get(..len).unwrap_or_default();
        self.at += len;
        let number = u32::from_str_radix(digits, 8).unwrap_or(u32::MAX);
        let c = u8::try_from(number).map(char::from);
        c.map_err(|_| Fault { at, problem: Problem::NoCharacter(number) })
    }

    fn code(&mut self, at: usize, kind: char, len: usize, digits: &'static str) -> Step<char> {
        let fault = |problem| Fault { at, problem };
        let text =
            self.rest().get(..len).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let text = text.ok_or(fault(Problem::BadCode(kind, digits)))?;
        self.at += len;
        let number = u32::from_str_radix(text, 16).unwrap_or(u32::MAX);
        char::from_u32(number).ok_or(fault(match number {
            0xd800..=0xdfff => Problem::Surrogate(number),
            _ => Problem::NoCharacter(number),
        }))
    }
}

/// The tag at `from`, for a message.
pub(super) fn first_tag(text: &str, from: usize) -> &str {
    let text = text.get(from..).unwrap_or_default();
    text.find('>').and_then(|end| text.get(..=end)).unwrap_or(text)
}

/// What other languages' escapes are in Python.
fn instead_of(letter: char) -> &'static str {
    match letter {
        'z' => "; the end of the text is \\Z",
        'h' => "; a blank or tab is [ \\t]",
        'R' => "; a line break is \\n",
        'Q' | 'E' => "; put a backslash before each character instead",
        'p' | 'P' => "; a letter is [^\\W\\d_]",
        'e' => "; escape is \\x1b",
        _ => "; for the letter itself leave out the backslash",
    }
}
