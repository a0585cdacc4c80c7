//! Reading logs that end, for the verbs that are given some: what the command line names, how far
//! it has been read, and the threads that judge it.

mod crew;
mod input;
mod progress;

pub(super) use crew::{Clerk, Rest, Sees, judge, threads_for};
pub(super) use input::{Input, Log, check, distinct};
pub(super) use progress::for_reading;
