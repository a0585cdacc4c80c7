//! Who there was: one entry for each client of a log, whatever any jail makes of it.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
};

use hashbrown::HashTable;
use ipnet::IpNet;

use super::{bits::Bits, rhythm::Rhythm};
use crate::time::LogTime;

/// Some 100 bytes each. Of further ones only totals are known.
const MOST_CLIENTS: usize = 1 << 20;
/// Names are those of real users, but a log can claim anything.
const MOST_NAMES: usize = 1 << 19;
/// Of one client those that are named. The others are counted.
const MOST_NAMED: usize = 20;
/// Who logged in from where, of all clients: some 20 MB.
const MOST_PAIRS: usize = 1 << 20;

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
    /// How many names logged in, and the numbers of the first of them.
    pub(super) users: u64,
    pub(super) named: Vec<u32>,
}

impl Client {
    pub(super) fn login_count(&self) -> u64 {
        self.logins.as_ref().map_or(0, |logins| logins.count)
    }

    pub(super) fn users(&self) -> u64 {
        self.logins.as_ref().map_or(0, |logins| logins.users)
    }
}

#[derive(Default)]
pub(super) struct Clients {
    index: HashTable<u32>,
    all: Vec<Client>,
    hasher: RandomState,
    numbers: HashMap<Box<str>, u32>,
    names: Vec<Box<str>>,
    /// Client and name of everybody who logged in.
    pairs: HashSet<(u32, u32)>,
    /// Logins whose user there was no room for.
    pub(super) unnamed: u64,
    /// Events of clients that there was no room for.
    pub(super) left_out: u64,
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
        let user = user.and_then(|user| {
            let name = self.name_number(user);
            let is_new = name.is_some_and(|name| !self.pairs.contains(&(number, name)));
            if name.is_none() || is_new && self.pairs.len() >= MOST_PAIRS {
                self.unnamed += 1;
                return None;
            }
            name.filter(|name| self.pairs.insert((number, *name)))
        });
        let Some(client) = self.get_mut(number) else { return };
        let logins = client.logins.get_or_insert_with(|| {
            Box::new(Logins { count: 0, first: at, last: at, users: 0, named: Vec::new() })
        });
        logins.count += 1;
        (logins.first, logins.last) = (logins.first.min(at), logins.last.max(at));
        if let Some(user) = user {
            logins.users += 1;
            if logins.named.len() < MOST_NAMED {
                logins.named.push(user);
            }
        }
    }

    /// How many names logged in from any of `clients`.
    pub(super) fn users_of(&self, clients: &Bits) -> u64 {
        let mut users = Bits::default();
        let there = self.pairs.iter().filter(|(client, _)| clients.contains(*client));
        there.for_each(|(_, user)| users.insert(*user));
        users.len()
    }

    pub(super) fn name(&self, number: u32) -> &str {
        usize::try_from(number).ok().and_then(|number| self.names.get(number)).map_or("", |it| it)
    }

    fn name_number(&mut self, name: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        if self.names.len() >= MOST_NAMES {
            return None;
        }
        let number = u32::try_from(self.names.len()).ok()?;
        self.names.push(name.into());
        self.numbers.insert(name.into(), number);
        Some(number)
    }
}
