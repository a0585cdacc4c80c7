//! Who there was: one entry for each client of a log, whatever any jail makes of it.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
};

use hashbrown::HashTable;
use ipnet::IpNet;

use super::rhythm::Rhythm;
use crate::time::LogTime;

/// Some 100 bytes each. Of further ones only totals are known.
const MOST_CLIENTS: usize = 1 << 20;
/// Names are those of real users, but a log can claim anything.
const MOST_NAMES: usize = 1 << 19;
/// Of one client, in the order of their first login: those that are listed.
const MOST_LISTED: usize = 20;
/// Further users of clients, all together.
const MOST_FURTHER: usize = 1 << 20;

/// One of them.
pub(super) struct Client {
    pub(super) subject: IpNet,
    pub(super) failures: u32,
    /// Those of them that are wrong passwords, not silent probes.
    pub(super) guesses: u32,
    pub(super) first: LogTime,
    pub(super) last: LogTime,
    pub(super) rhythm: Rhythm,
    /// `None` where nobody ever logged in.
    pub(super) logins: Option<Box<Logins>>,
}

/// What is known of the logins of a client.
pub(super) struct Logins {
    pub(super) count: u64,
    pub(super) first: LogTime,
    pub(super) last: LogTime,
    /// Numbers of names, in the order of their first login; the first of them.
    pub(super) listed: Vec<u32>,
    /// The others.
    further: HashSet<u32>,
}

impl Logins {
    pub(super) fn users(&self) -> impl Iterator<Item = u32> {
        self.listed.iter().chain(&self.further).copied()
    }

    pub(super) fn user_count(&self) -> usize {
        self.listed.len() + self.further.len()
    }
}

impl Client {
    pub(super) fn login_count(&self) -> u64 {
        self.logins.as_ref().map_or(0, |logins| logins.count)
    }

    pub(super) fn users(&self) -> impl Iterator<Item = u32> {
        self.logins.iter().flat_map(|logins| logins.users())
    }

    pub(super) fn user_count(&self) -> usize {
        self.logins.as_ref().map_or(0, |logins| logins.user_count())
    }
}

#[derive(Default)]
pub(super) struct Clients {
    index: HashTable<u32>,
    all: Vec<Client>,
    hasher: RandomState,
    numbers: HashMap<Box<str>, u32>,
    names: Vec<Box<str>>,
    /// Events of clients that there was no room for.
    pub(super) left_out: u64,
    /// How many of [`Logins::further`] there are in all.
    further: usize,
    /// Logins by users that there was no room for.
    pub(super) logins_of_others: u64,
}

impl Clients {
    /// The number of a client that was heard of at `at`; nothing where there is no room.
    pub(super) fn number(&mut self, subject: IpNet, at: LogTime) -> Option<u32> {
        let Self { index, all, hasher, .. } = self;
        let hash = hasher.hash_one(subject);
        let get = |number: &u32| usize::try_from(*number).ok().and_then(|number| all.get(number));
        let is_it = |number: &u32| get(number).is_some_and(|client| client.subject == subject);
        if let Some(number) = index.find(hash, is_it) {
            return Some(*number);
        }
        if all.len() >= MOST_CLIENTS {
            self.left_out += 1;
            return None;
        }
        let number = u32::try_from(all.len()).ok()?;
        if all.len() == all.capacity() {
            // Twice as much, which is the rule, would be half of it for nothing.
            all.reserve_exact(1024 + all.len() / 8);
        }
        all.push(Client {
            subject,
            failures: 0,
            guesses: 0,
            first: at,
            last: at,
            rhythm: Rhythm::default(),
            logins: None,
        });
        let hash_of = |number: &u32| {
            let client = usize::try_from(*number).ok().and_then(|number| all.get(number));
            client.map_or(0, |client| hasher.hash_one(client.subject))
        };
        index.insert_unique(hash, number, hash_of);
        Some(number)
    }

    pub(super) fn get(&self, number: u32) -> Option<&Client> {
        self.all.get(usize::try_from(number).ok()?)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Client> {
        self.all.get_mut(usize::try_from(number).ok()?)
    }

    /// All of them, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Client)> {
        (0..).zip(&self.all)
    }

    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.all.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn login(&mut self, number: u32, user: Option<&str>, at: LogTime) {
        let user = user.and_then(|user| self.name_number(user));
        let has_room = self.further < MOST_FURTHER;
        let Some(client) = self.get_mut(number) else { return };
        let logins = client.logins.get_or_insert_with(|| {
            let (listed, further) = (Vec::new(), HashSet::new());
            Box::new(Logins { count: 0, first: at, last: at, listed, further })
        });
        logins.count += 1;
        (logins.first, logins.last) = (logins.first.min(at), logins.last.max(at));
        let Some(user) = user.filter(|user| !logins.listed.contains(user)) else { return };
        if logins.listed.len() < MOST_LISTED {
            logins.listed.push(user);
        } else if has_room {
            let is_new = logins.further.insert(user);
            self.further += usize::from(is_new);
        } else if !logins.further.contains(&user) {
            self.logins_of_others += 1;
        }
    }

    pub(super) fn name(&self, number: u32) -> &str {
        usize::try_from(number).ok().and_then(|number| self.names.get(number)).map_or("", |it| it)
    }

    fn name_number(&mut self, name: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        if self.names.len() >= MOST_NAMES {
            self.logins_of_others += 1;
            return None;
        }
        let number = u32::try_from(self.names.len()).ok()?;
        self.names.push(name.into());
        self.numbers.insert(name.into(), number);
        Some(number)
    }
}
