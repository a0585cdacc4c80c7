//! Other settings than the ones asked for.

use serde::Serialize;

use super::{Change, Effect};

/// `maxretry` times `findtime`, at the mode and bantime asked for; and `bantime`, at the rest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    pub mode: &'static str,
    /// The columns, ascending.
    pub maxretry: Vec<u32>,
    /// The rows in seconds, ascending.
    pub findtime: Vec<u64>,
    /// All cells, row by row: `cells[row * maxretry.len() + column]`.
    pub cells: Vec<Cell>,
    /// The same maxretry and findtime as asked for, with other bantimes, ascending.
    pub bantimes: Vec<Cell>,
}

/// One setting of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    pub maxretry: u32,
    pub findtime: u64,
    /// `None` is for ever.
    pub bantime: Option<u64>,
    pub effect: Effect,
}

/// What to set, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recommendation {
    pub mode: &'static str,
    pub maxretry: u32,
    pub findtime: u64,
    /// `None` is for ever.
    pub bantime: Option<u64>,
    /// In one sentence.
    pub reason: String,
    /// What differs from the settings that were tried.
    pub changes: Vec<Change>,
    /// To paste into doveblock.conf.
    pub snippet: String,
    pub effect: Effect,
}
