//! Which files are read, in which order: fail2ban's tree, our own, and what they include.

use std::{
    collections::HashMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    fault::Fault,
    ini::{self, Section},
    merge::Merged,
    text::{Owner, SourceFile},
};

/// Where the configuration is, when nothing else is said.
pub const DEFAULT_FILE: &str = "/etc/doveblock/doveblock.conf";

/// No configuration is longer, all its files together.
const MOST_BYTES: u64 = 4 << 20;
/// Counting a file as often as it is included.
const MOST_FILES: usize = 500;

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Our own file; [`DEFAULT_FILE`] if there is one, unless a fail2ban tree is named.
    pub config: Option<PathBuf>,
    /// A tree of fail2ban's. Our own files come after it.
    pub fail2ban: Option<PathBuf>,
}

/// What was read, in the order in which it counts.
pub(super) struct Files {
    pub(super) read: Vec<PathBuf>,
    pub(super) sections: Vec<Vec<Section>>,
    pub(super) faults: Vec<Fault>,
    bytes_left: u64,
    /// `None` for what could not be read.
    cache: HashMap<PathBuf, Option<Vec<Section>>>,
}

impl Files {
    pub(super) fn of(sources: &Sources) -> Self {
        let mut files = Self {
            read: Vec::new(),
            sections: Vec::new(),
            faults: Vec::new(),
            bytes_left: MOST_BYTES,
            cache: HashMap::new(),
        };
        if let Some(dir) = &sources.fail2ban {
            files.tree(dir);
        }
        match &sources.config {
            Some(file) => files.own(file),
            None if sources.fail2ban.is_some() => {}
            // The directory counts without the file, too; a file that cannot be reached is an error.
            None if is_missing(Path::new(DEFAULT_FILE)) => {
                files.own_directory(Path::new(DEFAULT_FILE));
            }
            None => files.own(Path::new(DEFAULT_FILE)),
        }
        files
    }

    /// jail.conf, jail.d/*.conf, jail.local, jail.d/*.local.
    fn tree(&mut self, dir: &Path) {
        let mut paths = Vec::new();
        for ending in ["conf", "local"] {
            paths
                .extend(Some(dir.join("jail").with_extension(ending)).filter(|path| path.exists()));
            paths.extend(self.directory(&dir.join("jail.d"), ending));
        }
        if paths.is_empty() {
            let what = "no configuration of fail2ban: there is neither jail.conf nor jail.local";
            let todo = "name the directory they are in, as in --fail2ban /etc/fail2ban";
            self.faults.push(Fault::error(what, todo).in_file(dir));
        }
        for path in paths {
            self.file(&path, Owner::Fail2ban, &mut Vec::new());
        }
    }

    fn own(&mut self, file: &Path) {
        self.file(file, Owner::Doveblock, &mut Vec::new());
        self.own_directory(file);
    }

    fn own_directory(&mut self, file: &Path) {
        for path in self.directory(&file.with_extension("d"), "conf") {
            self.file(&path, Owner::Doveblock, &mut Vec::new());
        }
    }

