//! Files in, a newc archive out: what the kernel unpacks before it starts `/init`.
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use cpio::newc::{self, Builder, ModeFileType};

use crate::cmd;

/// A regular file of the archive. Shared, because every kernel gets the same programs.
#[derive(Clone)]
pub(super) struct Entry {
    /// Without a leading slash.
    name: String,
    content: Arc<Vec<u8>>,
    mode: u32,
}

impl Entry {
    pub(super) fn file(name: &str, content: Vec<u8>) -> Self {
        Self { name: name.to_owned(), content: Arc::new(content), mode: 0o644 }
    }

    /// A file in the place that it has here.
    pub(super) fn copy(path: &Path) -> Result<Self> {
        let content =
            fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
        Ok(Self::file(path.to_string_lossy().trim_start_matches('/'), content))
    }

    fn program(name: &str, path: &Path) -> Result<Self> {
        let content = Self::copy(path)?.content;
        Ok(Self { name: name.to_owned(), content, mode: 0o755 })
    }
}

/// Programs by their name in the archive, with the shared libraries that they ask for.
pub(super) fn programs(programs: &[(String, PathBuf)]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut libraries = BTreeSet::new();
    for (name, path) in programs {
        entries.push(Entry::program(name, path)?);
        let listed = cmd::output(cmd::command("ldd").arg(path))?;
        libraries.extend(listed.lines().filter_map(library).map(str::to_owned));
    }
    for library in libraries {
        entries.push(Entry::program(library.trim_start_matches('/'), Path::new(&library))?);
    }
    Ok(entries)
}

/// The file in a line of ldd: `libc.so.6 => /lib/…/libc.so.6 (0x…)`, or the loader's own path.
fn library(line: &str) -> Option<&str> {
    let found = line.split_once(" => ").map_or(line, |(_, path)| path).trim();
    let (path, _address) = found.split_once(" (")?;
    path.starts_with('/').then_some(path)
}

pub(super) fn write(archive: &Path, entries: &[Entry]) -> Result<()> {
    let failed = || format!("failed to write {}", archive.display());
    let file = File::create(archive).with_context(failed)?;
    let mut output = BufWriter::new(file);
    let mut inode = 0;
    let mut builder = |name: &str, mode: u32, kind: ModeFileType| {
        inode += 1;
        Builder::new(name).ino(inode).mode(mode).set_mode_file_type(kind)
    };
    for directory in directories(entries) {
        let entry = builder(&directory, 0o755, ModeFileType::Directory);
        output = entry.write(output, 0).finish().with_context(failed)?;
    }
    for Entry { name, content, mode } in entries {
        let length = u32::try_from(content.len()).with_context(|| format!("{name} is too long"))?;
        let mut entry = builder(name, *mode, ModeFileType::Regular).write(output, length);
        entry.write_all(content).with_context(failed)?;
        output = entry.finish().with_context(failed)?;
    }
    newc::trailer(output).and_then(|mut output| output.flush()).with_context(failed)
}

/// Every directory above an entry, the outer ones first, and those that `/init` expects.
fn directories(entries: &[Entry]) -> BTreeSet<String> {
    let above = |name: &str| {
        let ancestors = Path::new(name).ancestors().skip(1);
        ancestors.map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let mut directories: BTreeSet<String> =
        entries.iter().flat_map(|entry| above(&entry.name)).collect();
    directories.insert("etc".to_owned());
    directories.remove("");
    directories
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_libraries_of_a_program_are_read_from_what_ldd_prints() {
        let listed = "\tlinux-vdso.so.1 (0x00007fff)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f31)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f32)\n\tstatically linked\n";
        let found: Vec<_> = listed.lines().filter_map(library).collect();
        assert_eq!(found, ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
    }

    #[test]
    fn an_archive_holds_every_directory_before_what_is_in_it() {
        let archive = std::env::temp_dir().join(format!("xtask-cpio-{}", std::process::id()));
        let entries = [
            Entry::file("modules/00-a.ko", b"module".to_vec()),
            Entry::file("init", b"x".to_vec()),
        ];
        write(&archive, &entries).unwrap();
        let mut input = fs::read(&archive).unwrap();
        fs::remove_file(&archive).unwrap();
        let mut found = Vec::new();
        loop {
            let mut entry = newc::Reader::new(input.as_slice()).unwrap();
            if entry.entry().is_trailer() {
                break;
            }
            let name = entry.entry().name().to_owned();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            input = entry.finish().unwrap().to_vec();
            found.push((name, content));
        }
        let found: Vec<_> = found.iter().map(|(n, c)| (n.as_str(), c.as_str())).collect();
        assert_eq!(
            found,
            [("etc", ""), ("modules", ""), ("modules/00-a.ko", "module"), ("init", "x")]
        );
    }
}
