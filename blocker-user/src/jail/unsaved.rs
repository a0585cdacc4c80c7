//! Which entries of a table a store does not have as they are.

use std::{collections::HashSet, hash::Hash, mem};

/// Once so many entries wait for a store that takes none, all of them are as good: what waits
/// must not take more memory than what is remembered.
const MOST: usize = 1 << 20;

pub(super) enum Unsaved<K> {
    /// There is no store.
    Unknown,
    Some(HashSet<K>),
    /// The store has nothing, or too many to list are missing.
    All,
}

/// What a store is to be told of a table.
pub(super) struct Changed<K> {
    /// Whether it is to forget what it has of the table.
    pub(super) all: bool,
    /// The entries, by key; those that are gone too.
    pub(super) keys: Vec<K>,
}

impl<K: Copy + Eq + Hash> Unsaved<K> {
    pub(super) fn track(is_saved: bool) -> Self {
        if is_saved { Self::Some(HashSet::new()) } else { Self::All }
    }

    pub(super) fn note(&mut self, key: K) {
        if let Self::Some(keys) = self {
            keys.insert(key);
            if keys.len() > MOST {
                *self = Self::All;
            }
        }
    }

    /// What has changed since this was last asked, of a table with the keys of `every`.
    pub(super) fn take(&mut self, every: impl Iterator<Item = K>) -> Changed<K> {
        let before = match self {
            Self::Unknown => return Changed { all: false, keys: Vec::new() },
            _ => mem::replace(self, Self::track(true)),
        };
        match before {
            Self::Some(keys) => Changed { all: false, keys: keys.into_iter().collect() },
            Self::Unknown | Self::All => Changed { all: true, keys: every.collect() },
        }
    }
}
