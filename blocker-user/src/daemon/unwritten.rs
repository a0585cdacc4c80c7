//! What waits to be written. Clients choose how much happens, so while the database takes nothing
//! it is only so much, and the oldest of it goes first.

use std::{
    collections::{HashMap, VecDeque},
    iter, mem,
};

use ipnet::IpNet;

use crate::{
    jail::lru::Lru,
    store::{Ban, Batch, Ending, Happened},
};

/// Of each kind. All of them together take some 100 MB.
const MOST: usize = 100_000;
/// Beyond so many bans, what led to them is not kept: up to eight lines of a log each.
const MOST_WITH_STEPS: usize = 10_000;

pub(super) struct Unwritten {
    /// `None` for those that ended.
    bans: Lru<IpNet, Option<Ban>>,
    endings: VecDeque<(IpNet, Ending)>,
    happened: VecDeque<Happened>,
    /// Some of `bans` are missing.
    lacks_bans: bool,
    /// It was said that there is not room for everything.
    is_said: bool,
}

impl Default for Unwritten {
    fn default() -> Self {
        Self {
            bans: Lru::new(),
            endings: VecDeque::new(),
            happened: VecDeque::new(),
            lacks_bans: false,
            is_said: false,
        }
    }
}

impl Unwritten {
    /// `is_stuck` is whether the database takes nothing. Where it does, a list that somebody bans
    /// may be longer than what there is room for otherwise.
    pub(super) fn banned(&mut self, ban: Ban, is_stuck: bool) {
        let is_much = is_stuck && self.bans.len() >= MOST_WITH_STEPS;
        let alone = Ban { steps: Vec::new(), ..ban.clone() };
        self.happened.push_back(Happened::Banned(alone.clone()));
        self.bans.insert(ban.subject, Some(if is_much { alone } else { ban }));
        self.make_room(is_stuck);
    }

    pub(super) fn ended(&mut self, subject: IpNet, is_stuck: bool) {
        self.bans.insert(subject, None);
        self.make_room(is_stuck);
    }

    pub(super) fn ending(&mut self, subject: IpNet, ending: Ending, is_stuck: bool) {
        self.happened.push_back(Happened::Ended(subject, ending.clone()));
        self.endings.push_back((subject, ending));
        self.make_room(is_stuck);
    }

    fn make_room(&mut self, is_stuck: bool) {
        if !is_stuck {
            return;
        }
        let mut is_full = false;
        while self.bans.len() > MOST {
            self.bans.pop_oldest();
            self.lacks_bans = true;
            is_full = true;
        }
        is_full |= shorten(&mut self.endings);
        is_full |= shorten(&mut self.happened);
        if is_full && !mem::replace(&mut self.is_said, true) {
            tracing::error!(
                "more has happened than is kept while the database cannot be written: reports and \
                 `explain` will lack the oldest of it; bans are enforced all the same"
            );
        }
    }

    /// The wall clock was set forth by so many microseconds.
    pub(super) fn clock_was_set(&mut self, by_micros: i64) {
        let mut bans = mem::replace(&mut self.bans, Lru::new());
        while let Some((subject, ban)) = bans.pop_oldest() {
            self.bans.insert(subject, ban.map(|ban| ban.moved(by_micros)));
        }
        for happened in &mut self.happened {
            if let Happened::Banned(ban) = happened {
                *ban = ban.moved(by_micros);
            }
        }
    }

    /// Whether some bans are missing, so that all that are in force are to be told instead.
    pub(super) fn lacks_bans(&self) -> bool {
        self.lacks_bans
    }

