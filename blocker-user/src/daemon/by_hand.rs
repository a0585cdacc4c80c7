//! What other threads ask of the pipeline: bans and their ends by hand, why somebody is banned,
//! and to go on by another configuration.

use std::collections::HashSet;

use ipnet::IpNet;

use super::{
    BannedByHand, BannedMany, By, Command, Reply, UnbannedByHand,
    pipeline::{Core, Pipeline, show, until},
    records,
    stats::add,
    told::BY_HAND,
};
use crate::{
    firewall::{FirewallError, Order},
    jail::Bantime,
    store::What,
    time::LogTime,
};

impl Pipeline {
    /// Does what other threads asked for, unless they have given up waiting for it.
    pub(super) fn obey(&mut self) {
        while let Ok(command) = self.inbox.next() {
            match command {
                Command::Reload { change, reply } if !reply.is_closed() => {
                    let answer = self.change(*change);
                    let _gone = reply.send(answer);
                }
                command => self.core.obey(command),
            }
        }
    }
}

impl Core {
    fn obey(&mut self, command: Command) {
        match command {
            Command::Ban { asked, subject, bantime, by, reply } if !reply.is_closed() => {
                let answer = self.ban_by_hand(&asked, subject, bantime, &by);
                self.answer(reply, answer);
            }
            Command::BanMany { subjects, bantime, by, reply } if !reply.is_closed() => {
                let answer = self.ban_many(subjects, bantime, &by);
                self.answer(reply, answer);
            }
            Command::Unban { subject, by, reply } if !reply.is_closed() => {
                let answer = self.unban_by_hand(&subject, &by);
                self.answer(reply, answer);
            }
            Command::UnbanMany { subjects, by, reply } if !reply.is_closed() => {
                let answer = self.unban_each(subjects, &by);
                self.answer(reply, answer);
            }
            Command::UnbanAll { by, reply } if !reply.is_closed() => {
                let bans = self.firewall.view().and_then(|view| view.bans());
                let every = bans.map(|bans| bans.into_iter().map(|ban| ban.order.subject));
                let answer = every.and_then(|subjects| self.unban_each(subjects, &by));
                self.answer(reply, answer);
            }
            Command::Explain { asked, subject, reply } if !reply.is_closed() => {
                let answer = Ok(self.explain(&asked, &subject));
                self.answer(reply, answer);
            }
            Command::IgnoreNamed { addresses, names } if names.strong_count() > 0 => {
                self.jail.set_named_addresses(addresses);
                self.allow_ignored();
            }
            // Nobody waits for these any more.
            Command::Ban { .. }
            | Command::BanMany { .. }
            | Command::Unban { .. }
            | Command::UnbanMany { .. }
            | Command::UnbanAll { .. }
            | Command::Explain { .. }
            | Command::Reload { .. }
            | Command::IgnoreNamed { .. } => {}
        }
    }

