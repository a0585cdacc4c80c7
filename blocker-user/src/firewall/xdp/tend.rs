//! Looking after the interfaces: one that goes away takes its link with it, and the one that
//! comes under its name, then or for the first time, is open until somebody attaches to it.

use std::{
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use aya::programs::Xdp;

use super::{
    attach::{self, Place, Wanted},
    link,
    link::Link,
    load::Recipe,
};
use crate::firewall::{
    dispatcher,
    interface::{Interface, index_of, nearest},
    notices::Notices,
    pins::PinDir,
};

/// How late it is noticed what the kernel did not tell, like a detachment by hand; and how long
/// after an attempt that failed the next one comes, since an attempt may itself make the kernel
/// tell of the interface.
const EVERY: Duration = Duration::from_secs(2);

/// The interfaces that are to be guarded.
pub(super) struct Guard {
    posts: Vec<Post>,
    /// `None` where the kernel does not tell: then only the clock does.
    notices: Option<Notices>,
    looked_at: Option<Instant>,
    detached: bool,
    /// Why the last look failed, so that it is said once.
    trouble: Option<String>,
}

/// One interface that is to be guarded.
struct Post {
    name: String,
    /// The pin of its link.
    pin: PathBuf,
    /// `None` while there has not been any of that name.
    index: Option<u32>,
    /// Its link was seen to be without an interface, or there was none: it was not detached on
    /// purpose.
    lost: bool,
    /// A dispatcher called our program when it was looked at last.
    served: bool,
    failed_at: Option<Instant>,
    /// What was said about it last, so that it is said once.
    said: Option<String>,
}

impl Guard {
    /// Made before the first look at the interfaces, so that no change goes unnoticed.
    pub(super) fn new(notices: io::Result<Notices>) -> Self {
        let notices = notices.inspect_err(|error| {
            tracing::warn!(
                "the kernel does not tell of interfaces that come ({error}): looking for them \
                 every {EVERY:?}"
            );
        });
        Self {
            posts: Vec::new(),
            notices: notices.ok(),
            looked_at: None,
            detached: false,
            trouble: None,
        }
    }

    pub(super) fn watch(&mut self, wanted: &Wanted, pins: &PinDir) {
        let post = |name: &str, index: Option<u32>| Post {
            name: name.to_owned(),
            pin: pins.link(name),
            index,
            lost: index.is_none(),
            served: false,
            failed_at: None,
            said: None,
        };
        let present = wanted.present.iter().map(|it| post(&it.name, Some(it.index)));
        self.posts = present.chain(wanted.missing.iter().map(|name| post(name, None))).collect();
    }

    /// Readable when it is time for a look.
    pub(super) fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        self.notices.as_ref().map(Notices::descriptor)
    }

    /// Whether something has changed, or enough time has passed for another look.
    pub(super) fn is_due(&self) -> bool {
        // Always asked, or its descriptor would stay readable.
        let told = self.notices.as_ref().is_some_and(Notices::any);
        told || self.looked_at.is_none_or(|at| at.elapsed() >= EVERY)
    }

    pub(super) fn look(&mut self, program: &mut Xdp, recipe: &Recipe<'_>) {
        let pins = recipe.pins;
        self.looked_at = Some(Instant::now());
        if !pins.in_use() {
            if !std::mem::replace(&mut self.detached, true) {
                tracing::error!("detached: nothing is dropped until doveblock is started again");
            }
            return;
        }
        let mut links = match link::all(pins.path()) {
            Ok(links) => links,
            Err(error) => return self.cannot_look(error.to_string()),
        };
        self.trouble = None;
        for post in &mut self.posts {
            post.look(&mut links, program, recipe);
        }
    }

    fn cannot_look(&mut self, why: String) {
        if self.trouble.as_ref() != Some(&why) {
            tracing::error!("cannot look after the interfaces: {why}; trying again");
            self.trouble = Some(why);
        }
    }
}

impl Post {
    fn look(&mut self, links: &mut [Link], program: &mut Xdp, recipe: &Recipe<'_>) {
        let pins = recipe.pins;
        let Self { index, .. } = *self;
        let named = index_of(&self.name);
        if let Some(live) = links.iter_mut().find(|link| index.is_some_and(|at| link.is_on(at))) {
            if attach::follow_rename(live, pins).is_some() {
                self.pin.clone_from(&live.pin);
            }
            let now = live.interface.as_ref().map(|interface| interface.name.clone());
            if let Some(now) = now.filter(|now| *now != self.name) {
                self.say(format!(
                    "is called {now} now and stays guarded; start with -i {now} next"
                ));
            }
            if named.is_none() || named == index {
                return;
            }
            // Another one has the name now, and is to be guarded as well.
            (self.lost, self.pin) = (true, pins.link(&self.name));
        }
        if self.is_served(pins) {
            if named.is_none() || named == index {
                return;
            }
            // As above.
            (self.lost, self.pin) = (true, pins.link(&self.name));
        }
        self.lost |= links.iter().any(|link| link.pin == self.pin);
        match named {
            None if index.is_none() => {
                let meant = nearest(&self.name);
                let meant =
                    meant.map_or_else(String::new, |name| format!(", or did you mean {name}?"));
                self.say(format!("does not exist; it is guarded as soon as it does{meant}"));
            }
            None => self.say("is gone, and guarded again when it is back".to_owned()),
            Some(_) if self.lost => self.attach_again(links, program, recipe),
            Some(_) => self.say(
                "was detached by hand, and stays open until doveblock starts again".to_owned(),
            ),
        }
    }

    /// Whether a dispatcher calls our program there. It is lost with its interface, too.
    fn is_served(&mut self, pins: &PinDir) -> bool {
        let interface = self.index.and_then(Interface::with_index);
        self.lost |= self.served && interface.is_none();
        self.served = interface.is_some_and(|it| dispatcher::serves(&it, pins.path()));
        self.served
    }

    fn attach_again(&mut self, links: &[Link], program: &mut Xdp, recipe: &Recipe<'_>) {
        if self.failed_at.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        let attached = Interface::named(&self.name).and_then(|interface| {
            interface.require_ethernet()?;
            // It may be guarded under another of its names.
            if !links.iter().any(|link| link.is_on(interface.index))
                && let Place::Dispatcher(swap) = attach::attach(program, &interface, recipe)?
            {
                swap.keep();
            }
            Ok(interface)
        });
        match attached {
            Ok(interface) => {
                let how = if self.index.is_some() {
                    "is back and guarded again"
                } else {
                    "is there now, and guarded"
                };
                tracing::warn!("{}: {how}", self.name);
                self.pin = recipe.pins.link(&interface.name);
                (self.name, self.index) = (interface.name, Some(interface.index));
                (self.lost, self.failed_at, self.said) = (false, None, None);
            }
            Err(error) => {
                self.failed_at = Some(Instant::now());
                self.say(format!("is there and not guarded: {error}"));
            }
        }
    }

    fn say(&mut self, what: String) {
        if self.said.as_ref() != Some(&what) {
            tracing::error!("{}: {what}", self.name);
            self.said = Some(what);
        }
    }
}