    /// Takes in what is in force, but for those of which more is known.
    pub(super) fn add(&mut self, in_force: Vec<Ban>) {
        let known: Vec<_> = iter::from_fn(|| self.bans.pop_oldest()).collect();
        let all = in_force.into_iter().map(|ban| (ban.subject, Some(ban))).chain(known);
        for (subject, ban) in all.collect::<HashMap<_, _>>() {
            self.bans.insert(subject, ban);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bans.len() == 0 && self.endings.is_empty() && self.happened.is_empty()
    }

    /// Moves all of it to `batch`.
    pub(super) fn hand_over(&mut self, batch: &mut Batch) {
        let Self { mut bans, endings, happened, lacks_bans, .. } = mem::take(self);
        batch.every_ban = lacks_bans;
        batch.bans = iter::from_fn(|| bans.pop_oldest()).collect();
        batch.endings = endings.into();
        batch.happened = happened.into();
    }
}

/// Whether there was too much.
fn shorten<T>(list: &mut VecDeque<T>) -> bool {
    let surplus = list.len().saturating_sub(MOST);
    list.drain(..surplus);
    surplus > 0
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{MOST, MOST_WITH_STEPS, Unwritten};
    use crate::{
        daemon::trail::step,
        firewall::host,
        store::{Ban, Batch, Ending, Happened},
        time::LogTime,
    };

    fn ban(n: usize) -> Ban {
        let subject = host(Ipv4Addr::from(u32::try_from(n).unwrap()).into());
        Ban {
            subject,
            banned_at: LogTime::EPOCH,
            expires: None,
            attempts: 5,
            cause: "auth-failed".to_owned(),
            earlier: 0,
            steps: vec![step(LogTime::EPOCH, subject, "auth-failed", "counted", b"line")],
        }
    }

    fn after(count: usize, is_stuck: bool) -> Unwritten {
        let mut unwritten = Unwritten::default();
        for n in 0..count {
            let ban = ban(n);
            let (at, how) = (LogTime::EPOCH, "by itself".to_owned());
            unwritten.ending(ban.subject, Ending { at, how, bans: 1 }, is_stuck);
            unwritten.banned(ban, is_stuck);
        }
        unwritten
    }

    #[test]
    fn a_database_that_takes_nothing_costs_so_much_memory_and_no_more() {
        let mut unwritten = after(MOST + 5, true);
        assert!(unwritten.lacks_bans() && unwritten.is_said);
        assert_eq!((unwritten.bans.len(), unwritten.endings.len()), (MOST, MOST));
        let mut batch = Batch::default();
        unwritten.hand_over(&mut batch);
        assert!(batch.every_ban && unwritten.is_empty() && !unwritten.lacks_bans());
        assert_eq!((batch.bans.len(), batch.happened.len()), (MOST, MOST));
        // The newest are there, the oldest are not.
        assert_eq!(batch.endings[0].0, ban(5).subject);
        let last = batch.happened.last().unwrap();
        let newest = ban(MOST + 4).subject;
        assert!(matches!(last, Happened::Banned(ban) if ban.subject == newest));
        let with_steps =
            batch.bans.iter().flat_map(|(_, ban)| ban).filter(|ban| !ban.steps.is_empty());
        assert!(with_steps.count() <= MOST_WITH_STEPS);
    }

    #[test]
    fn what_is_about_to_be_written_is_kept_whole() {
        let mut unwritten = after(MOST + 5, false);
        let mut batch = Batch::default();
        unwritten.hand_over(&mut batch);
        assert!(!batch.every_ban && batch.bans.len() == MOST + 5);
        assert!(batch.bans.iter().flat_map(|(_, ban)| ban).all(|ban| ban.steps.len() == 1));
    }

    #[test]
    fn of_what_is_in_force_that_stays_of_which_more_is_known() {
        let mut unwritten = after(1, true);
        unwritten.ended(ban(1).subject, true);
        let other = |n| Ban { cause: "unknown".to_owned(), ..ban(n) };
        unwritten.add(vec![other(0), other(1), other(2)]);
        let mut batch = Batch::default();
        unwritten.hand_over(&mut batch);
        batch.bans.sort_by_key(|(subject, _)| *subject);
        let expected = [Some(ban(0)), None, Some(other(2))];
        assert_eq!(batch.bans.into_iter().map(|(_, ban)| ban).collect::<Vec<_>>(), expected);
    }
}
