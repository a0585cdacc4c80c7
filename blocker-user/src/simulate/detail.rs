//! Every ban of one trial: whose, when, for what, and what it prevented.

use std::collections::HashMap;

use super::timeline::{Timeline, What};
use crate::{dovecot::RULES, time::LogTime};

/// As many bans are noted one by one.
const MOST_BANS: usize = 10_000;

/// A ban as a jail decided on it.
pub(super) struct NewBan {
    pub(super) at: LogTime,
    pub(super) expires: Option<LogTime>,
    pub(super) cause: &'static str,
    pub(super) attempts: u32,
}

pub(super) struct NotedBan {
    pub(super) client: u32,
    pub(super) ban: NewBan,
    /// By which rules failures counted, most first.
    pub(super) rules: Vec<&'static str>,
    pub(super) earlier: u32,
    pub(super) prevented: u64,
}

/// What became of a client that was banned.
#[derive(Default)]
pub(super) struct Past {
    pub(super) bans: u32,
    pub(super) first: Option<LogTime>,
    pub(super) locked_out: u64,
    /// Where its latest ban is noted.
    noted: Option<usize>,
}

#[derive(Default)]
pub(super) struct Detail {
    pub(super) bans: Vec<NotedBan>,
    pub(super) left_out: u64,
    pub(super) by_client: HashMap<u32, Past>,
    pub(super) timeline: Timeline,
    /// Failures since the last ban, for each client one number a rule.
    rules: Vec<Tally>,
}

/// One byte a rule, the last for failregex: it is only to tell which were most.
type Tally = [u8; RULES.len() + 1];

impl Detail {
    /// A failure that counted and was not enough.
    pub(super) fn counted(&mut self, client: u32, rule: &'static str) {
        let Ok(client) = usize::try_from(client) else { return };
        if client >= self.rules.len() {
            self.rules.resize(client + 1, Tally::default());
        }
        let rule = place(rule);
        if let Some(count) = self.rules.get_mut(client).and_then(|tally| tally.get_mut(rule)) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn banned(&mut self, client: u32, ban: NewBan) {
        self.counted(client, ban.cause);
        let rules = self.rules_of(client);
        self.timeline.count(What::Ban, ban.at);
        let past = self.by_client.entry(client).or_default();
        let earlier = past.bans;
        past.bans += 1;
        past.first.get_or_insert(ban.at);
        past.noted = (self.bans.len() < MOST_BANS).then_some(self.bans.len());
        if past.noted.is_some() {
            self.bans.push(NotedBan { client, ban, rules, earlier, prevented: 0 });
        } else {
            self.left_out += 1;
        }
    }

    /// The latest ban of the client ends at another time than it was to.
    pub(super) fn ends(&mut self, client: u32, expires: Option<LogTime>) {
        if let Some(noted) = self.latest(client) {
            noted.ban.expires = expires;
        }
    }

    pub(super) fn prevented(&mut self, client: u32, at: LogTime) {
        self.timeline.count(What::Prevented, at);
        if let Some(noted) = self.latest(client) {
            noted.prevented += 1;
        }
    }

    pub(super) fn locked_out(&mut self, client: u32) {
        if let Some(past) = self.by_client.get_mut(&client) {
            past.locked_out += 1;
        }
    }

    fn latest(&mut self, client: u32) -> Option<&mut NotedBan> {
        let noted = self.by_client.get(&client)?.noted?;
        self.bans.get_mut(noted)
    }

    /// The rules by which failures counted since the last ban; the next ones count anew.
    fn rules_of(&mut self, client: u32) -> Vec<&'static str> {
        let tally = usize::try_from(client).ok().and_then(|client| self.rules.get_mut(client));
        let tally = tally.map(std::mem::take).unwrap_or_default();
        let names = RULES.iter().map(|rule| rule.name).chain(["failregex"]);
        let mut counted: Vec<(u8, &'static str)> =
            tally.into_iter().zip(names).filter(|(count, _)| *count > 0).collect();
        counted.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        counted.into_iter().map(|(_, name)| name).collect()
    }
}

fn place(rule: &str) -> usize {
    RULES.iter().position(|known| known.name == rule).unwrap_or(RULES.len())
}
