//! The counts of the text report. Several threads count each its own part, in bounded memory.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
};

use super::lines::Fate;
use crate::{
    dovecot::{Event, Judgement, Layout},
    time::LogTime,
};

/// Addresses are an attacker's to choose, and IPv6 has plenty. So many are counted each by
/// itself, in some 60 MB; of further ones only their hits.
const MAX_ADDRESSES: usize = 1 << 20;
/// As many lines as `fail2ban-regex` prints unasked.
const FEW: usize = 20;

#[derive(Default)]
pub(super) struct Tally {
    pub(super) lines: u64,
    pub(super) matched: u64,
    pub(super) logins: u64,
    pub(super) undated: u64,
    pub(super) by_layout: Counts<Layout>,
    pub(super) by_rule: Counts<&'static str>,
    pub(super) by_ip: HashMap<IpAddr, u64>,
    /// Hits of addresses that `by_ip` had no room for.
    pub(super) other_hits: u64,
    pub(super) period: Option<(LogTime, LogTime)>,
    pub(super) missed: FewLines,
    pub(super) ignored: FewLines,
}

impl Tally {
    pub(super) fn count(&mut self, judgement: &Judgement, fate: Fate) {
        self.lines += 1;
        match judgement.layout {
            Some(layout) => self.by_layout.add(layout, 1),
            None => self.undated += 1,
        }
        if let Some(time) = judgement.time {
            self.extend_period(time, time);
        }
        match fate {
            Fate::Matched { ip, rule } => {
                self.matched += 1;
                self.by_rule.add(rule, 1);
                self.add_hits(ip, 1);
            }
            Fate::Missed => {
                self.missed.count += 1;
                self.logins += u64::from(matches!(judgement.event, Some(Event::Login(_))));
            }
            Fate::Ignored => self.ignored.count += 1,
        }
    }

    /// Adds what another thread counted.
    pub(super) fn merge(&mut self, other: Self) {
        self.lines += other.lines;
        self.matched += other.matched;
        self.logins += other.logins;
        self.undated += other.undated;
        for (layout, count) in other.by_layout.0 {
            self.by_layout.add(layout, count);
        }
        for (rule, count) in other.by_rule.0 {
            self.by_rule.add(rule, count);
        }
        for (ip, hits) in other.by_ip {
            self.add_hits(ip, hits);
        }
        self.other_hits += other.other_hits;
        if let Some((first, last)) = other.period {
            self.extend_period(first, last);
        }
        self.missed.merge(other.missed);
        self.ignored.merge(other.ignored);
    }

    fn extend_period(&mut self, first: LogTime, last: LogTime) {
        let (before, after) = self.period.unwrap_or((first, last));
        self.period = Some((before.min(first), after.max(last)));
    }

    fn add_hits(&mut self, ip: IpAddr, hits: u64) {
        let has_room = self.by_ip.len() < MAX_ADDRESSES;
        match self.by_ip.entry(ip) {
            Entry::Occupied(mut known) => *known.get_mut() += hits,
            Entry::Vacant(new) if has_room => {
                new.insert(hits);
            }
            Entry::Vacant(_) => self.other_hits += hits,
        }
    }
}

/// Counts of a handful of things: a short list is quicker than a map.
pub(super) struct Counts<T>(Vec<(T, u64)>);

impl<T> Default for Counts<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Counts<T> {
    fn add(&mut self, thing: T, more: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == thing) {
            Some((_, count)) => *count += more,
            None => self.0.push((thing, more)),
        }
    }

    pub(super) fn of(&self, thing: &T) -> u64 {
        self.0.iter().find(|(known, _)| known == thing).map_or(0, |(_, count)| *count)
    }
}

/// How many lines there were of a kind, and they themselves while they are few.
#[derive(Default)]
pub(super) struct FewLines {
    pub(super) count: u64,
    kept: Vec<(u64, Vec<u8>)>,
}

impl FewLines {
    pub(super) fn keep(&mut self, number: u64, line: &[u8]) {
        if self.kept.len() < FEW {
            self.kept.push((number, line.to_vec()));
        }
    }

    /// All of them in their order, if they were kept and are few.
    pub(super) fn all(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let all = self.count == u64::try_from(self.kept.len()).unwrap_or(u64::MAX);
        all.then(|| self.kept.iter().map(|(_, line)| line.as_slice()))
    }

    pub(super) fn are_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.kept.extend(other.kept);
        self.kept.sort_unstable_by_key(|(number, _)| *number);
        self.kept.truncate(FEW);
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW, FewLines, MAX_ADDRESSES, Tally};

    #[test]
    fn a_flood_of_addresses_is_counted_in_bounded_memory() {
        let mut tally = Tally::default();
        for number in 0..u32::try_from(MAX_ADDRESSES).unwrap() + 10 {
            tally.add_hits(std::net::Ipv4Addr::from(number).into(), 1);
        }
        tally.add_hits(std::net::Ipv4Addr::from(0).into(), 1);
        assert_eq!(tally.by_ip.len(), MAX_ADDRESSES);
        assert_eq!(tally.other_hits, 10);
        assert_eq!(tally.by_ip[&std::net::IpAddr::from([0, 0, 0, 0])], 2);
    }

    #[test]
    fn a_few_lines_of_several_threads_come_in_their_order_and_many_not_at_all() {
        let few = |numbers: &[u64]| {
            let mut lines = FewLines::default();
            for number in numbers {
                lines.count += 1;
                lines.keep(*number, number.to_string().as_bytes());
            }
            lines
        };
        let mut lines = few(&[2, 5]);
        lines.merge(few(&[1, 7]));
        assert_eq!(lines.all().unwrap().collect::<Vec<_>>(), [b"1", b"2", b"5", b"7"]);
        lines.merge(few(&(10..10 + FEW as u64).collect::<Vec<_>>()));
        assert!(lines.all().is_none());
    }
}
