//! Looking after the interfaces: one that goes away takes its link with it, and the one that
//! comes back under its name is open until somebody attaches to it again.

use std::time::{Duration, Instant};

use aya::programs::Xdp;

use super::{XdpMode, attach, link, link::Link};
use crate::firewall::{
    interface::{Interface, index_of},
    pins::PinDir,
};

/// How late it is noticed that an interface went or came.
const EVERY: Duration = Duration::from_secs(2);

/// The interfaces that are to be guarded.
pub(super) struct Guard {
    posts: Vec<Post>,
    looked_at: Option<Instant>,
    detached: bool,
    /// Why the last look failed, so that it is said once.
    trouble: Option<String>,
}

/// One interface that is to be guarded.
struct Post {
    name: String,
    index: u32,
    /// Its link was seen to be without an interface: it was not detached on purpose.
    lost: bool,
    /// What was said about it last, so that it is said once.
    said: Option<String>,
}

impl Guard {
    pub(super) fn new(interfaces: &[Interface]) -> Self {
        let posts = interfaces.iter().map(|interface| Post {
            name: interface.name.clone(),
            index: interface.index,
            lost: false,
            said: None,
        });
        Self { posts: posts.collect(), looked_at: None, detached: false, trouble: None }
    }

    /// Whether enough time has passed for another look.
    pub(super) fn is_due(&self) -> bool {
        self.looked_at.is_none_or(|at| at.elapsed() >= EVERY)
    }

    pub(super) fn look(&mut self, program: &mut Xdp, mode: XdpMode, pins: &PinDir) {
        self.looked_at = Some(Instant::now());
        if !pins.in_use() {
            if !std::mem::replace(&mut self.detached, true) {
                tracing::error!("detached: nothing is dropped until doveblock is started again");
            }
            return;
        }
        let links = match link::all(pins.path()) {
            Ok(links) => links,
            Err(error) => return self.cannot_look(error.to_string()),
        };
        self.trouble = None;
        for post in &mut self.posts {
            post.look(&links, program, mode, pins);
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
    fn look(&mut self, links: &[Link], program: &mut Xdp, mode: XdpMode, pins: &PinDir) {
        let live = links.iter().find(|link| link.is_on(self.index));
        if let Some(interface) = live.and_then(|link| link.interface.as_ref()) {
            if interface.name != self.name {
                let now = &interface.name;
                self.say(format!(
                    "is called {now} now and stays guarded; start with -i {now} next"
                ));
            }
            return;
        }
        self.lost |= links.iter().any(|link| link.pin == pins.link(&self.name));
        if index_of(&self.name).is_none() {
            self.say("is gone, and guarded again when it is back".to_owned());
        } else if self.lost {
            self.attach_again(program, mode, pins);
        } else {
            self.say(
                "was detached by hand, and stays open until doveblock starts again".to_owned(),
            );
        }
    }

    fn attach_again(&mut self, program: &mut Xdp, mode: XdpMode, pins: &PinDir) {
        let attached = Interface::named(&self.name).and_then(|interface| {
            interface.require_ethernet()?;
            attach::attach(program, pins, &interface, mode)?;
            Ok(interface.index)
        });
        match attached {
            Ok(index) => {
                tracing::warn!("{}: is back and guarded again", self.name);
                (self.index, self.lost, self.said) = (index, false, None);
            }
            Err(error) => self.say(format!("is back and not guarded: {error}")),
        }
    }

    fn say(&mut self, what: String) {
        if self.said.as_ref() != Some(&what) {
            tracing::error!("{}: {what}", self.name);
            self.said = Some(what);
        }
    }
}
