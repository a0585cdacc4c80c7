//! A table in order of use: the memory of the jail under a flood.
//!
//! Every operation takes constant time whatever the keys are: they are chosen by attackers,
//! so the hasher is seeded at random. An entry costs its key and value, 8 bytes for the order
//! and 5 to 10 for the index; what a flood took is given back after it.

use std::{
    hash::{BuildHasher as _, Hash, RandomState},
    mem,
};

use hashbrown::HashTable;

use super::unsaved::{Changed, Unsaved};

/// No neighbour.
const NONE: u32 = u32::MAX;
/// Fewer than this are not worth giving memory back for.
const SMALL: usize = 1024;

struct Node<K, V> {
    key: K,
    value: V,
    older: u32,
    newer: u32,
}

pub(crate) struct Lru<K, V> {
    /// Positions in `nodes`, by key.
    index: HashTable<u32>,
    nodes: Vec<Node<K, V>>,
    oldest: u32,
    newest: u32,
    hasher: RandomState,
    unsaved: Unsaved<K>,
}

impl<K: Copy + Eq + Hash, V> Lru<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            index: HashTable::new(),
            nodes: Vec::new(),
            oldest: NONE,
            newest: NONE,
            hasher: RandomState::new(),
            unsaved: Unsaved::Unknown,
        }
    }

    /// From here on [`Lru::changed`] tells what changes. All of it does first, unless a store
    /// has it already.
    pub(super) fn track(&mut self, is_saved: bool) {
        self.unsaved = Unsaved::track(is_saved);
    }

    /// What has changed since this was last asked.
    pub(super) fn changed(&mut self) -> Changed<K> {
        self.unsaved.take(self.nodes.iter().map(|node| node.key))
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.find(key).map(|at| &self.nodes[at as usize].value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key)?;
        self.unsaved.note(*key);
        Some(&mut self.nodes[at as usize].value)
    }

    /// Sets the value of `key`, which is the newest from now on.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.unsaved.note(key);
        if let Some(at) = self.find(&key) {
            self.nodes[at as usize].value = value;
            self.unlink(at);
            self.link_newest(at);
            return;
        }
        let Ok(at) = u32::try_from(self.nodes.len()) else { return };
        if self.nodes.len() == self.nodes.capacity() && self.nodes.len() > SMALL {
            // Twice as many, which is the rule, would be half of all memory for nothing.
            self.nodes.reserve_exact(self.nodes.len() / 8);
        }
        self.nodes.push(Node { key, value, older: NONE, newer: NONE });
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.index
            .insert_unique(hasher.hash_one(key), at, |&at| hasher.hash_one(nodes[at as usize].key));
        self.link_newest(at);
    }

    /// Makes `key` the newest.
    pub(crate) fn touch(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key)?;
        self.unsaved.note(*key);
        self.unlink(at);
        self.link_newest(at);
        Some(&mut self.nodes[at as usize].value)
    }

    /// The value of `key`, which is the newest from now on.
    pub(crate) fn touch_or_insert(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        match self.find(&key) {
            Some(at) => {
                self.unsaved.note(key);
                self.unlink(at);
                self.link_newest(at);
            }
            None => self.insert(key, value()),
        }
        &mut self.nodes[self.newest as usize].value
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(key)?;
        self.unsaved.note(*key);
        self.unlink(at);
        if let Ok(entry) = self.index.find_entry(self.hasher.hash_one(key), |&found| found == at) {
            entry.remove();
        }
        // The last node moves into the gap; whoever points to it must learn that.
        let last = u32::try_from(self.nodes.len()).unwrap_or(NONE).wrapping_sub(1);
        if at != last {
            let Node { key, older, newer, .. } = self.nodes[last as usize];
            if let Some(moved) = self.index.find_mut(self.hasher.hash_one(key), |&at| at == last) {
                *moved = at;
            }
            *self.newer_of(older) = at;
            *self.older_of(newer) = at;
        }
        let removed = self.nodes.swap_remove(at as usize);
        self.give_back();
        Some(removed.value)
    }

    pub(crate) fn oldest(&self) -> Option<(&K, &V)> {
        self.nodes.get(self.oldest as usize).map(|node| (&node.key, &node.value))
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<(K, V)> {
        let key = *self.oldest()?.0;
        self.remove(&key).map(|value| (key, value))
    }

    /// Removes the oldest entries while `is_over` holds for them.
    pub(crate) fn expire(&mut self, is_over: impl Fn(&V) -> bool) {
        while self.oldest().is_some_and(|(_, value)| is_over(value)) {
            self.pop_oldest();
        }
    }

    /// In no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.nodes.iter().map(|node| (&node.key, &node.value))
    }

    fn find(&self, key: &K) -> Option<u32> {
        let is_it = |&at: &u32| self.nodes[at as usize].key == *key;
        self.index.find(self.hasher.hash_one(key), is_it).copied()
    }

    fn unlink(&mut self, at: u32) {
        let node = &mut self.nodes[at as usize];
        let older = mem::replace(&mut node.older, NONE);
        let newer = mem::replace(&mut node.newer, NONE);
        *self.newer_of(older) = newer;
        *self.older_of(newer) = older;
    }

    fn link_newest(&mut self, at: u32) {
        let before = self.newest;
        self.nodes[at as usize].older = before;
        *self.newer_of(before) = at;
        self.newest = at;
    }

    /// What the node `at` has for its newer neighbour; before the first node, the oldest.
    fn newer_of(&mut self, at: u32) -> &mut u32 {
        match self.nodes.get_mut(at as usize) {
            Some(node) => &mut node.newer,
            None => &mut self.oldest,
        }
    }

    fn older_of(&mut self, at: u32) -> &mut u32 {
        match self.nodes.get_mut(at as usize) {
            Some(node) => &mut node.older,
            None => &mut self.newest,
        }
    }

    fn give_back(&mut self) {
        let room = self.nodes.capacity();
        if room > SMALL && self.nodes.len() < room / 4 {
            self.nodes.shrink_to(room / 2);
            let (nodes, hasher) = (&self.nodes, &self.hasher);
            self.index.shrink_to(room / 2, |&at| hasher.hash_one(nodes[at as usize].key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lru;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8),
        Touch(u8),
        Remove(u8),
        Pop,
    }

    proptest! {
        /// Against a plain list, oldest first.
        #[test]
        fn keeps_the_order_of_use(steps in proptest::collection::vec(prop_oneof![
            4 => (0_u8..20).prop_map(Step::Insert),
            2 => (0_u8..20).prop_map(Step::Touch),
            2 => (0_u8..20).prop_map(Step::Remove),
            1 => Just(Step::Pop),
        ], 0..200)) {
            let mut lru = Lru::new();
            let mut list: Vec<(u8, usize)> = Vec::new();
            for (turn, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(key) => {
                        lru.insert(key, turn);
                        list.retain(|&(other, _)| other != key);
                        list.push((key, turn));
                    }
                    Step::Touch(key) => {
                        lru.touch(&key);
                        if let Some(at) = list.iter().position(|&(other, _)| other == key) {
                            let entry = list.remove(at);
                            list.push(entry);
                        }
                    }
                    Step::Remove(key) => {
                        lru.remove(&key);
                        list.retain(|&(other, _)| other != key);
                    }
                    Step::Pop => {
                        let first = (!list.is_empty()).then(|| list.remove(0));
                        prop_assert_eq!(lru.pop_oldest(), first);
                    }
                }
                prop_assert_eq!(lru.len(), list.len());
                prop_assert_eq!(lru.oldest().map(|(k, v)| (*k, *v)), list.first().copied());
                for (key, value) in &list {
                    prop_assert_eq!(lru.get(key), Some(value));
                }
            }
            let mut rest = Vec::new();
            while let Some(entry) = lru.pop_oldest() {
                rest.push(entry);
            }
            prop_assert_eq!(rest, list);
        }
    }

    #[test]
    fn gives_memory_back_after_a_flood() {
        let mut lru = Lru::new();
        (0..100_000_u32).for_each(|key| lru.insert(key, ()));
        while lru.len() > 10 {
            lru.pop_oldest();
        }
        assert!(lru.nodes.capacity() <= super::SMALL * 4, "{}", lru.nodes.capacity());
    }
}
