//! The list of bans as a body that is written while it is read: a hundred thousand bans are
//! tens of megabytes of JSON, which nobody needs in memory at once.

use std::{
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use hyper::body::{Body, Bytes, Frame};
use tokio::sync::OwnedSemaphorePermit;

use super::api::Listed;
use crate::firewall::Enforced;

/// About how much is written at a time.
const CHUNK: usize = 32 * 1024;

pub(super) struct Bans {
    jail: &'static str,
    bans: vec::IntoIter<Enforced>,
    next: Next,
    /// Held as long as the bans are.
    _turn: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    First,
    More,
    Nothing,
}

impl Bans {
    pub(super) fn new(
        jail: &'static str,
        bans: Vec<Enforced>,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { jail, bans: bans.into_iter(), next: Next::First, _turn: turn }
    }

    fn chunk(&mut self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = Vec::with_capacity(CHUNK);
        if self.next == Next::First {
            text.push(b'[');
        }
        while text.len() < CHUNK {
            let Some(ban) = self.bans.next() else {
                text.push(b']');
                self.next = Next::Nothing;
                break;
            };
            if self.next == Next::More {
                text.push(b',');
            }
            self.next = Next::More;
            serde_json::to_writer(&mut text, &Listed::new(self.jail, &ban))?;
        }
        Ok(text)
    }
}

impl Body for Bans {
    type Data = Bytes;
    type Error = serde_json::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let bans = self.get_mut();
        let chunk = (bans.next != Next::Nothing).then(|| bans.chunk());
        Poll::Ready(chunk.map(|chunk| chunk.map(|text| Frame::data(text.into()))))
    }
}

#[cfg(test)]
mod tests {
    use super::{Bans, Enforced, Listed, Next};
    use crate::{
        firewall::{Order, host},
        time::LogTime,
    };

    #[test]
    fn the_chunks_together_are_one_array() {
        for count in [0_u32, 1, 2, 1000] {
            let bans: Vec<Enforced> = (0..count)
                .map(|n| Enforced {
                    order: Order {
                        subject: host(std::net::Ipv4Addr::from(n).into()),
                        banned_at: LogTime::EPOCH,
                        expires: None,
                        attempts: n,
                    },
                    dropped_packets: 0,
                    dropped_bytes: 0,
                    last_seen: None,
                })
                .collect();
            let expected: Vec<Listed> = bans.iter().map(|ban| Listed::new("x", ban)).collect();
            let (mut body, mut text, mut chunks) = (Bans::new("x", bans, None), Vec::new(), 0);
            while body.next != Next::Nothing {
                text.extend(body.chunk().unwrap());
                chunks += 1;
            }
            assert_eq!(serde_json::from_slice::<Vec<Listed>>(&text).unwrap(), expected);
            assert_eq!(chunks > 1, count == 1000, "{chunks} chunks for {count} bans");
        }
    }
}