    /// The files of `dir` with this ending, sorted; none if it is not there. Hidden files are
    /// an editor's.
    fn directory(&mut self, dir: &Path, ending: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return found,
            Err(error) => {
                self.faults.push(unreadable(dir, &error));
                return found;
            }
        };
        for entry in entries {
            match entry {
                Ok(entry) => found.push(entry.path()),
                Err(error) => self.faults.push(unreadable(dir, &error)),
            }
        }
        found.retain(|path| {
            let hidden =
                path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
            !hidden && path.extension().is_some_and(|extension| extension == ending)
        });
        found.sort();
        found
    }

    /// Reads `path` between what it includes before and after itself. `within` are the files
    /// that are being read.
    fn file(&mut self, path: &Path, owner: Owner, within: &mut Vec<PathBuf>) {
        if self.read.len() >= MOST_FILES {
            if self.read.len() == MOST_FILES {
                let what = format!("more than {MOST_FILES} files are included");
                let todo = "let fewer files include each other; none is read any more";
                self.faults.push(Fault::error(what, todo).in_file(path));
                self.read.push(path.to_owned());
            }
            return;
        }
        let Some(sections) = self.parsed(path, owner) else { return };
        self.read.push(path.to_owned());
        within.push(path.to_owned());
        let before = self.included(path, &sections, "before", within);
        let after = self.included(path, &sections, "after", within);
        for include in before {
            self.file(&include, owner, within);
        }
        self.sections.push(sections);
        for include in after {
            self.file(&include, owner, within);
        }
        within.pop();
    }

    /// The files that `[INCLUDES]` names under `option`, each with its `.local` behind it.
    fn included(
        &mut self,
        path: &Path,
        sections: &[Section],
        option: &str,
        within: &[PathBuf],
    ) -> Vec<PathBuf> {
        const INCLUDES: &str = "INCLUDES";
        let mut alone = Merged::default();
        alone.add(sections.iter().filter(|section| is_about_includes(section)).cloned().collect());
        let Some(entry) =
            alone.get(INCLUDES, option).filter(|_| alone.sections.contains_key(INCLUDES))
        else {
            return Vec::new();
        };
        let names = match alone.resolve(INCLUDES, entry) {
            Ok(names) => names,
            Err(fault) => {
                self.faults.push(*fault);
                return Vec::new();
            }
        };
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut found = Vec::new();
        for line in names.lines() {
            let include = dir.join(&line.text);
            if within.contains(&include) {
                let what = format!("{} includes itself", include.display());
                let fault = Fault::error(what, "break the circle: take one of the includes out");
                self.faults.push(fault.at(&line.place).option(option).mark(line.text.as_str()));
                continue;
            }
            if !include.exists() && line.place.owner() == Owner::Doveblock {
                let what = format!("{} is not there", include.display());
                let fault =
                    Fault::error(what, "name a file by its path, from this one's directory");
                self.faults.push(fault.at(&line.place).option(option).mark(line.text.as_str()));
                continue;
            }
            // fail2ban's own files include optional ones.
            let local = include.with_extension("local");
            let local = (include.extension().is_some_and(|extension| extension == "conf")
                && local.exists())
            .then_some(local);
            found.extend(Some(include).filter(|path| path.exists()));
            found.extend(local);
        }
        found
    }

    fn parsed(&mut self, path: &Path, owner: Owner) -> Option<Vec<Section>> {
        if let Some(known) = self.cache.get(path) {
            return known.clone();
        }
        let sections = match read_bounded(path, self.bytes_left) {
            Ok(bytes) => {
                let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.bytes_left = self.bytes_left.saturating_sub(len);
                let text = String::from_utf8_lossy(&bytes);
                let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
                let file = Arc::new(SourceFile::new(path.to_owned(), owner, text));
                ini::check_bytes(&file, &bytes, &mut self.faults);
                Some(ini::read(&file, &mut self.faults))
            }
            Err(error) => {
                self.faults.push(unreadable(path, &error));
                None
            }
        };
        self.cache.insert(path.to_owned(), sections.clone());
        sections
    }
}

fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn is_about_includes(section: &Section) -> bool {
    section.name == "INCLUDES" || section.name == ini::DEFAULT
}

/// A device or a pipe could go on for ever.
fn read_bounded(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let other = |what: String| Err(std::io::Error::other(what));
    let kind = fs::metadata(path)?;
    if !kind.is_file() {
        let what = if kind.is_dir() { "it is a directory" } else { "it is no regular file" };
        return other(what.to_owned());
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return other(format!("with it, the configuration has more than {MOST_BYTES} bytes"));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    let todo = match error.kind() {
        std::io::ErrorKind::NotFound => "check the path; without --config the defaults hold",
        std::io::ErrorKind::PermissionDenied => "run as root, or let this user read it",
        _ => "put a text file in its place",
    };
    Fault::error(format!("cannot be read: {error}"), todo).in_file(path)
}
