//! What a policy would have done on logs of the past.
//!
//! Events in the order of time in, a [`Report`](crate::report::Report) out. The jails are the
//! daemon's own, and the time is the log's, as when the daemon catches up with a log. One pass
//! over the log serves many of them: the policy asked for, the same with other settings beside
//! it, and a sweep over maxretry, findtime and bantime.
//!
//! Unless told otherwise this tells what would have been, not what was: while a ban is in force
//! the kernel drops what the client sends, so lines of connections that it began then would not
//! have been written. They count as prevented, and no jail hears of them. Lines of connections
//! that began before the ban are there all the same.
//!
//! No I/O, no clock. Memory is bounded whatever the logs hold: each table says by how much.

mod bits;
mod clients;
mod crew;
mod detail;
mod entry;
mod people;
mod plan;
mod recommend;
mod replay;
mod rhythm;
mod summary;
mod timeline;
mod top;
mod trial;

pub use entry::{Entry, Reading};
pub use plan::Plan;
pub use replay::Replay;
