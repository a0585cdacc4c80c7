//! The parts of a line, for whoever rewrites it.

use super::{
    json,
    prefix::{self, Service},
};

/// Together they are the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'l> {
    /// The timestamp and what stands before it, with the blank behind it.
    pub stamp: &'l [u8],
    /// Host and program.
    pub header: &'l [u8],
    /// `None` where it is not one of those that tell of clients; then the rest is in the header.
    pub message: Option<&'l [u8]>,
}

/// Takes `line` apart. Of a line in JSON nothing is told.
#[must_use]
pub fn parts(line: &[u8]) -> Parts<'_> {
    if json::object(line).is_some() {
        return Parts { stamp: &[], header: line, message: None };
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let split = |rest: &[u8]| line.split_at_checked(line.len().checked_sub(rest.len())?);
    let behind = prefix::stamp(line).map_or(line, |(_, rest)| rest);
    let (stamp, rest) = split(behind).unwrap_or((&[], line));
    let of_clients = |prefix: &prefix::Prefix<'_>| prefix.service != Service::Other;
    let message = prefix::split(line).filter(of_clients).map(|prefix| prefix.message);
    // A repeated message ends before the line does.
    let at = message.and_then(|message| memchr::memmem::rfind(rest, message));
    match at.and_then(|at| rest.split_at_checked(at)) {
        Some((header, message)) => Parts { stamp, header, message: Some(message) },
        None => Parts { stamp, header: rest, message: None },
    }
}
