//! What a line says.

use std::net::IpAddr;

use crate::{
    dovecot::{Layout, Rule},
    time::LogTime,
};

/// All that is known of one line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// When the line says it was written; `None` where no known timestamp leads it.
    pub time: Option<LogTime>,
    /// How that is written.
    pub layout: Option<Layout>,
    /// What it says about a client; `None` for every line that says nothing of interest.
    pub event: Option<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// `ip` did what `rule` describes.
    Failure { ip: IpAddr, rule: &'static Rule },
    /// A user of `ip` logged in.
    Login { ip: IpAddr },
}
