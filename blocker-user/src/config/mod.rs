//! Values as an admin writes them: times, ports, address lists. In comes text, out comes a
//! typed value or a sentence that says what was expected.

mod addresses;
mod ports;
mod units;

pub use addresses::{parse_ignore_list, parse_subject};
pub use ports::{PortList, parse_ports};
pub use units::{parse_bantime, parse_span};

/// Text that is not what the option takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

impl Invalid {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}
