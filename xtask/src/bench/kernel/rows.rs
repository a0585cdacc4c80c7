//! The rows that the benchmark prints, and the middle of what the rounds gave.
use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

/// `part,what,bans,sources,round,packets,ns`
const HEAD: &str = "part,what,bans,sources,round,packets,ns";

/// What was measured in every round.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// `program`, `shared`, `alone` or `restore`.
    pub(super) part: String,
    pub(super) what: String,
    pub(super) bans: u32,
    pub(super) sources: u32,
}

impl Key {
    pub(super) fn new(part: &str, what: &str, bans: u32, sources: u32) -> Self {
        Self { part: part.to_owned(), what: what.to_owned(), bans, sources }
    }
}

/// Nanoseconds for each packet (or ban), round by round.
#[derive(Debug, Default)]
pub(super) struct Rows {
    found: BTreeMap<Key, Vec<f64>>,
    /// As they were first seen, which is the order they are shown in.
    order: Vec<Key>,
}

impl Rows {
    pub(super) fn read(csv: &str) -> Result<Self> {
        let mut lines = csv.lines();
        ensure!(lines.next() == Some(HEAD), "the benchmark did not print {HEAD}");
        let mut rows = Self::default();
        for line in lines {
            let (key, value) = row(line).with_context(|| format!("not a row: {line}"))?;
            if !rows.found.contains_key(&key) {
                rows.order.push(key.clone());
            }
            rows.found.entry(key).or_default().push(value);
        }
        ensure!(!rows.order.is_empty(), "the benchmark has measured nothing");
        Ok(rows)
    }

    /// The median; of an even number the lower of the two.
    pub(super) fn ns(&self, part: &str, what: &str, bans: u32, sources: u32) -> Option<f64> {
        let mut values = self.found.get(&Key::new(part, what, bans, sources))?.clone();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len().saturating_sub(1) / 2).copied()
    }

    /// What there is of a part, in the order it was measured in.
    pub(super) fn of<'r>(&'r self, part: &'r str) -> impl Iterator<Item = &'r Key> + 'r {
        self.order.iter().filter(move |key| key.part == part)
    }

    /// How many bans were in force in a part, ascending.
    pub(super) fn bans(&self, part: &str) -> Vec<u32> {
        let mut bans: Vec<u32> = self.of(part).map(|key| key.bans).collect();
        bans.sort_unstable();
        bans.dedup();
        bans
    }

    pub(super) fn rounds(&self) -> usize {
        self.found.values().map(Vec::len).min().unwrap_or(0)
    }
}

fn row(line: &str) -> Option<(Key, f64)> {
    let fields: Vec<&str> = line.split(',').collect();
    let [part, what, bans, sources, _round, packets, ns] = fields[..] else { return None };
    let key = Key::new(part, what, bans.parse().ok()?, sources.parse().ok()?);
    let packets = packets.parse::<u64>().ok().filter(|packets| *packets > 0)?;
    Some((key, ns.parse::<u64>().ok()? as f64 / packets as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_rounds_and_per_packet() {
        let csv = format!(
            "{HEAD}\nprogram,floor,1,1,1,10,200\nprogram,floor,1,1,2,10,900\n\
             program,floor,1,1,3,20,440\nprogram,floor,1000,1,1,10,100\n"
        );
        let rows = Rows::read(&csv).unwrap();
        assert_eq!(rows.ns("program", "floor", 1, 1), Some(22.0));
        assert_eq!(rows.ns("program", "floor", 1, 7), None);
        assert_eq!((rows.rounds(), rows.bans("program")), (1, vec![1, 1000]));
        assert_eq!(rows.of("program").count(), 2);
    }

    #[test]
    fn what_is_no_row_is_not_guessed_at() {
        for wrong in ["a,b", "program,floor,1,1,1,0,5", "program,floor,x,1,1,1,5"] {
            assert!(Rows::read(&format!("{HEAD}\n{wrong}\n")).is_err(), "{wrong}");
        }
        assert!(Rows::read("").is_err());
        assert!(Rows::read(&format!("{HEAD}\n")).is_err());
    }
}
