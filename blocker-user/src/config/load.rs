//! Files in; settings, where each of them comes from, and every fault out.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use super::{
    Fault, Owner, Place, Settings, Severity, Sources,
    files::Files,
    ini::{DEFAULT, Entry, Section},
    merge::Merged,
    options::{self, Fail2ban, OPTIONS, Opt},
    unused, values,
};

/// The only jail there is.
pub const JAIL: &str = "dovecot";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(Place),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => place.fmt(f),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// An option of fail2ban's that is set and has no use here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    pub name: String,
    pub place: Place,
    pub why: &'static str,
}

/// A configuration as it was found, right or wrong.
#[derive(Debug)]
pub struct Loaded {
    /// Whatever could be read. To be relied on only where there is no error.
    pub settings: Settings,
    pub origins: BTreeMap<&'static str, Origin>,
    pub faults: Vec<Fault>,
    pub unused: Vec<Unused>,
    /// In the order in which they count.
    pub files: Vec<PathBuf>,
}

impl Loaded {
    /// What there is without any file.
    #[must_use]
    pub fn defaults() -> Self {
        Self {
            settings: Settings::default(),
            origins: BTreeMap::new(),
            faults: Vec::new(),
            unused: Vec::new(),
            files: Vec::new(),
        }
    }

    pub fn errors(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(|fault| fault.severity == Severity::Error)
    }

    pub fn warnings(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(|fault| fault.severity == Severity::Warning)
    }

    /// The value of `option` as one would write it, and where it comes from.
    #[must_use]
    pub fn effective(&self, option: &Opt) -> (String, Origin) {
        let origin = self.origins.get(option.name).cloned().unwrap_or(Origin::Default);
        (option.shown(&self.settings), origin)
    }

    /// Notes that `option` was set on the command line.
    pub fn flag(&mut self, option: &'static str) {
        self.origins.insert(option, Origin::Flag);
    }

    /// What all unused options come to, for a log.
    #[must_use]
    pub fn unused_line(&self) -> Option<String> {
        let names: Vec<&str> = self.unused.iter().map(|unused| unused.name.as_str()).collect();
        (!names.is_empty()).then(|| {
            format!(
                "options of fail2ban without a use here: {}; `doveblock check` says why",
                names.join(", ")
            )
        })
    }
}

/// Reads all of it, whatever is wrong with parts of it.
#[must_use]
pub fn load(sources: &Sources) -> Loaded {
    let Files { read, sections, faults, .. } = Files::of(sources);
    let mut loaded = Loaded { faults, files: read, ..Loaded::defaults() };
    let mut merged = Merged::default();
    let mut headings = Vec::new();
    for file in sections {
        headings
            .extend(file.iter().map(|Section { name, place, .. }| (name.clone(), place.clone())));
        merged.add(file);
    }
    for option in &OPTIONS {
        loaded.set(option, &merged);
    }
    loaded.faults.extend(loaded.settings.faults_of_patterns());
    if let Some(Origin::File(place)) = loaded.origins.get("journalmatch") {
        loaded.faults.extend(loaded.settings.doubt_of_journalmatch(place));
    }
    loaded.name_unknown(&merged, headings);
    loaded.compare_mode_with_filter(&merged);
    loaded.name_unknown_of_filter(&merged);
    if let Some(dir) = &sources.fail2ban {
        loaded.compare_with_fail2ban(dir, &merged);
    }
    loaded
}

impl Loaded {
    fn set(&mut self, option: &'static Opt, merged: &Merged) {
        let Some(entry) = merged.get(JAIL, option.name) else { return };
        if option.fail2ban == Fail2ban::Unlike && entry.place.owner() == Owner::Fail2ban {
            return;
        }
        let known = format!("%(known/{})s", option.name);
        let is_regex = matches!(option.name, "failregex" | "ignoreregex");
        let asks_for_builtin = is_regex
            && !merged.is_known(JAIL, option.name)
            && entry.value.lines().any(|line| line.text.contains(&known));
        let mut entry = entry.clone();
        if asks_for_builtin {
            // In fail2ban it is the filter's own, and the filter is built in here.
            entry.value.0.iter_mut().for_each(|line| line.text = line.text.replace(&known, ""));
        }
        let text = match merged.resolve(JAIL, &entry) {
            Ok(text) => text,
            Err(fault) => return self.faults.push(*fault),
        };
        match (option.set)(&mut self.settings, &text) {
            Ok(()) => {
                self.origins.insert(option.name, Origin::File(entry.place));
            }
            Err(what) => {
                let has = |part: &str| text.lines().find(|line| line.text.contains(part));
                let line = what.part.as_deref().and_then(has).or_else(|| text.lines().next());
                let place = line.map_or(&entry.place, |line| &line.place);
                let mark = what.part.clone().or_else(|| line.map(|line| line.text.clone()));
                let mark = mark.unwrap_or_default();
                let default = option.shown(&Settings::default());
                let default = default.lines().next().map(|text| format!("; its default is {text}"));
                let todo = format!(
                    "{} takes {}{}",
                    option.name,
                    option.takes,
                    default.unwrap_or_default()
                );
                self.faults.push(
                    Fault::error(what.to_string(), todo).at(place).option(option.name).mark(mark),
                );
            }
        }
        if asks_for_builtin {
            let settings = &mut self.settings;
            match option.name {
                "failregex" => settings.failregex.with_builtin = true,
                _ => settings.ignoreregex.with_builtin = true,
            }
        }
    }

