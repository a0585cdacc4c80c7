//! Reports and logs that name nobody: addresses and users in, others in their place out.
//!
//! The same stands for the same everywhere, as far as one [`Key`] is used. Addresses keep what
//! they have in common: two of one /24 (or /64) stay two of one /24, and private ones stay private.
//! Whoever has no key can turn nothing back. Times stay, and so does what happened: who knows that
//! a certain host failed at a certain second finds its address.

mod key;
mod line;
mod report;
mod words;

pub use key::Key;
pub use line::{Anonymizer, Done};
pub use report::anonymized;
