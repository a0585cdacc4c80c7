//! One log line in, what it says about an address out.
//!
//! Performs no I/O, reads no clock, and does not know that bans exist. Everything on a line
//! that a client can influence (user names above all) is hostile input here.

mod event;
mod rules;

pub use event::{Event, Judgement};
pub use rules::{Mode, RULES, Rule};
