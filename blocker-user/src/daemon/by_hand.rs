//! What other threads ask of the pipeline: bans and their ends by hand.

use ipnet::IpNet;

use super::{
    BannedByHand, Command, Inbox, Reply, UnbannedByHand,
    pipeline::{Core, show, until},
    records,
    stats::add,
};
use crate::{
    firewall::{FirewallError, Order},
    jail::Bantime,
    time::LogTime,
};

/// The cause of a ban that no line made.
const BY_HAND: &str = "by hand";

impl Core {
    /// Does what other threads asked for, unless they have given up waiting for it.
    pub(super) fn obey(&mut self, inbox: &Inbox) {
        while let Ok(command) = inbox.commands.try_recv() {
            match command {
                Command::Ban { asked, subject, bantime, reply } if !reply.is_closed() => {
                    let answer = self.ban_by_hand(&asked, subject, bantime);
                    self.answer(reply, answer);
                }
                Command::Unban { subject, reply } if !reply.is_closed() => {
                    let answer = self.unban_by_hand(&subject);
                    self.answer(reply, answer);
                }
                Command::UnbanAll { reply } if !reply.is_closed() => {
                    let answer = self.unban_all();
                    self.answer(reply, answer);
                }
                Command::IgnoreNamed { addresses } => {
                    self.jail.set_named_addresses(addresses);
                    self.allow_ignored();
                }
                Command::Ban { .. } | Command::Unban { .. } | Command::UnbanAll { .. } => {}
            }
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
    ) -> Result<BannedByHand, FirewallError> {
        if let Some(why) = self.jail.ignore_list().spares(asked) {
            return Ok(BannedByHand::Spared(why));
        }
        let now = self.clocks.now();
        // Not the beginning but the end is rounded, or a short ban would have none.
        let expires = bantime.unwrap_or(self.jail.policy().bantime).end(now);
        let expires = expires.map(LogTime::to_next_second);
        let order = Order { subject, banned_at: now, expires, attempts: 0 };
        let enforced = self.firewall.ban(&order);
        self.forget_evicted();
        enforced?;
        self.unsettled.remove(&subject);
        self.jail.adopt(subject, expires);
        self.records.banned(records::ban(&order, BY_HAND, self.jail.bans_so_far(&subject, now)));
        add(&self.stats.bans);
        tracing::info!("ban {} {}: by hand", show(&subject), until(expires));
        Ok(BannedByHand::Until {
            expires,
            spared: self.jail.ignore_list().inside(&subject),
            covered_by: self.jail.covering(&subject, now),
        })
    }

    pub(super) fn unban_by_hand(
        &mut self,
        subject: &IpNet,
    ) -> Result<UnbannedByHand, FirewallError> {
        let lifted = self.firewall.unban(subject)?;
        self.unsettled.remove(subject);
        self.jail.pardon(subject);
        self.records.ended(subject);
        if lifted {
            tracing::info!("unban {}: by hand", show(subject));
        }
        Ok(UnbannedByHand { lifted, covered_by: self.jail.covering(subject, self.clocks.now()) })
    }

    fn unban_all(&mut self) -> Result<usize, FirewallError> {
        let mut lifted = 0;
        for ban in self.firewall.view()?.bans()? {
            lifted += usize::from(self.unban_by_hand(&ban.order.subject)?.lifted);
        }
        Ok(lifted)
    }
}
