//! The flags that say where the configuration is, for every verb that needs one.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    config::{DEFAULT_FILE, Loaded, Settings, Sources, load, show},
    filter::{Filter, FilterError},
};

use super::VerbError;

#[derive(Args, Clone, Debug)]
pub(super) struct ConfigArgs {
    /// Configuration; *.conf in the directory beside it, called like it but .d, is read after it
    /// [default: /etc/doveblock/doveblock.conf, where there is one]
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Read the jail dovecot of a fail2ban tree, and of doveblock's own files only --config
    #[arg(long, value_name = "DIR")]
    pub(super) fail2ban: Option<PathBuf>,
}

impl ConfigArgs {
    /// Everything there is to say about it, right or wrong.
    pub(super) fn load(&self) -> Loaded {
        load(&Sources { config: self.config.clone(), fail2ban: self.fail2ban.clone() })
    }

    /// Where files of the configuration are, or may come to be.
    pub(super) fn directories(&self, loaded: &Loaded) -> Vec<PathBuf> {
        let ours = self.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        let files = loaded.files.iter().map(PathBuf::as_path).chain([ours]);
        let mut directories: Vec<PathBuf> = files
            .filter_map(|file| Some(std::path::absolute(file).ok()?.parent()?.to_owned()))
            .collect();
        directories.extend(self.fail2ban.clone());
        directories.sort();
        directories.dedup();
        directories
    }
}

/// The patterns of the configuration, ready for use.
pub(super) fn filter_of(settings: &Settings) -> Result<Filter, VerbError> {
    settings.filter().map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(FilterError::to_string).collect();
        VerbError::Usage(errors.join("\n"))
    })
}

/// All errors in one, if there is any.
pub(super) fn refuse_errors(loaded: &Loaded) -> Result<(), VerbError> {
    const MOST_SHOWN: usize = 50;
    let errors = loaded.errors().count();
    if errors == 0 {
        return Ok(());
    }
    let shown = show(loaded.errors().take(MOST_SHOWN));
    let more = match errors.saturating_sub(MOST_SHOWN) {
        0 => String::new(),
        more => format!("\n\nand {more} more"),
    };
    let s = if errors == 1 { "" } else { "s" };
    Err(VerbError::Usage(format!("{errors} error{s} in the configuration\n\n{shown}{more}")))
}
