//! The admin's own patterns: `failregex` and `ignoreregex` as fail2ban writes them.
//!
//! Pattern texts with their places come in, out comes a [`Filter`] that judges one line at a
//! time, or every error of every pattern. Performs no I/O, reads no clock.
//!
//! fail2ban's patterns are Python's. Rust's `regex` has no backtracking: that is what bounds
//! the time a hostile line can take, and why some of Python's constructs have no counterpart.
//! A pattern is translated where the meaning is the same and refused, by name and place,
//! where it is not; it never means something else here than there.

mod compiled;
mod fault;
mod pattern;
mod python;
mod tags;
mod text;
mod warning;

#[cfg(test)]
mod tests;

pub use compiled::{Filter, Verdict};
pub use fault::{FilterError, Problem};
pub use pattern::{FilterOption, Origin, Pattern};
pub use tags::has_host_tag;
pub use text::Message;
pub use warning::{Doubt, Warning};
