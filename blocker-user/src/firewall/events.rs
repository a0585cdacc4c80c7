//! Says in the log whose packets have begun to be dropped. The kernel reports the first packet
//! of each ban; a thread of its own reads that, so that it never holds up a ban.

use std::{
    collections::VecDeque,
    net::IpAddr,
    slice, thread,
    time::{Duration, Instant},
};

use aya::maps::{Map, MapData, MapError, RingBuf};
use blocker_common::abi::{DropEvent, REASON_FRAGMENT, REASON_HIDDEN, REASON_UDP, map};
use ipnet::IpNet;
use rustix::event::{PollFd, PollFlags, poll};

use super::pins::PinDir;

/// Lines in a [`PERIOD`]. An attack by thousands is one line that counts them, at its end.
const MOST_LINES: u32 = 10;
const PERIOD: Duration = Duration::from_secs(10);
/// Bans whose first packet was reported lately: as many CPUs at once may each believe that
/// theirs was it.
const LATELY: usize = 64;

/// Follows the events for as long as the process lives. Bans do not need it: where it cannot
/// be, that is said.
pub(super) fn follow(pins: &PinDir) {
    let ring = MapData::from_pin(pins.map(map::EVENTS))
        .and_then(Map::from_map_data)
        .and_then(RingBuf::try_from);
    let started = ring.map_err(|error: MapError| error.to_string()).and_then(|ring| {
        let thread = thread::Builder::new().name("events".to_owned());
        thread.spawn(move || read(ring)).map_err(|error| error.to_string())
    });
    if let Err(error) = started {
        tracing::warn!("the first packet of a ban that is dropped will not be logged: {error}");
    }
}

fn read(mut ring: RingBuf<MapData>) {
    let mut teller = Teller::default();
    loop {
        let mut ready = PollFd::new(&ring, PollFlags::IN);
        // Only what was left unsaid has to be said by a certain time.
        let limit = teller.unsaid().then(|| PERIOD.try_into().ok()).flatten();
        match poll(slice::from_mut(&mut ready), limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::error!("first packets that are dropped are not logged any more: {error}");
                return;
            }
        }
        while let Some(record) = ring.next() {
            if let Some(event) = event(&record) {
                teller.tell(&event, Instant::now());
            }
        }
        teller.catch_up(Instant::now());
    }
}

/// The record as the kernel wrote it, field by field.
fn event(record: &[u8]) -> Option<DropEvent> {
    fn field<const N: usize>(record: &mut &[u8]) -> Option<[u8; N]> {
        let (field, rest) = record.split_first_chunk()?;
        *record = rest;
        Some(*field)
    }
    let rest = &mut &*record;
    Some(DropEvent {
        at_ns: u64::from_ne_bytes(field(rest)?),
        addr: field(rest)?,
        family: u16::from_ne_bytes(field(rest)?),
        prefix_len: u16::from_ne_bytes(field(rest)?),
        port: u16::from_ne_bytes(field(rest)?),
        protocol: u8::from_ne_bytes(field(rest)?),
        reason: u8::from_ne_bytes(field(rest)?),
    })
}

/// Says each first packet once, and not too many.
#[derive(Default)]
struct Teller {
    lately: VecDeque<(IpNet, u64)>,
    /// Since when lines are counted.
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Teller {
    fn unsaid(&self) -> bool {
        self.left_out > 0
    }

    /// Whether a line was written.
    fn tell(&mut self, event: &DropEvent, now: Instant) -> bool {
        /// So far apart, two reports are of two bans of one subject.
        const SAME_NS: u64 = 1_000_000_000;
        let Some((source, subject)) = addresses(event) else { return false };
        let is_told = |&(told, at_ns): &(IpNet, u64)| {
            told == subject && event.at_ns.abs_diff(at_ns) < SAME_NS
        };
        if self.lately.iter().any(is_told) {
            return false;
        }
        if self.lately.len() == LATELY {
            self.lately.pop_front();
        }
        self.lately.push_back((subject, event.at_ns));
        self.catch_up(now);
        if self.lines == MOST_LINES {
            self.left_out += 1;
            return false;
        }
        self.since.get_or_insert(now);
        self.lines += 1;
        let what = describe(event);
        match subject.prefix_len() == subject.max_prefix_len() {
            true => tracing::info!("first packet of banned {source} dropped ({what})"),
            false => tracing::info!("first packet of banned {subject} dropped ({source}, {what})"),
        }
        true
    }

    /// A new period has lines of its own, and says what the one before had no room for.
    fn catch_up(&mut self, now: Instant) {
        if self.since.is_some_and(|since| now.duration_since(since) >= PERIOD) {
            if self.left_out > 0 {
                tracing::info!("first packets of {} more bans dropped", self.left_out);
            }
            (self.since, self.lines, self.left_out) = (None, 0, 0);
        }
    }
}

/// Where the packet came from, and who is banned.
fn addresses(event: &DropEvent) -> Option<(IpAddr, IpNet)> {
    let source = match event.addr {
        [a, b, c, d, ..] if event.family == 4 => IpAddr::from([a, b, c, d]),
        addr => IpAddr::from(addr),
    };
    let prefix_len = u8::try_from(event.prefix_len).ok()?;
    Some((source, IpNet::new(source, prefix_len).ok()?.trunc()))
}

fn describe(event: &DropEvent) -> String {
    match event.reason {
        REASON_FRAGMENT => "a fragment without a port".to_owned(),
        REASON_HIDDEN => "a port behind a chain of headers".to_owned(),
        REASON_UDP => format!("UDP port {}", event.port),
        _ => format!("port {}", event.port),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{DropEvent, MOST_LINES, PERIOD, Teller, addresses, describe, event};

    fn from(last: u8, at_ns: u64) -> DropEvent {
        let mut event =
            DropEvent { at_ns, family: 4, prefix_len: 32, port: 25, ..DropEvent::default() };
        event.addr[..4].copy_from_slice(&[192, 0, 2, last]);
        event
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut record = vec![1, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 7];
        record.extend([0; 12]);
        record.extend([4, 0, 24, 0, 25, 0, 6, 0]);
        let read = event(&record).unwrap();
        assert_eq!(read, DropEvent { prefix_len: 24, protocol: 6, ..from(7, 1) });
        assert_eq!(addresses(&read).unwrap().1.to_string(), "192.0.2.0/24");
        assert_eq!(describe(&read), "port 25");
        assert_eq!(event(&record[1..]), None);
    }

    #[test]
    fn two_cpus_first_packets_of_one_ban_are_one() {
        let (mut teller, now) = (Teller::default(), Instant::now());
        assert!(teller.tell(&from(7, 5), now));
        assert!(!teller.tell(&from(7, 3), now));
        assert!(teller.tell(&from(7, 5_000_000_000), now), "another ban of the same address");
    }

    #[test]
    fn an_attack_by_many_is_a_few_lines_and_a_number() {
        let (mut teller, now) = (Teller::default(), Instant::now());
        let told = (0..100).filter(|&last| teller.tell(&from(last, 1), now)).count();
        assert_eq!(told, usize::try_from(MOST_LINES).unwrap());
        assert!(teller.unsaid());
        assert!(teller.tell(&from(200, 1), now + PERIOD), "the next period has lines of its own");
        assert!(!teller.unsaid());
    }
}