    /// What was done is to hold over a restart, whatever ends this daemon, from the moment on
    /// that somebody knows of it.
    fn answer<T: Send + 'static>(&mut self, reply: Reply<T>, answer: Result<T, FirewallError>) {
        self.records.when_written(move || {
            let _gone = reply.send(answer);
        });
    }

    fn ban_by_hand(
        &mut self,
        asked: &IpNet,
        subject: IpNet,
        bantime: Option<Bantime>,
        by: &By,
    ) -> Result<BannedByHand, FirewallError> {
        if let Some(why) = self.jail.ignore_list().spares(asked) {
            return Ok(BannedByHand::Spared(why));
        }
        let order = self.order(subject, bantime);
        let enforced = self.firewall.ban(&order);
        self.forget_evicted();
        enforced?;
        self.note_ban(&order, by);
        tracing::info!("ban {} {}: by hand", show(&subject), until(order.expires));
        Ok(BannedByHand::Until {
            expires: order.expires,
            spared: self.jail.ignore_list().inside(&subject),
            covered_by: self.jail.covering(&subject, order.banned_at),
        })
    }

    pub(super) fn ban_many(
        &mut self,
        subjects: Vec<(IpNet, IpNet)>,
        bantime: Option<Bantime>,
        by: &By,
    ) -> Result<BannedMany, FirewallError> {
        let (mut orders, mut spared) = (Vec::with_capacity(subjects.len()), Vec::new());
        for (asked, subject) in subjects {
            match self.jail.ignore_list().spares(&asked) {
                Some(why) => spared.push((asked, why)),
                None => orders.push(self.order(subject, bantime)),
            }
        }
        orders.sort_unstable_by_key(|order| order.subject);
        orders.dedup_by_key(|order| order.subject);
        let enforced = self.firewall.ban_many(&orders);
        self.forget_evicted();
        enforced?;
        for order in &orders {
            self.note_ban(order, by);
        }
        let expires = orders.first().and_then(|order| order.expires);
        tracing::info!("ban {} addresses and networks {}: by hand", orders.len(), until(expires));
        Ok(BannedMany { banned: orders.len(), expires, spared })
    }

    fn order(&self, subject: IpNet, bantime: Option<Bantime>) -> Order {
        let now = self.clocks.now();
        // Not the beginning but the end is rounded, or a short ban would have none.
        let expires = bantime.unwrap_or(self.jail.policy().bantime).end(now);
        let expires = expires.map(LogTime::to_next_second);
        Order { subject, banned_at: now, expires, attempts: 0 }
    }

    fn note_ban(&mut self, order: &Order, by: &By) {
        let Order { subject, banned_at, expires, .. } = *order;
        self.unsettled.remove(&subject);
        self.jail.adopt(subject, expires);
        self.note_by_hand(subject, "banned", by);
        let (earlier, steps) =
            (self.jail.bans_so_far(&subject, banned_at), self.trail.steps(&subject));
        self.records.banned(records::ban_with(order, BY_HAND, earlier, steps));
        add(&self.stats.bans);
        self.records.count(banned_at, What::Ban);
        add(&self.stats.bans_by_hand);
    }

    pub(super) fn unban_by_hand(
        &mut self,
        subject: &IpNet,
        by: &By,
    ) -> Result<UnbannedByHand, FirewallError> {
        let lifted = self.firewall.unban(subject)?;
        self.unsettled.remove(subject);
        self.jail.pardon(subject);
        if lifted {
            self.note_by_hand(*subject, "lifted", by);
            self.ended(subject, &format!("lifted by hand by {}", by.who));
            tracing::info!("unban {}: by hand", show(subject));
        } else {
            self.records.ended(subject);
        }
        Ok(UnbannedByHand { lifted, covered_by: self.jail.covering(subject, self.clocks.now()) })
    }

    /// Returns how many there were to be lifted. They may be a million, and lines wait meanwhile:
    /// so it is all of them at once, and one line in the log.
    pub(super) fn unban_each(
        &mut self,
        subjects: impl IntoIterator<Item = IpNet>,
        by: &By,
    ) -> Result<usize, FirewallError> {
        let subjects: Vec<IpNet> = subjects.into_iter().collect();
        match self.firewall.unban_many(&subjects) {
            Ok(lifted) => {
                self.pardon_each(&subjects, &lifted, by);
                Ok(lifted.len())
            }
            Err(error) => {
                // Some may have ended before it. A jail that took them to be in force would not
                // ban them again.
                let gone = self.not_enforced(subjects);
                let is_known = |subject: &&IpNet| self.jail.is_known(subject);
                let lifted: Vec<IpNet> = gone.iter().filter(is_known).copied().collect();
                self.pardon_each(&gone, &lifted, by);
                Err(error)
            }
        }
    }

    /// Those of `subjects` that were `lifted` had been banned.
    fn pardon_each(&mut self, subjects: &[IpNet], lifted: &[IpNet], by: &By) {
        for subject in subjects {
            self.unsettled.remove(subject);
            self.jail.pardon(subject);
            self.records.ended(subject);
        }
        let how = format!("lifted by hand by {}", by.who);
        for subject in lifted {
            self.note_by_hand(*subject, "lifted", by);
            self.ended(subject, &how);
        }
        tracing::info!("unban {} addresses and networks: by hand", lifted.len());
    }

    /// Those of `subjects` that are surely not banned in the kernel.
    fn not_enforced(&self, subjects: Vec<IpNet>) -> Vec<IpNet> {
        let Ok(bans) = self.firewall.view().and_then(|view| view.bans()) else { return Vec::new() };
        let enforced: HashSet<IpNet> = bans.into_iter().map(|ban| ban.order.subject).collect();
        subjects.into_iter().filter(|subject| !enforced.contains(subject)).collect()
    }
}
