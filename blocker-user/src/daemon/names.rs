//! Host names in ignoreip, looked up beside the pipeline: the addresses they have at the start,
//! and whatever they have later. A resolver that does not answer holds nothing up for long,
//! and a name that is not found any more keeps the address it had.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc},
    thread,
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketType, socket},
};

use super::{Command, Remote};

/// The start waits no longer than this for the first answers.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often names are looked up again.
const INTERVAL: Duration = Duration::from_secs(300);

/// The addresses of `names` by now. Whatever changes later goes to the pipeline.
/// It ends when nobody holds `list` any more.
pub(crate) fn follow(
    names: Vec<String>,
    known: &Known,
    remote: Remote,
    list: Weak<()>,
) -> io::Result<Vec<IpAddr>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut book = Book { known: known.of(&names), missing: Vec::new() };
    let addresses = book.addresses();
    let known = known.clone();
    let (first, answer) = mpsc::sync_channel(1);
    thread::Builder::new().name("names".to_owned()).spawn(move || {
        book.look_up(&names, resolve);
        known.keep(&book);
        if first.send(book.addresses()).is_err() {
            // Nobody waits for it any more.
            remote.send(Command::IgnoreNamed { addresses: book.addresses(), names: list.clone() });
        }
        loop {
            thread::sleep(INTERVAL);
            if list.strong_count() == 0 {
                return;
            }
            let is_different = book.look_up(&names, resolve);
            known.keep(&book);
            let is_wanted = !is_different
                || remote.send(Command::IgnoreNamed {
                    addresses: book.addresses(),
                    names: list.clone(),
                });
            if !is_wanted {
                return;
            }
        }
    })?;
    Ok(answer.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let until_then = if addresses.is_empty() {
            "they count for nobody"
        } else {
            "those that have been found before keep their addresses"
        };
        tracing::warn!("the names in ignoreip are still being looked up; until then {until_then}");
        addresses
    }))
}

fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    // Any port: it is only there for the form's sake.
    let found = (name, 0).to_socket_addrs().map_err(|error| match is_kept_from_asking() {
        true => io::Error::other(
            "this service may not use the network, as its unit says; doveblock's \
             examples/names.conf lets it ask name servers",
        ),
        false => error,
    })?;
    Ok(found.map(|socket| socket.ip().to_canonical()).collect())
}

/// `RestrictAddressFamilies=` leaves a resolver without a word on what keeps it from its server.
fn is_kept_from_asking() -> bool {
    matches!(socket(AddressFamily::INET, SocketType::DGRAM, None), Err(Errno::AFNOSUPPORT))
}

/// What the names of ignoreip were found to be, for those that another configuration keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>);

impl Known {
    fn of(&self, names: &[String]) -> BTreeMap<String, Vec<IpAddr>> {
        let mut known = self.all().clone();
        known.retain(|name, _| names.contains(name));
        known
    }

    fn keep(&self, book: &Book) {
        self.all().clone_from(&book.known);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Vec<IpAddr>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known about every name.
struct Book {
    known: BTreeMap<String, Vec<IpAddr>>,
    /// Names that were not found the last time.
    missing: Vec<String>,
}

impl Book {
    /// Asks for every name, and says whether any address is different now.
    fn look_up(&mut self, names: &[String], ask: impl Fn(&str) -> io::Result<Vec<IpAddr>>) -> bool {
        let before = self.addresses();
        for name in names {
            match ask(name) {
                Ok(mut found) if !found.is_empty() => {
                    found.sort();
                    found.dedup();
                    self.missing.retain(|missing| missing != name);
                    self.known.insert(name.clone(), found);
                }
                answer => {
                    if !self.missing.contains(name) {
                        let error = answer.err().map(|error| format!(" ({error})"));
                        let kept = if self.known.contains_key(name) {
                            "it keeps the address it had"
                        } else {
                            "it counts for nobody"
                        };
                        let error = error.unwrap_or_default();
                        tracing::warn!(
                            "{name} in ignoreip is not found{error}; until it is, {kept}"
                        );
                        self.missing.push(name.clone());
                    }
                }
            }
        }
        self.addresses() != before
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> = self.known.values().flatten().copied().collect();
        all.sort();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_found_any_more_keeps_its_address() {
        let (home, office) = ("home.example".to_owned(), "office.example".to_owned());
        let names = [home, office];
        let ip = |last| IpAddr::from([192, 0, 2, last]);
        let mut book = Book { known: BTreeMap::new(), missing: Vec::new() };
        let changed = book.look_up(&names, |name| match name {
            "home.example" => Ok(vec![ip(7), ip(7)]),
            _ => Err(io::ErrorKind::NotFound.into()),
        });
        assert!(changed);
        assert_eq!((book.addresses(), book.missing.len()), (vec![ip(7)], 1));
        assert!(!book.look_up(&names, |_| Ok(Vec::new())));
        assert_eq!((book.addresses(), book.missing.len()), (vec![ip(7)], 2));
        assert!(book.look_up(&names, |_| Ok(vec![ip(8)])));
        assert_eq!((book.addresses(), book.missing.len()), (vec![ip(8)], 0));
    }

    #[test]
    fn localhost_is_found_at_the_start() {
        let waiter = crate::source::Waiter::new().unwrap();
        let (remote, _inbox) = super::super::remote(&waiter);
        let list = std::sync::Arc::downgrade(&std::sync::Arc::new(()));
        let known = Known::default();
        let found = follow(vec!["localhost".to_owned()], &known, remote, list).unwrap();
        assert!(found.iter().any(IpAddr::is_loopback), "{found:?}");
        assert_eq!(known.all().get("localhost"), Some(&found));
    }

    #[test]
    fn another_list_begins_with_the_addresses_of_the_names_that_stay() {
        let waiter = crate::source::Waiter::new().unwrap();
        let (remote, _inbox) = super::super::remote(&waiter);
        let list = std::sync::Arc::downgrade(&std::sync::Arc::new(()));
        // As on the day on which no name server answers.
        let name = |first: &str| format!("{first}.invalid");
        let ip = |last| IpAddr::from([192, 0, 2, last]);
        let known = Known::default();
        known.all().extend([(name("stays"), vec![ip(1)]), (name("goes"), vec![ip(2)])]);
        let found = follow(vec![name("stays"), name("new")], &known, remote, list).unwrap();
        assert_eq!(found, [ip(1)]);
        assert_eq!(*known.all(), BTreeMap::from([(name("stays"), vec![ip(1)])]));
    }
}
