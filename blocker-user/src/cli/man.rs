//! `man`: the manual, made of the command line itself and of the table of options.

mod conf;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;

use super::{Cli, VerbError, output};

/// What is a daemon's or an administrator's.
const SECTION: &str = "8";
const MANUAL: &str = "doveblock";

#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// The page to print: doveblock, one of its verbs, or doveblock.conf
    #[arg(default_value = "doveblock", conflicts_with = "dir")]
    page: String,
    /// Write every page into this directory instead
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

struct Page {
    file_name: String,
    text: String,
}

impl Page {
    fn is_called(&self, name: &str) -> bool {
        let title = self.file_name.rsplit_once('.').map_or("", |(title, _)| title);
        title == name || title.strip_prefix("doveblock-") == Some(name)
    }
}

pub(super) fn run(args: &ManArgs) -> Result<(), VerbError> {
    let pages = pages().map_err(VerbError::failed)?;
    if let Some(dir) = &args.dir {
        return write(&pages, dir);
    }
    let found = pages.iter().find(|page| page.is_called(&args.page));
    let page = found.ok_or_else(|| {
        let names: Vec<&str> = pages.iter().map(|page| page.file_name.as_str()).collect();
        VerbError::Usage(format!("there is no page {:?}; there is {}", args.page, names.join(", ")))
    })?;
    output::text_out(&page.text)
}

fn write(pages: &[Page], dir: &Path) -> Result<(), VerbError> {
    let failed = |path: &Path, error| {
        VerbError::Failed(format!("the manual cannot be written to {}: {error}", path.display()))
    };
    fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    for page in pages {
        let path = dir.join(&page.file_name);
        fs::write(&path, &page.text).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

fn pages() -> Result<Vec<Page>, std::io::Error> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = vec![page(command.clone(), "doveblock")?];
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("doveblock-{}", verb.get_name());
        pages.push(page(verb.clone(), &name)?);
    }
    pages.push(Page { file_name: "doveblock.conf.5".to_owned(), text: conf::page() });
    Ok(pages)
}

fn page(command: Command, name: &str) -> Result<Page, std::io::Error> {
    let command = command.display_name(name.to_owned()).version(env!("CARGO_PKG_VERSION"));
    let source = format!("doveblock {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).title(name).section(SECTION).manual(MANUAL).source(source);
    let mut text = Vec::new();
    man.render(&mut text)?;
    conf::see_also(&mut text, name);
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(Page { file_name: format!("{name}.{SECTION}"), text })
}

#[cfg(test)]
mod tests {
    use super::pages;
    use crate::config::OPTIONS;

    #[test]
    fn every_verb_and_every_option_is_in_the_manual() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|page| page.file_name.as_str()).collect();
        for name in ["doveblock.8", "doveblock-run.8", "doveblock-detach.8", "doveblock.conf.5"] {
            assert!(names.contains(&name), "{names:?}");
        }
        let conf = &pages.last().unwrap().text;
        for option in &OPTIONS {
            let name = option.name.replace('-', r"\-");
            assert!(conf.contains(&format!("\\fB{name}\\fR")), "{name} is missing");
        }
    }

    #[test]
    fn a_page_is_found_by_the_name_of_its_verb() {
        let pages = pages().unwrap();
        for name in ["doveblock", "run", "doveblock-run", "doveblock.conf"] {
            let found = pages.iter().filter(|page| page.is_called(name)).count();
            assert_eq!(found, 1, "{name}");
        }
    }
}
