//! The sections of several files become one jail, later files first; and `%(name)s` becomes
//! what it stands for. As fail2ban does it, with bounds where fail2ban has none.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    fault::Fault,
    ini::{DEFAULT, Entry, Section},
    text::{Line, Text},
};

/// How deep one value may refer to another: fail2ban's limit.
const DEEPEST: usize = 10;
/// What a value may grow to. Ten levels of ten references each are ten billion.
const MOST_BYTES: usize = 4 << 20;
const MOST_REFERENCES: usize = 10_000;

pub(super) type Entries = BTreeMap<String, Entry>;

/// Everything that was read.
#[derive(Default)]
pub(super) struct Merged {
    pub(super) defaults: Entries,
    pub(super) sections: BTreeMap<String, Entries>,
    /// What a later file has overridden, by section: `%(known/name)s`.
    known: BTreeMap<String, Entries>,
}

/// Left to spend on one value.
struct Budget {
    references: usize,
    bytes: usize,
}

impl Merged {
    /// Adds the sections of one more file.
    pub(super) fn add(&mut self, sections: Vec<Section>) {
        for Section { name, entries, .. } in sections {
            let entries = entries.into_iter().map(|entry| (entry.name.clone(), entry));
            if name == DEFAULT {
                self.defaults.extend(entries);
                continue;
            }
            let merged = self.sections.entry(name.clone()).or_default();
            for (option, entry) in entries {
                if let Some(overridden) = merged.insert(option.clone(), entry) {
                    self.known.entry(name.clone()).or_default().insert(option, overridden);
                }
            }
        }
    }

    /// The option as `section` sees it.
    pub(super) fn get(&self, section: &str, option: &str) -> Option<&Entry> {
        let own = self.sections.get(section).and_then(|entries| entries.get(option));
        own.or_else(|| self.defaults.get(option))
    }

    pub(super) fn is_known(&self, section: &str, option: &str) -> bool {
        self.reference(section, &format!("known/{option}")).is_some()
    }

    /// Every name, and every section, that any value refers to.
    pub(super) fn references(&self) -> BTreeSet<String> {
        let all = self.sections.values().chain([&self.defaults]).chain(self.known.values());
        let lines = all.flat_map(|entries| entries.values()).flat_map(|entry| entry.value.lines());
        let mut names = BTreeSet::new();
        for line in lines {
            for part in line.text.split("%(").skip(1) {
                let Some((name, _)) = part.split_once(")s") else { continue };
                names.extend(name.split_once('/').map(|(section, _)| section.to_owned()));
                let option = name.split_once('/').map_or(name, |(_, option)| option);
                names.insert(option.to_lowercase());
            }
        }
        names
    }

    /// The value of `entry` with everything it refers to put in.
    pub(super) fn resolve(&self, section: &str, entry: &Entry) -> Result<Text, Box<Fault>> {
        let mut budget = Budget { references: MOST_REFERENCES, bytes: MOST_BYTES };
        let mut lines = Vec::new();
        let mut path = vec![entry.name.clone()];
        self.expand(section, &entry.value, &mut path, &mut budget, &mut lines)
            .map_err(|fault| Box::new(fault.option(entry.name.as_str())))?;
        Ok(Text(lines))
    }

    fn expand(
        &self,
        section: &str,
        value: &Text,
        path: &mut Vec<String>,
        budget: &mut Budget,
        out: &mut Vec<Line>,
    ) -> Result<(), Box<Fault>> {
        for (index, line) in value.0.iter().enumerate() {
            // The first line goes on where the reference to it stands.
            if index > 0 || out.is_empty() {
                out.push(Line { text: String::new(), place: line.place.clone() });
            }
            let mut rest = line.text.as_str();
            while let Some((plain, behind)) = rest.split_once('%') {
                append(out, plain, line, budget)?;
                rest = if let Some(behind) = behind.strip_prefix('%') {
                    append(out, "%", line, budget)?;
                    behind
                } else {
                    let (name, behind) = reference(behind).ok_or_else(|| bad_reference(line))?;
                    self.insert(section, name, line, path, budget, out)?;
                    behind
                };
            }
            append(out, rest, line, budget)?;
        }
        Ok(())
    }

