//! What led to bans, and what became of them, in the words of the log: for whoever asks why.
//!
//! Bounded in every direction, since clients choose how many lines there are, how long and
//! about how many addresses: the clients that were heard of longest ago are forgotten first.
//! What led to a ban goes to the store with it, so that this is only for what has made none yet,
//! and for a daemon that keeps no state.

use std::collections::VecDeque;

use ipnet::IpNet;

use crate::{
    jail::lru::Lru,
    store::{Ending, Step},
    time::LogTime,
};

/// Of one client.
const MOST_STEPS: usize = 8;
/// Dovecot's lines about a login have 150 to 250 bytes.
const LONGEST: usize = 400;
/// With these, all of it takes some 20 MB, and at most 90 MB where clients see to it that every line
/// is as long as can be and no UTF-8.
const MOST_CLIENTS: usize = 8192;

pub(super) struct Trail {
    steps: Lru<IpNet, VecDeque<Step>>,
    logins: Lru<IpNet, Step>,
    endings: Lru<IpNet, Ending>,
}

impl Default for Trail {
    fn default() -> Self {
        Self { steps: Lru::new(), logins: Lru::new(), endings: Lru::new() }
    }
}

impl Trail {
    pub(super) fn step(&mut self, subject: IpNet, step: Step) {
        make_room(&mut self.steps, &subject);
        let steps = self.steps.touch_or_insert(subject, VecDeque::new);
        if steps.len() == MOST_STEPS {
            steps.pop_front();
        }
        steps.push_back(step);
    }

    pub(super) fn login(&mut self, subject: IpNet, step: Step) {
        make_room(&mut self.logins, &subject);
        self.logins.insert(subject, step);
    }

    pub(super) fn ended(&mut self, subject: IpNet, ending: Ending) {
        make_room(&mut self.endings, &subject);
        let bans = self.endings.get(&subject).map_or(0, |before| before.bans);
        let bans = ending.bans.saturating_add(bans);
        self.endings.insert(subject, Ending { bans, ..ending });
    }

    /// The oldest first.
    pub(super) fn steps(&self, subject: &IpNet) -> Vec<Step> {
        self.steps.get(subject).into_iter().flatten().cloned().collect()
    }

    pub(super) fn last_login(&self, subject: &IpNet) -> Option<Step> {
        self.logins.get(subject).cloned()
    }

    pub(super) fn ending(&self, subject: &IpNet) -> Option<Ending> {
        self.endings.get(subject).cloned()
    }
}

fn make_room<V>(table: &mut Lru<IpNet, V>, subject: &IpNet) {
    if table.len() >= MOST_CLIENTS && table.get(subject).is_none() {
        table.pop_oldest();
    }
}

/// A line of the log about `address`.
pub(super) fn step(at: LogTime, address: IpNet, rule: &str, verdict: &str, line: &[u8]) -> Step {
    let text = String::from_utf8_lossy(line.get(..LONGEST).unwrap_or(line));
    let more = if line.len() > LONGEST { "…" } else { "" };
    Step {
        at,
        address,
        rule: rule.to_owned(),
        verdict: verdict.to_owned(),
        text: format!("{text}{more}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{LONGEST, MOST_CLIENTS, MOST_STEPS, Trail, step};
    use crate::{firewall::host, time::LogTime};

    #[test]
    fn the_last_lines_of_the_last_clients_are_kept() {
        let mut trail = Trail::default();
        let client = |n: usize| host(Ipv4Addr::from(u32::try_from(n).unwrap()).into());
        let line = vec![b'\xff'; 10 * LONGEST];
        for n in 0..MOST_CLIENTS + 2 {
            trail.step(client(n), step(LogTime::EPOCH, client(n), "rule", "counted", &line));
        }
        for secs in 0..20 {
            let at = LogTime::from_secs(secs);
            trail.step(client(1), step(at, client(1), "rule", "counted", b"short"));
        }
        assert!(trail.steps(&client(0)).is_empty() && trail.steps(&client(2)).is_empty());
        assert!(trail.steps(&client(9))[0].text.chars().count() <= LONGEST + 1);
        let kept: Vec<i64> = trail.steps(&client(1)).iter().map(|step| step.at.as_secs()).collect();
        assert_eq!(kept.len(), MOST_STEPS);
        assert_eq!((kept[0], kept[MOST_STEPS - 1]), (12, 19));
    }
}
