//! What has changed between two looks: numbers per second out of numbers so far.

use std::{collections::HashMap, time::Instant};

use crate::control::api::{Listed, Top};

pub(super) struct Watch {
    pub(super) now: Top,
    at: Instant,
    pub(super) rates: Rates,
    /// Packets dropped per second, of each source that had any. The most first.
    pub(super) sources: Vec<(Listed, u64)>,
    /// Why there was no answer to the last look.
    pub(super) trouble: Option<String>,
}

/// Per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) failures: u64,
}

impl Watch {
    pub(super) fn new(now: Top) -> Self {
        let sources = now.dropped.iter().map(|ban| (ban.clone(), 0)).collect();
        Self { now, at: Instant::now(), rates: Rates::default(), sources, trouble: None }
    }

    pub(super) fn look(&mut self, answer: Result<Top, String>) {
        match answer {
            Ok(top) => self.take(top, self.at.elapsed().as_secs_f64()),
            Err(error) => self.trouble = Some(error),
        }
    }

    fn take(&mut self, top: Top, secs: f64) {
        self.at = Instant::now();
        self.trouble = None;
        let before = std::mem::replace(&mut self.now, top);
        let (then, now) = (&before.status, &self.now.status);
        let rate = |then: u64, now: u64| per_second(now.saturating_sub(then), secs);
        self.rates = Rates {
            packets: rate(then.counters.dropped_packets, now.counters.dropped_packets),
            bytes: rate(then.counters.dropped_bytes, now.counters.dropped_bytes),
            lines: rate(then.lines, now.lines),
            failures: rate(then.total_failed, now.total_failed),
        };
        let known: HashMap<&str, u64> =
            before.dropped.iter().map(|ban| (ban.ip.as_str(), ban.dropped_packets)).collect();
        // One that was not among them before may have had any number.
        let source = |ban: &Listed| {
            let then = known.get(ban.ip.as_str()).copied().unwrap_or(ban.dropped_packets);
            (ban.clone(), rate(then, ban.dropped_packets))
        };
        self.sources = self.now.dropped.iter().map(source).collect();
        self.sources.sort_by_key(|(ban, rate)| std::cmp::Reverse((*rate, ban.dropped_packets)));
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and a rate need not be exact"
)]
fn per_second(count: u64, secs: f64) -> u64 {
    (count as f64 / secs.max(0.001)).round() as u64
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Rates, Watch};
    use crate::control::api::{Listed, Status, Top};

    fn listed(ip: &str, dropped_packets: u64) -> Listed {
        Listed {
            ip: ip.to_owned(),
            jail: "dovecot".to_owned(),
            banned_at: "2026-11-25T06:25:01Z".to_owned(),
            expires_at: Some("2026-11-25T07:25:01Z".to_owned()),
            attempts: 5,
            dropped_packets,
            dropped_bytes: dropped_packets * 60,
            last_seen: None,
        }
    }

    /// A daemon with two bans, of which the first had so many packets dropped.
    pub(in crate::cli::top) fn top(dropped: u64) -> Top {
        let bans = vec![listed("192.0.2.7", dropped), listed("2001:db8:1:2::/64", 10)];
        let mut status = Status::example();
        status.counters.dropped_packets = dropped + 10;
        status.counters.dropped_bytes = (dropped + 10) * 60;
        status.counters.dropped_tcp = dropped + 10;
        status.lines = 1000 + dropped;
        Top { status, newest: bans.clone(), ending: bans.clone(), dropped: bans }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let mut watch = Watch::new(top(0));
        watch.take(top(500), 2.0);
        assert_eq!(watch.rates, Rates { packets: 250, bytes: 15_000, lines: 250, failures: 0 });
        let rates: Vec<u64> = watch.sources.iter().map(|(_, rate)| *rate).collect();
        assert_eq!(rates, [250, 0]);
        watch.look(Err("gone".to_owned()));
        assert_eq!(watch.trouble.as_deref(), Some("gone"));
        // Counted anew, as after `detach`.
        watch.take(top(0), 1.0);
        assert_eq!((watch.rates.packets, watch.trouble), (0, None));
    }
}