    /// Puts in what `name` stands for.
    fn insert(
        &self,
        section: &str,
        name: &str,
        line: &Line,
        path: &mut Vec<String>,
        budget: &mut Budget,
        out: &mut Vec<Line>,
    ) -> Result<(), Box<Fault>> {
        let fault = |what: String, todo: &str| {
            Box::new(Fault::error(what, todo).at(&line.place).mark(format!("%({name})s")))
        };
        let Some(references) = budget.references.checked_sub(1) else {
            let what = format!("refers to more than {MOST_REFERENCES} other values");
            return Err(fault(what, "write it with fewer %(name)s"));
        };
        budget.references = references;
        let key = name.to_lowercase();
        if key == "__name__" {
            return append(out, section, line, budget);
        }
        let Some(entry) = self.reference(section, name) else {
            let todo = if name.starts_with("known/") {
                "known/ stands for what an earlier file sets in the same section, or for [DEFAULT]; \
                 there is neither: write the value out"
            } else {
                "set it in [DEFAULT], or write %% for a % sign"
            };
            return Err(fault(format!("%({name})s stands for nothing"), todo));
        };
        let has_references = entry.value.0.iter().any(|line| line.text.contains('%'));
        if has_references && path.len() >= DEEPEST {
            let is_cycle = path.contains(&key);
            let (what, todo) = if is_cycle {
                let cycle: Vec<&str> = path
                    .iter()
                    .rev()
                    .take_while(|step| **step != key)
                    .map(String::as_str)
                    .collect();
                let cycle: Vec<&str> = cycle.into_iter().rev().collect();
                let what = match cycle.as_slice() {
                    [] => format!("%({name})s refers to itself"),
                    steps => format!("{key} refers to itself by way of {}", steps.join(", ")),
                };
                (what, "break the circle: write one of the values out")
            } else {
                let what = format!("references nested more than {DEEPEST} deep");
                (what, "write one of the values out")
            };
            return Err(fault(what, todo));
        }
        path.push(key);
        self.expand(section, &entry.value, path, budget, out)?;
        path.pop();
        Ok(())
    }

    /// What `name` stands for in `section`: an option of it, or `known/name`, `default/name`,
    /// `section/name`. Those have case, and fall back to [DEFAULT].
    fn reference(&self, section: &str, name: &str) -> Option<&Entry> {
        let key = name.to_lowercase();
        if let Some(entry) = self.get(section, &key) {
            return Some(entry);
        }
        let (place, option) = name.split_once('/').filter(|_| name == key)?;
        let own = match place {
            "default" => None,
            "known" => self.known.get(section).and_then(|entries| entries.get(option)),
            other => self.sections.get(other)?.get(option),
        };
        own.or_else(|| self.defaults.get(option))
    }
}

/// Takes `(name)s` off the start.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (name, behind) = text.strip_prefix('(')?.split_once(')')?;
    let behind = behind.strip_prefix('s')?;
    (!name.is_empty()).then_some((name, behind))
}

fn bad_reference(line: &Line) -> Box<Fault> {
    let todo = "write %% for a % sign, or %(name)s for the value of another option";
    Fault::error("a % that begins no reference", todo).at(&line.place).mark("%").into()
}

/// Adds to the last line of `out`, which is where its first text comes from.
fn append(
    out: &mut [Line],
    text: &str,
    from: &Line,
    budget: &mut Budget,
) -> Result<(), Box<Fault>> {
    let bytes = budget.bytes.checked_sub(text.len()).ok_or_else(|| {
        let what = format!("comes to more than {MOST_BYTES} bytes");
        Box::new(Fault::error(what, "write it with fewer %(name)s").at(&from.place))
    })?;
    budget.bytes = bytes;
    if let Some(last) = out.last_mut().filter(|_| !text.is_empty()) {
        if last.text.is_empty() {
            last.place = from.place.clone();
        }
        last.text.push_str(text);
    }
    Ok(())
}
