//! The start: what an earlier daemon knew and what is enforced, brought together.

use std::{
    collections::{HashMap, HashSet},
    mem,
};

use ipnet::IpNet;

use super::{
    pipeline::{Core, show},
    records,
};
use crate::{
    firewall::{FirewallError, Order},
    jail::History,
    store::Ban,
    time::LogTime,
};

impl Core {
    /// `saved` are the bans that were in force when state was last kept. What is enforced is the
    /// truth if it is `theirs`, which it is not after a reboot: then they have to be enforced
    /// again.
    pub(super) fn take_over(&mut self, saved: Vec<Ban>, theirs: bool) -> Result<(), FirewallError> {
        let now = self.clocks.now();
        let orders =
            self.firewall.view()?.bans()?.into_iter().map(|ban| (ban.order.subject, ban.order));
        let is_over = |order: &Order| order.expires.is_some_and(|end| end <= now);
        let (over, enforced): (HashMap<_, _>, HashMap<_, _>) =
            orders.partition(|(_, order)| is_over(order));
        if !over.is_empty() {
            self.firewall.unban_many(&over.into_keys().collect::<Vec<IpNet>>())?;
        }
        if !enforced.is_empty() {
            tracing::info!("{} bans are still in force and stay", enforced.len());
        }
        if !theirs {
            self.enforce_again(&saved, &enforced, now)?;
        }
        for Ban { subject, .. } in saved {
            match enforced.get(&subject) {
                _ if self.jail.is_known(&subject) => {}
                Some(order) => self.jail.adopt(subject, order.expires),
                None => self.records.ended(&subject),
            }
        }
        // What is enforced and not known, known and not enforced, or ends at another time: either
        // a line did that which will be read again, and then the jail decides on it anew, or it
        // was done while no daemon was there.
        if theirs {
            let missing = |subject: &IpNet| !enforced.contains_key(subject);
            let missing = self.jail.bans().map(|(subject, _)| subject).filter(missing);
            self.unsettled = missing.map(|subject| (subject, None)).collect();
        }
        let enforced = enforced.into_iter().map(|(subject, order)| (subject, Some(order)));
        self.unsettled.extend(enforced);
        Ok(())
    }

    fn enforce_again(
        &mut self,
        saved: &[Ban],
        enforced: &HashMap<IpNet, Order>,
        now: LogTime,
    ) -> Result<(), FirewallError> {
        let orders: Vec<(Order, &Ban)> = saved
            .iter()
            .filter(|ban| !enforced.contains_key(&ban.subject))
            .filter_map(|ban| Some((order(ban, now)?, ban)))
            .collect();
        let plain: Vec<Order> = orders.iter().map(|(order, _)| *order).collect();
        let lost = self.put_back(&plain)?;
        for (order, ban) in &orders {
            if lost.contains(&order.subject) {
                self.jail.evicted(&order.subject);
                self.ended(&order.subject, "could not be put in force again after a boot");
                continue;
            }
            if !self.jail.correct(&order.subject, order.expires) {
                self.jail.adopt(order.subject, order.expires);
            }
            self.records.banned(records::ban(order, &ban.cause, ban.earlier));
        }
        self.forget_evicted();
        if orders.len() > lost.len() {
            let count = orders.len() - lost.len();
            tracing::info!("{count} bans are in force again, for what is left of them");
        }
        Ok(())
    }

    /// Returns those that are not in force after all: a host without some of its bans is better
    /// off than one without a daemon.
    fn put_back(&mut self, orders: &[Order]) -> Result<HashSet<IpNet>, FirewallError> {
        let Err(error) = self.firewall.ban_many(orders) else { return Ok(HashSet::new()) };
        tracing::error!("not every ban of before can be put in force again: {error}");
        let bans = self.firewall.view()?.bans()?;
        let there: HashSet<IpNet> = bans.into_iter().map(|ban| ban.order.subject).collect();
        Ok(orders.iter().map(|it| it.subject).filter(|it| !there.contains(it)).collect())
    }

    /// Every log has been read up to where it is being written: what differs still was not
    /// decided here.
    pub(super) fn settle(&mut self) {
        let now = self.clocks.now();
        for (subject, order) in mem::take(&mut self.unsettled) {
            match order {
                Some(order) => self.adopt(&order, now),
                None if self.jail.is_banned(&subject, now) => {
                    self.jail.evicted(&subject);
                    self.ended(&subject, "removed from the kernel's maps, not by this daemon");
                    tracing::info!(
                        "the ban of {} is not in force any more, and is forgotten",
                        show(&subject)
                    );
                }
                None => {}
            }
        }
    }

    fn adopt(&mut self, order: &Order, now: LogTime) {
        let Order { subject, banned_at, expires, attempts } = *order;
        if self.jail.correct(&subject, expires) {
            return;
        }
        self.jail.adopt(subject, expires);
        let earlier = self.jail.bans_so_far(&subject, now);
        if attempts > 0 && earlier == 0 {
            self.jail.remember(&History { subject, bans: 1, at: banned_at, end: expires });
        }
        self.records.adopted(order, earlier);
    }
}

/// What is left of a ban; `None` if that is nothing. A clock that is wrong after a boot must not
/// make it longer than it was meant to be.
fn order(ban: &Ban, now: LogTime) -> Option<Order> {
    let Ban { subject, banned_at, expires, attempts, .. } = *ban;
    let expires = match expires {
        None => None,
        Some(end) => {
            let left = end.since(now).min(end.since(banned_at));
            if left.is_zero() {
                return None;
            }
            Some(now.after(left))
        }
    };
    Some(Order { subject, banned_at: banned_at.min(now), expires, attempts })
}

#[cfg(test)]
mod tests {
    use super::order;
    use crate::{store::Ban, time::LogTime};

    fn left(banned_at: i64, expires: Option<i64>, now: i64) -> Option<Option<i64>> {
        let ban = Ban {
            subject: "192.0.2.7/32".parse().unwrap(),
            banned_at: LogTime::from_secs(banned_at),
            expires: expires.map(LogTime::from_secs),
            attempts: 5,
            cause: "auth-failed".to_owned(),
            earlier: 0,
            steps: Vec::new(),
        };
        let order = order(&ban, LogTime::from_secs(now))?;
        Some(order.expires.map(|end| end.as_secs() - now))
    }

    #[test]
    fn a_ban_goes_on_for_what_is_left_of_it_and_never_for_longer_than_it_was() {
        assert_eq!(left(1000, Some(1600), 1100), Some(Some(500)));
        assert_eq!(left(1000, Some(1600), 1600), None);
        assert_eq!(left(1000, Some(1600), 9999), None);
        // A clock that begins at 1970 after a boot, or was ahead before it.
        assert_eq!(left(1000, Some(1600), 0), Some(Some(600)));
        assert_eq!(left(1000, Some(1600), 700), Some(Some(600)));
        assert_eq!(left(1000, None, 5000), Some(None));
    }
}
