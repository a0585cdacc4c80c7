//! What a jail knows, as rows for a store, and back.
//!
//! A jail that is given back the rows of another goes on as that one would have: a restart is
//! no event. Only what has changed since the last time is handed out, so that keeping up a store
//! costs what the lines cost and not what is remembered.

use std::hash::Hash;

use ipnet::IpNet;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{History, Jail, lru::Lru, unsaved::Changed};
use crate::{dovecot::Name, time::LogTime};

/// What rows look like. Whoever changes a type that is kept in them counts it up: rows of
/// another format are not read, and what they tell of has to be learned anew.
pub const FORMAT: u32 = 1;

/// The tables of a jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    Windows = 1,
    Sessions = 2,
    Loose = 3,
    Logins = 4,
    Active = 5,
    /// One row, of masters about to log in.
    Masters = 6,
}

impl Table {
    pub const ALL: [Self; 6] =
        [Self::Windows, Self::Sessions, Self::Loose, Self::Logins, Self::Active, Self::Masters];

    /// What it is called in a store.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// One entry of a table; without a value it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub table: Table,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// What a store does not know yet.
#[derive(Debug, Default)]
pub struct Changes {
    /// Tables of which all earlier rows are to be forgotten.
    pub forget: Vec<Table>,
    pub rows: Vec<Row>,
    /// Whether all earlier histories are to be forgotten.
    pub forget_histories: bool,
    /// `None` for those that are gone.
    pub histories: Vec<(IpNet, Option<History>)>,
}

/// A row that this version did not write.
#[derive(Debug, thiserror::Error)]
#[error("a row of table {table} cannot be read: {reason}")]
pub struct Unreadable {
    table: u8,
    reason: postcard::Error,
}

impl Jail {
    /// From here on [`Jail::changes`] tells of what changes. The first time it tells of
    /// everything, unless a store has that already.
    pub fn track(&mut self, is_saved: bool) {
        self.windows.table().track(is_saved);
        self.sessions.by_id().track(is_saved);
        self.sessions.loose().track(is_saved);
        self.logins.table().track(is_saved);
        self.active.table().track(is_saved);
        self.histories.table().track(is_saved);
    }

    /// What has changed since this was last asked.
    pub fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        changes.add(Table::Windows, self.windows.table());
        changes.add(Table::Sessions, self.sessions.by_id());
        changes.add(Table::Loose, self.sessions.loose());
        changes.add(Table::Logins, self.logins.table());
        changes.add(Table::Active, self.active.table());
        if let Some(masters) = self.logins.changed_masters() {
            let masters: Vec<_> = masters.iter().copied().collect();
            changes.put(Table::Masters, &(), Some(&masters));
        }
        // Without increments nobody writes histories, and those of before are left alone.
        if self.policy.increment.enabled {
            let Changed { all, keys } = self.histories.table().changed();
            changes.forget_histories = all;
            let history = |key| (IpNet::from(key), self.histories.history(&key));
            changes.histories = keys.into_iter().map(history).collect();
        }
        changes
    }

    /// Takes over what another jail knew, in any order. To be asked before anything else.
    pub fn restore(
        &mut self,
        rows: impl IntoIterator<Item = (u8, Vec<u8>, Vec<u8>)>,
    ) -> Result<(), Unreadable> {
        let mut read = Read::default();
        for (table, key, value) in rows {
            read.row(table, &key, &value).map_err(|reason| Unreadable { table, reason })?;
        }
        let most = self.policy.max_tracked;
        let batches = [
            newest(read.windows, most, self.windows.table(), |window| window.last()),
            newest(read.sessions, most, self.sessions.by_id(), |record| record.heard()),
            newest(read.loose, most, self.sessions.loose(), |loose| loose.heard()),
        ];
        newest(read.logins, most, self.logins.table(), |at| *at);
        read.masters.into_iter().for_each(|(name, at)| self.logins.announce_master(name, at));
        let mut latest = batches.into_iter().flatten().max();
        for (key, ban) in read.active {
            latest = latest.max(Some(ban.evidence().batch));
            self.active.restore(key, ban);
        }
        self.windows.resume_batches(latest.unwrap_or_default());
        Ok(())
    }
}

/// Fills `table` with the `most` of `rows` that were heard of last.
fn newest<K: Copy + Eq + Hash, V: Batched>(
    mut rows: Vec<(K, V)>,
    most: usize,
    table: &mut Lru<K, V>,
    heard: impl Fn(&V) -> LogTime,
) -> Option<u32> {
    rows.sort_by_key(|(_, value)| heard(value));
    let too_many = rows.len().saturating_sub(most);
    let latest = rows.iter().map(|(_, value)| value.batch()).max();
    rows.into_iter().skip(too_many).for_each(|(key, value)| table.insert(key, value));
    latest
}

/// What may tell of a batch, so that its number is not given twice.
pub(super) trait Batched {
    fn batch(&self) -> u32 {
        0
    }
}

impl Batched for LogTime {}

#[derive(Default)]
struct Read {
    windows: Vec<(super::key::Key, super::window::Window)>,
    sessions: Vec<(super::sessions::Id, super::sessions::Record)>,
    loose: Vec<(super::key::Key, super::sessions::Loose)>,
    logins: Vec<(super::key::Key, LogTime)>,
    active: Vec<(super::key::Key, super::active::InForce)>,
    masters: Vec<(Name, LogTime)>,
}

impl Read {
    fn row(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), postcard::Error> {
        match Table::ALL.into_iter().find(|known| known.number() == table) {
            Some(Table::Windows) => self.windows.push(entry(key, value)?),
            Some(Table::Sessions) => self.sessions.push(entry(key, value)?),
            Some(Table::Loose) => self.loose.push(entry(key, value)?),
            Some(Table::Logins) => self.logins.push(entry(key, value)?),
            Some(Table::Active) => self.active.push(entry(key, value)?),
            Some(Table::Masters) => self.masters = postcard::from_bytes(value)?,
            None => return Err(postcard::Error::DeserializeBadEncoding),
        }
        Ok(())
    }
}

fn entry<'b, K: Deserialize<'b>, V: Deserialize<'b>>(
    key: &'b [u8],
    value: &'b [u8],
) -> Result<(K, V), postcard::Error> {
    Ok((postcard::from_bytes(key)?, postcard::from_bytes(value)?))
}

impl Changes {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { forget, rows, forget_histories, histories } = self;
        forget.is_empty() && rows.is_empty() && !forget_histories && histories.is_empty()
    }

    fn add<K, V>(&mut self, table: Table, from: &mut Lru<K, V>)
    where
        K: Copy + Eq + Hash + Serialize + DeserializeOwned,
        V: Serialize,
    {
        let Changed { all, keys } = from.changed();
        if all {
            self.forget.push(table);
        }
        for key in keys {
            self.put(table, &key, from.get(&key));
        }
    }

    fn put(&mut self, table: Table, key: &impl Serialize, value: Option<&impl Serialize>) {
        // Fails for types that are none of these, and for lack of memory.
        let Ok(key) = postcard::to_stdvec(key) else { return };
        let value = value.and_then(|value| postcard::to_stdvec(value).ok());
        self.rows.push(Row { table, key, value });
    }
}
