//! Closing what the banned hold already. A ban drops the packets of a client, so that nothing
//! tells the server that it is gone: a half-open login would occupy Dovecot until its timeout.
//!
//! In goes word that somebody was banned; the kernel is asked for its TCP sockets, and those to
//! guarded ports whose peer is banned by now are destroyed. That is done on a thread of its own
//! and may take its time: bans that come meanwhile share one look. Only sockets of the
//! daemon's own network namespace are seen.

mod diag;

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread,
    time::{Duration, Instant},
};

use super::{FirewallError, PortRange};
use diag::{Diag, Support};

/// How long after a ban its subject is looked for once more: a packet that had passed the
/// program when the ban landed may have completed a handshake after the first look.
const STRAGGLERS: Duration = Duration::from_millis(250);

/// After each look, so many times as long as it took is rest: it never takes more than a
/// fifth of one core.
const REST: u32 = 4;
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Whether packets from that address are dropped.
type IsBanned = Box<dyn Fn(IpAddr) -> Result<bool, FirewallError> + Send>;

/// The pipeline's end. The thread ends with it.
pub(super) struct Closer {
    wake: SyncSender<()>,
}

impl Closer {
    /// `None` where this kernel cannot; that is said in the log.
    pub(super) fn start(ports: Vec<PortRange>, is_banned: IsBanned) -> io::Result<Option<Self>> {
        let mut diag = Diag::open()?;
        if let Support::Lacking(what) = diag.support()? {
            tracing::warn!(
                "this kernel has no {what}: connections that a client holds when it is banned \
                 stay until Dovecot's timeouts end them"
            );
            return Ok(None);
        }
        // Room for one word: who finds it there leaves it for a look that is still to begin.
        let (wake, woken) = mpsc::sync_channel(1);
        let mut look = Look { diag, ports, is_banned, trouble: None };
        thread::Builder::new()
            .name("close".to_owned())
            .spawn(move || follow(&woken, || look.close()))?;
        tracing::info!("the kernel closes connections of the banned (SOCK_DESTROY)");
        Ok(Some(Self { wake }))
    }

    /// Somebody was banned. Never waits.
    pub(super) fn look(&self) {
        let _a_look_is_due_already = self.wake.try_send(());
    }
}

/// Looks after each word, and once more when none has come for a while.
fn follow(woken: &Receiver<()>, mut look: impl FnMut()) {
    let mut again = false;
    loop {
        if again {
            match woken.recv_timeout(STRAGGLERS) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => again = false,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        } else {
            match woken.recv() {
                Ok(()) => again = true,
                Err(_) => return,
            }
        }
        let begun = Instant::now();
        look();
        thread::sleep(begun.elapsed().saturating_mul(REST).min(LONGEST_REST));
    }
}

struct Look {
    diag: Diag,
    ports: Vec<PortRange>,
    is_banned: IsBanned,
    /// What went wrong last, so that it is said once.
    trouble: Option<String>,
}

impl Look {
    fn close(&mut self) {
        match self.try_close() {
            Ok(closed) => {
                self.trouble = None;
                for (peer, connections) in closed {
                    tracing::info!("closed {connections} of the connections of {peer}");
                }
            }
            Err(why) => {
                if self.trouble.as_ref() != Some(&why) {
                    tracing::error!("connections of the banned cannot be closed: {why}");
                    self.trouble = Some(why);
                }
            }
        }
    }

    /// How many of whom.
    fn try_close(&mut self) -> Result<BTreeMap<IpAddr, u32>, String> {
        let Self { diag, ports, is_banned, .. } = self;
        let mut known = BTreeMap::new();
        let mut failed = None;
        let banned = diag.connections(|local_port, peer| {
            if !ports.iter().any(|range| range.first <= local_port && local_port <= range.last) {
                return false;
            }
            // One client may hold many.
            *known.entry(peer).or_insert_with(|| {
                is_banned(peer).unwrap_or_else(|error| {
                    failed.get_or_insert(error.to_string());
                    false
                })
            })
        });
        let banned = banned.map_err(|error| format!("listing connections: {error}"))?;
        let mut closed = BTreeMap::new();
        for socket in banned {
            match diag.destroy(&socket) {
                Ok(true) => *closed.entry(socket.peer()).or_insert(0) += 1,
                Ok(false) => {}
                Err(error) => {
                    failed.get_or_insert(format!("{}: {error}", socket.peer()));
                }
            }
        }
        match failed {
            // What was closed is said, what was not is tried again at the next ban.
            Some(why) if closed.is_empty() => Err(why),
            _ => Ok(closed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    };

    use super::follow;

    #[test]
    fn a_word_makes_two_looks_and_the_end_of_the_words_is_the_end() {
        let looks = &AtomicU32::new(0);
        let (seen, looked) = mpsc::channel();
        let (wake, woken) = mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                follow(&woken, || {
                    looks.fetch_add(1, Ordering::Relaxed);
                    seen.send(()).unwrap();
                });
            });
            wake.send(()).unwrap();
            looked.recv().unwrap();
            looked.recv().unwrap();
            drop(wake);
        });
        assert_eq!(looks.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn words_that_come_during_a_look_share_the_next_one() {
        let (wake, woken) = mpsc::sync_channel(1);
        wake.send(()).unwrap();
        let mut wake = Some(wake);
        let mut looks = 0;
        follow(&woken, || {
            looks += 1;
            if let Some(wake) = wake.take() {
                for _ in 0..100 {
                    let _a_look_is_due_already = wake.try_send(());
                }
            }
        });
        assert_eq!(looks, 2);
    }
}
