//! `max_tracked`: how many entries a table of the jail may have, and that it is said once when
//! there would be more.

use std::hash::Hash;

use super::lru::Lru;

pub(super) struct Limit {
    most: usize,
    /// What the entries are.
    what: &'static str,
    reached: bool,
}

impl Limit {
    pub(super) fn new(most: usize, what: &'static str) -> Self {
        Self { most: most.max(1), what, reached: false }
    }

    /// Forgets the oldest entry of `table` if `key` is a new one and there is no room for it.
    pub(super) fn make_room<K: Copy + Eq + Hash, V>(&mut self, table: &mut Lru<K, V>, key: &K) {
        if table.len() < self.most || table.get(key).is_some() {
            return;
        }
        table.pop_oldest();
        if !self.reached {
            self.reached = true;
            tracing::warn!(
                "{} {} are remembered, which is the limit (max_tracked): the one heard of least \
                 recently is forgotten for each new one (said once)",
                self.most,
                self.what
            );
        }
    }
}
