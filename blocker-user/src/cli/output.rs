//! Printing: tables for people, JSON for programs, and a quiet end when nobody reads on.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::VerbError;

/// How a verb prints its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Prints `value` as one JSON document.
pub(super) fn json(value: &impl Serialize) -> Result<(), VerbError> {
    let mut text = serde_json::to_string_pretty(value).map_err(VerbError::failed)?;
    text.push('\n');
    text_out(&text)
}

/// `text` without anything that a terminal would obey, or that would make it show something else
/// than what there is: log lines hold what clients wrote.
pub(crate) fn visible(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
            || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if is_hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// Prints `text`. `doveblock list | head` is no error.
pub(super) fn text_out(text: &str) -> Result<(), VerbError> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(VerbError::failed(error)),
        _ => Ok(()),
    }
}

/// The file of a page that is written at the end of a long work: what is wrong with it is found
/// at the beginning.
pub(super) struct PageFile {
    file: File,
    path: PathBuf,
}

/// How each of our pages begins.
const PAGE: &[u8] = b"<!DOCTYPE html>";

impl PageFile {
    /// A page names users and their addresses, so it is for its owner's eyes. A file that is
    /// there and is no page is a log whose name slipped behind `--html`.
    pub(super) fn open(path: &Path) -> Result<Self, VerbError> {
        let shown = path.display();
        let failed = |error| VerbError::failed(format!("cannot write {shown}: {error}"));
        if path.as_os_str() == "-" {
            return Err(VerbError::usage("--html takes the name of a file, not -"));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path).map_err(failed)?;
        let mut start = Vec::new();
        let begin = u64::try_from(PAGE.len()).unwrap_or(u64::MAX);
        (&mut file).take(begin).read_to_end(&mut start).map_err(failed)?;
        if !start.is_empty() && start != PAGE {
            return Err(VerbError::usage(format!(
                "--html {shown}: there is such a file, and it is no page; name another one, or \
                 remove it"
            )));
        }
        Ok(Self { file, path: path.to_owned() })
    }

    pub(super) fn write(mut self, page: &str) -> Result<(), VerbError> {
        let written = self
            .file
            .rewind()
            .and_then(|()| self.file.set_len(0))
            .and_then(|()| self.file.write_all(page.as_bytes()));
        let shown = self.path.display();
        written.map_err(|error| VerbError::failed(format!("cannot write {shown}: {error}")))
    }
}

/// A table with its columns aligned; the first row is the heading.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{PageFile, table};
    use std::{fs, os::unix::fs::PermissionsExt as _};

    #[test]
    fn a_page_takes_the_place_of_a_page_and_of_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("page.html");
        for text in ["<!DOCTYPE html>a longer one", "<!DOCTYPE html>one"] {
            PageFile::open(&path).unwrap().write(text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "Nov 24 17:00:00 mail dovecot: x").unwrap();
        let error = PageFile::open(&path).err().unwrap().to_string();
        assert!(error.contains("it is no page"), "{error}");
        assert!(fs::read_to_string(&path).unwrap().starts_with("Nov 24"));
        assert!(PageFile::open("-".as_ref()).is_err());
        assert!(PageFile::open(&directory.path().join("no/page.html")).is_err());
    }

    #[test]
    fn columns_line_up_and_lines_do_not_trail() {
        let rows = [["ip", "until"], ["192.0.2.7", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "ip         until\n192.0.2.7  x\n");
    }
}
