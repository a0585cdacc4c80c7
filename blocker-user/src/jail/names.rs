//! For whom the guesses of one connection were, by name and by what told of them. There is
//! one for every connection: it is small.

use serde::{Deserialize, Serialize};

use super::sessions::PASSDBS;
use crate::dovecot::Name;

/// What tells of guesses: each of the password databases, and the line at the end.
pub(super) const COLUMNS: usize = PASSDBS + 1;
/// The column of the line at the end, which names somebody for one guess of its number.
pub(super) const END: usize = PASSDBS;
/// A name with a slip in it, and the right one.
const NAMES: usize = 2;

/// Lines by name. Those with a third name are nobody's.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Named {
    names: [Option<Name>; NAMES],
    lines: [Lines; NAMES],
}

/// How many, four bits to a column: a login excuses less than that.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Lines(u16);

impl Named {
    pub(super) const NONE: Self = Self { names: [None; NAMES], lines: [Lines(0); NAMES] };

    pub(super) fn add(&mut self, name: Name, column: usize, times: u32) {
        for (known, lines) in self.names.iter_mut().zip(&mut self.lines) {
            if *known.get_or_insert(name) == name {
                lines.add(column, times);
                return;
            }
        }
    }

    /// A master got in as `name`: whatever master was named, it was this user.
    pub(super) fn was_master(&mut self, name: Name) {
        let masters = self.names.iter_mut().filter(|known| **known == Some(Name::MASTER));
        masters.for_each(|master| *master = Some(name));
    }

    /// The lines by what told of them, those with a name that can be `name`.
    pub(super) fn of(&self, name: Name) -> [u16; COLUMNS] {
        let mut sums = [0; COLUMNS];
        for (known, lines) in self.names.iter().zip(self.lines) {
            if known.is_some_and(|known| known.can_be(name)) {
                for (column, sum) in sums.iter_mut().enumerate() {
                    *sum += lines.get(column);
                }
            }
        }
        sums
    }
}

impl Lines {
    const BITS: usize = 4;
    const MOST: u16 = 0b1111;

    fn get(self, column: usize) -> u16 {
        self.0 >> (column * Self::BITS) & Self::MOST
    }

    fn add(&mut self, column: usize, times: u32) {
        let times = u16::try_from(times).unwrap_or(Self::MOST);
        let more = times.min(Self::MOST - self.get(column));
        self.0 += more << (column * Self::BITS);
    }
}
