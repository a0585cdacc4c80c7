//! How far logs were read that are not read now: those of an earlier daemon that this one has
//! not come to, and those that a reload has dropped. They are gone on with there, should they
//! be named, or found by a pattern, again.

use std::{collections::BTreeMap, mem};

use super::feed::Feed;
use crate::{store::Place, time::LogTime};

/// Logs come under ever new names where their names are dates.
const MOST: usize = 1024;

#[derive(Default)]
pub(super) struct Places {
    known: BTreeMap<String, Place>,
    /// Names of those that the store has not heard of yet.
    unwritten: Vec<String>,
}

impl Places {
    pub(super) fn new(saved: BTreeMap<String, Place>) -> Self {
        let mut places = Self { known: saved, unwritten: Vec::new() };
        places.make_room();
        places
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Place> {
        self.known.remove(name)
    }

    /// Nobody reads it any more.
    pub(super) fn left(&mut self, feed: &Feed, wall: LogTime) {
        if let Some(position) = feed.position() {
            let read_until = feed.now(wall);
            self.known.insert(feed.name().to_owned(), Place { position, read_until });
            self.unwritten.push(feed.name().to_owned());
            self.make_room();
        }
    }

    /// Whether the store knows of all of them.
    pub(super) fn are_written(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// What the store does not have; `all` if it has nothing.
    pub(super) fn take_unwritten(&mut self, all: bool) -> Vec<(String, Place)> {
        let unwritten = mem::take(&mut self.unwritten);
        let is_wanted = |name: &String| all || unwritten.contains(name);
        let wanted = self.known.iter().filter(|(name, _)| is_wanted(name));
        wanted.map(|(name, place)| (name.clone(), place.clone())).collect()
    }

    /// Forgets first what was read longest ago.
    fn make_room(&mut self) {
        while self.known.len() > MOST {
            let oldest = self.known.iter().min_by_key(|(_, place)| place.read_until);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { return };
            self.known.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Places};
    use crate::{source::Position, store::Place, time::LogTime};

    #[test]
    fn what_was_read_longest_ago_is_forgotten_first() {
        let name = |day: usize| format!("mail-{day}.log");
        let saved = (0..MOST + 2).map(|day| {
            let read_until = LogTime::from_secs(i64::try_from(day).unwrap());
            (name(day), Place { position: Position::Cursor(String::new()), read_until })
        });
        let mut places = Places::new(saved.collect());
        assert_eq!(
            (places.take_unwritten(false).len(), places.take_unwritten(true).len()),
            (0, MOST)
        );
        assert_eq!((places.take(&name(0)), places.take(&name(1))), (None, None));
        assert!(places.take(&name(2)).is_some() && places.take(&name(2)).is_none());
    }
}