    /// Options and sections that mean nothing, unless another value refers to them.
    fn name_unknown(&mut self, merged: &Merged, headings: Vec<(String, Place)>) {
        let references = merged.references();
        let own = merged.sections.get(JAIL);
        let entries = own.into_iter().flatten().chain(&merged.defaults);
        for (name, entry) in entries {
            let is_ours = entry.place.owner() == Owner::Doveblock;
            let is_used = options::find(name)
                .is_some_and(|option| is_ours || option.fail2ban != Fail2ban::Unlike);
            if is_used {
                continue;
            }
            if let Some(why) = unused::reason(name) {
                self.note_unused(name, entry, why);
            } else if !references.contains(name) && !unused::is_part_of_action(name) {
                self.faults.extend(unknown(name, entry, is_ours));
            }
        }
        for (name, entry) in merged.sections.get("INCLUDES").into_iter().flatten() {
            let is_known =
                ["before", "after"].contains(&name.as_str()) || references.contains(name);
            if !is_known && entry.place.owner() == Owner::Doveblock {
                let fault = Fault::error("nothing to include files by", "write before or after");
                self.faults.push(fault.at(&entry.place).option(name).mark(name));
            }
        }
        for (name, place) in headings {
            let is_known = [DEFAULT, JAIL, "INCLUDES"].contains(&name.as_str());
            let is_ours = place.owner() == Owner::Doveblock;
            if is_known || references.contains(&name) {
                continue;
            }
            let is_meant = strsim::damerau_levenshtein(&name.to_lowercase(), JAIL) <= 2;
            let todo = if is_meant {
                "write [dovecot]"
            } else {
                "the sections are [DEFAULT] and [dovecot]"
            };
            let what = format!("there is no jail [{name}]");
            if is_ours {
                self.faults.push(Fault::error(what, todo).at(&place));
            } else if is_meant {
                self.faults.push(Fault::warning(what, todo).at(&place));
            }
        }
    }

    fn note_unused(&mut self, name: &str, entry: &Entry, why: &'static str) {
        // An option of [dovecot] comes before the same one of [DEFAULT].
        let is_said = self.unused.iter().any(|unused| unused.name == name);
        if is_said || entry.value.is_empty() {
            return;
        }
        if name == "ignorecommand" {
            let what = "is not run: whom it spares in fail2ban is banned here";
            let fault = Fault::warning(what, "list the addresses that it spares in ignoreip");
            self.faults.push(fault.at(&entry.place).option(name));
        }
        self.unused.push(Unused { name: name.to_owned(), place: entry.place.clone(), why });
    }

    /// fail2ban takes the mode from `filter` alone.
    fn compare_mode_with_filter(&mut self, merged: &Merged) {
        let (Some(mode), Some(filter)) = (merged.get(JAIL, "mode"), merged.get(JAIL, "filter"))
        else {
            return;
        };
        let resolved = merged.resolve(JAIL, mode).map(|text| text.joined()).unwrap_or_default();
        if resolved != self.settings.mode.to_string() {
            let what = format!(
                "has no effect: filter overrules it in {}, and says {}",
                filter.place, self.settings.mode
            );
            let todo = "take filter out, or write filter = dovecot[mode=%(mode)s]";
            self.faults.push(Fault::warning(what, todo).at(&mode.place).option("mode"));
        }
    }

    /// fail2ban passes any option on to the file of the filter, which is not read here.
    fn name_unknown_of_filter(&mut self, merged: &Merged) {
        let Some(filter) = merged.get(JAIL, "filter") else { return };
        let text = merged.resolve(JAIL, filter).map(|text| text.joined()).unwrap_or_default();
        for name in values::unknown_filter_options(&text) {
            let what = format!("the filter has no option {name} here: it does nothing");
            let todo = "the filter's option is mode; logtype may stand there too, and is found out \
                        line by line";
            self.faults.push(Fault::warning(what, todo).at(&filter.place).option("filter"));
        }
    }

    /// What someone who runs both should know.
    fn compare_with_fail2ban(&mut self, dir: &Path, merged: &Merged) {
        let filter = dir.join("filter.d/dovecot.local");
        if filter.exists() {
            let todo =
                "put its expressions into failregex and ignoreregex of [dovecot] in jail.local";
            self.faults
                .push(Fault::warning("changes of the filter are not read", todo).in_file(filter));
        }
        let enabled =
            merged.get(JAIL, "enabled").filter(|entry| entry.place.owner() == Owner::Fail2ban);
        if let (Some(entry), true) = (enabled, self.settings.enabled) {
            let what = "fail2ban has this jail enabled as well";
            let todo = "both count and ban while fail2ban runs; set enabled = false for fail2ban \
                        once doveblock has taken over";
            self.faults.push(Fault::warning(what, todo).at(&entry.place).option("enabled"));
        }
        // It is fail2ban that is told whether to run; we were told by being started.
        if enabled.is_some() {
            self.settings.enabled = true;
            self.origins.remove("enabled");
        }
        if !merged.sections.contains_key(JAIL) && !self.files.is_empty() {
            let what = format!("there is no [{JAIL}] in this tree; [DEFAULT] and defaults hold");
            let todo = "check that it is the tree of fail2ban that you meant";
            let file = self.files.first().cloned().unwrap_or_default();
            self.faults.push(Fault::warning(what, todo).in_file(file));
        }
    }
}

fn unknown(name: &str, entry: &Entry, is_ours: bool) -> Option<Fault> {
    let nearest = options::nearest(name);
    let todo = match nearest {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "take it out; docs/config.md lists the options".to_owned(),
    };
    let what = "an option of neither doveblock nor fail2ban";
    match (is_ours, nearest) {
        (true, _) => Some(Fault::error(what, todo)),
        (false, Some(_)) => Some(Fault::warning(what, todo)),
        // A tree of fail2ban is full of names that only its files know.
        (false, None) => None,
    }
    .map(|fault| fault.at(&entry.place).option(name).mark(name))
}
