//! What a replay needs to know of a line.

use crate::{
    dovecot::{Event, FAILREGEX, Guesses, Place},
    time::LogTime,
};

/// A line that says something about a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it was read: the latest time that the log states up to here.
    pub now: LogTime,
    /// When it was written, as far as it says so.
    pub at: Option<LogTime>,
    pub event: Event,
    /// Who logged in.
    pub user: Option<Box<str>>,
    /// Where a failregex finds a line that only the aggressive rules count, it is an event of its
    /// own in normal mode, and another one in aggressive mode.
    pub is_normal_only: bool,
}

/// What was read besides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// In the order they were read in.
    pub logs: Vec<String>,
    pub lines: u64,
    pub undated: u64,
    /// Lines that are dated to the future.
    pub future: u64,
    pub period: Option<(LogTime, LogTime)>,
}

/// Whether the line is a login process's about the end of a connection, or about a login.
/// Each connection has one such line.
pub(super) fn is_connection(event: &Event) -> bool {
    match event {
        Event::Failure(failure) => {
            matches!(failure.guesses, Guesses::Total(_))
                && matches!(failure.rule.place, Place::Reason | Place::Cause | Place::Head)
                && *failure.rule != FAILREGEX
        }
        Event::Login(_) => true,
        Event::MasterLogin(_) => false,
    }
}
