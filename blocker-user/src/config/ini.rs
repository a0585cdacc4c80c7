//! Text in, sections of options out: the line rules of Python's configparser as fail2ban sets
//! it up, found by running it. Values come out raw; `interpolate` resolves them.
//!
//! An indented line continues the option above it, whatever it looks like. `#` and `;` begin a
//! comment at the start of a line, and ` ;` also behind a value, but ` #` does not. Options end
//! at the first `=` or `:` and have no case; sections have.

use std::{collections::HashMap, sync::Arc};

use super::{
    fault::Fault,
    text::{Line, Place, SourceFile, Text, is_space, line_at},
};

/// `name = value`, the name in lower case.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) value: Text,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) entries: Vec<Entry>,
}

/// The section whose options all others have, too.
pub(super) const DEFAULT: &str = "DEFAULT";

/// Reads all there is to read, whatever is wrong in between.
pub(super) fn read(file: &Arc<SourceFile>, faults: &mut Vec<Fault>) -> Vec<Section> {
    let mut reader = Reader {
        sections: Vec::new(),
        section_at: HashMap::new(),
        entry_at: HashMap::new(),
        current: None,
        open: None,
        indent: 0,
        faults,
    };
    for (index, line) in file.lines().enumerate() {
        reader.line(line, &Place { file: Arc::clone(file), line: index + 1 });
    }
    let mut sections = reader.sections;
    for entry in sections.iter_mut().flat_map(|section| &mut section.entries) {
        let Text(lines) = &mut entry.value;
        while lines.len() > 1 && lines.last().is_some_and(|line| line.text.is_empty()) {
            lines.pop();
        }
    }
    sections
}

struct Reader<'f> {
    sections: Vec<Section>,
    section_at: HashMap<String, usize>,
    /// By section and name.
    entry_at: HashMap<(usize, String), usize>,
    current: Option<usize>,
    /// The option of the current section that a further line could continue.
    open: Option<usize>,
    /// Of the last line that was no continuation.
    indent: usize,
    faults: &'f mut Vec<Fault>,
}

impl Reader<'_> {
    fn line(&mut self, line: &str, place: &Place) {
        let comment = comment_start(line);
        let value =
            line.get(..comment.unwrap_or(line.len())).unwrap_or(line).trim_matches(is_space);
        let here = |text: &str| Line { text: text.to_owned(), place: place.clone() };
        if value.is_empty() {
            if let (None, Some(entry)) = (comment, self.open_entry()) {
                entry.value.0.push(here(""));
            }
            return;
        }
        let indent = line.chars().take_while(|&c| is_space(c)).count();
        let continues = indent > self.indent;
        if let Some(entry) = self.open_entry().filter(|_| continues) {
            entry.value.0.push(here(value));
            return;
        }
        self.indent = indent;
        if let Some(name) = header(value) {
            self.section(name, place);
        } else if let Some((name, value)) = value.split_once(['=', ':']) {
            let name = name.trim_end_matches(is_space).to_lowercase();
            self.option(name, here(value.trim_start_matches(is_space)), place);
        } else {
            let (what, todo) = if value.starts_with('[') {
                ("a section's name has no ] behind it", "write [dovecot]")
            } else {
                (
                    "neither a section nor an option",
                    "write option = value; indent the line if it continues the value above it, \
                     or begin it with # if it is a comment",
                )
            };
            self.faults.push(Fault::error(what, todo).at(place));
        }
    }

    fn section(&mut self, name: &str, place: &Place) {
        self.open = None;
        if let Some(&at) = self.section_at.get(name) {
            self.current = Some(at);
            if let Some(earlier) = self.sections.get(at).filter(|_| name != DEFAULT) {
                let what =
                    format!("[{name}] is in this file already, in line {}", earlier.place.line);
                let todo = "put its options under one heading; fail2ban reads no file with two";
                self.faults.push(Fault::error(what, todo).at(place));
            }
            return;
        }
        self.current = Some(self.sections.len());
        self.section_at.insert(name.to_owned(), self.sections.len());
        let (name, place) = (name.to_owned(), place.clone());
        self.sections.push(Section { name, place, entries: Vec::new() });
    }

    fn option(&mut self, name: String, value: Line, place: &Place) {
        let Some((current, section)) =
            self.current.and_then(|at| Some((at, self.sections.get_mut(at)?)))
        else {
            let todo = "put [dovecot] or [DEFAULT] in a line above it";
            self.faults.push(Fault::error("in no section", todo).at(place).option(name));
            return;
        };
        if name.is_empty() {
            let fault = Fault::error("a value without a name", "write option = value");
            self.faults.push(fault.at(place));
            return;
        }
        let at = *self.entry_at.entry((current, name.clone())).or_insert(section.entries.len());
        self.open = Some(at);
        let entry = Entry { name, place: place.clone(), value: Text(vec![value]) };
        let Some(earlier) = section.entries.get_mut(at) else {
            section.entries.push(entry);
            return;
        };
        let what = format!("set twice in [{}], first in line {}", section.name, earlier.place.line);
        let fault = Fault::error(what, "keep one of them; fail2ban reads no file with two");
        self.faults.push(fault.at(place).option(entry.name.as_str()));
        *earlier = entry;
    }

    fn open_entry(&mut self) -> Option<&mut Entry> {
        self.sections.get_mut(self.current?)?.entries.get_mut(self.open?)
    }
}

/// `[name]`, with anything behind it.
fn header(value: &str) -> Option<&str> {
    let (name, _) = value.strip_prefix('[')?.rsplit_once(']')?;
    Some(name).filter(|name| !name.is_empty())
}

/// Where a comment begins.
fn comment_start(line: &str) -> Option<usize> {
    if line.trim_start_matches(is_space).starts_with(['#', ';']) {
        return Some(0);
    }
    let behind_space = |&(at, _): &(usize, &str)| {
        line.get(..at).and_then(|before| before.chars().next_back()).is_none_or(is_space)
    };
    line.match_indices(';').find(behind_space).map(|(at, _)| at)
}

/// Finds what is no text in `bytes`, of which `file` has the readable rest.
pub(super) fn check_bytes(file: &Arc<SourceFile>, bytes: &[u8], faults: &mut Vec<Fault>) {
    let mut fault = |offset: usize, what: &str, todo: &str| {
        let place = Place { file: Arc::clone(file), line: line_at(bytes, offset) };
        faults.push(Fault::error(what, todo).at(&place));
    };
    if let Err(error) = std::str::from_utf8(bytes) {
        let todo = "save the file as UTF-8; fail2ban leaves it out altogether";
        fault(error.valid_up_to(), "not UTF-8", todo);
    }
    if let Some(at) = memchr::memchr(0, bytes) {
        fault(at, "a NUL byte", "take it out: the file is damaged, or no text");
    }
    if bytes.starts_with("\u{feff}".as_bytes()) {
        fault(0, "a byte order mark", "save the file as UTF-8 without one");
    }
}
