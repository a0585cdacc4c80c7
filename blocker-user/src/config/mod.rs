//! The configuration, in fail2ban's syntax: files in, typed settings out, and with them where
//! each comes from and every fault there is. Reading never stops at the first fault, and no
//! content of a file makes it hang or panic. Starts nothing, and looks no name up.
//!
//! `files` finds what to read, `ini` takes lines apart, `merge` puts files together and
//! resolves references, `options` has the table of what there is, `load` ties them together.

mod addresses;
mod docs;
mod fault;
mod files;
mod ini;
mod listen;
mod load;
mod logs;
mod merge;
mod options;
mod ports;
mod regexes;
mod settings;
mod text;
mod units;
mod unused;
mod values;

pub use addresses::{Ignored, parse_ignore_list, parse_subject};
pub use docs::markdown;
pub use fault::{Fault, Severity, show};
pub use files::{DEFAULT_FILE, Sources};
pub use listen::parse_listen;
pub use load::{JAIL, Loaded, Origin, Unused, load};
pub use options::{Fail2ban, OPTIONS, Opt, find, nearest};
pub use ports::{PortList, parse_ports};
pub use settings::{Backend, OnStop, Protocol, Regexes, Settings};
pub use text::{Line, Owner, Place, SourceFile, Text};
pub use units::{parse_bantime, parse_span};
pub(crate) use unused::UNUSED;
pub use unused::unused_options;
pub use values::parse_findtime;
pub(crate) use values::show_span;

/// Text that is not what the option takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Invalid {
    what: String,
    /// As much of the text as is at fault, where that is known.
    part: Option<String>,
}

impl Invalid {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), part: None }
    }

    /// Of a list, which may have many lines, this entry is at fault.
    fn of(part: &str, what: impl Into<String>) -> Self {
        Self { part: Some(part.to_owned()), ..Self::new(what) }
    }
}

#[cfg(test)]
mod tests;
