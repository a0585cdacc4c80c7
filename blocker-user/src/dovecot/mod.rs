//! One log line in, what it says about an address out.
//!
//! Performs no I/O, reads no clock, and does not know that bans exist. Everything on a line
//! that a client can influence (user names above all) is hostile input here.

mod event;
mod rules;

pub use event::{Event, Judgement};
pub use rules::{Mode, RULES, Rule};

use crate::time::LogTime;
pub struct Judge;
impl Judge {
    pub fn new(_mode: Mode, _zone: jiff::tz::TimeZone) -> Self {
        Self
    }
    pub fn judge(&mut self, _line: &[u8], _now: LogTime) -> Judgement {
        Judgement { time: None, event: None }
    }
}
impl std::str::FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "normal" => Ok(Self::Normal),
            "aggressive" => Ok(Self::Aggressive),
            _ => Err("?".into()),
        }
    }
}
