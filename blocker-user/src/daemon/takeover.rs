//! The start: what an earlier daemon knew and what is enforced, brought together.

use std::collections::HashMap;

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
        let mut enforced = HashMap::new();
        for ban in self.firewall.view()?.bans()? {
            let order = ban.order;
            if order.expires.is_some_and(|end| end <= now) {
                self.firewall.unban(&order.subject)?;
            } else {
                enforced.insert(order.subject, order);
            }
        }
        if !enforced.is_empty() {
            tracing::info!("{} bans are still in force and stay", enforced.len());
        }
        if theirs {
            self.forget_lifted(&saved, &enforced, now);
        } else {
            self.enforce_again(&saved, &enforced, now)?;
        }
        for Ban { subject, .. } in saved {
            match enforced.get(&subject) {
                _ if self.jail.is_known(&subject) => {}
                Some(order) => self.jail.adopt(subject, order.expires),
                None => self.records.ended(&subject),
            }
        }
        // What else is enforced, or ends at another time, is of a line that will be read again,
        // or was set while nothing was kept. If it is the former the jail decides on it anew.
        self.strangers = enforced;
        Ok(())
    }

    /// Somebody has removed bans from the maps while no daemon was there.
    fn forget_lifted(&mut self, saved: &[Ban], enforced: &HashMap<IpNet, Order>, now: LogTime) {
        for ban in saved {
            // Those that ended by themselves end here as well, when their time comes in the log.
            let is_over = ban.expires.is_some_and(|end| end <= now);
            if !is_over && !enforced.contains_key(&ban.subject) {
                self.jail.evicted(&ban.subject);
                self.records.ended(&ban.subject);
                tracing::info!(
                    "the ban of {} is not in force any more, and is forgotten",
                    show(&ban.subject)
                );
            }
        }
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
        self.firewall.ban_many(&plain)?;
        for (order, ban) in &orders {
            if !self.jail.correct(&order.subject, order.expires) {
                self.jail.adopt(order.subject, order.expires);
            }
            self.records.banned(records::ban(order, &ban.cause, ban.earlier));
        }
        self.forget_evicted();
        if !orders.is_empty() {
            tracing::info!("{} bans are in force again, for what is left of them", orders.len());
        }
        Ok(())
    }

    /// Every log has been read up to where it was being written: what is still not known was not
    /// decided here.
    pub(super) fn adopt_strangers(&mut self) {
        let now = self.clocks.now();
        for (subject, order) in std::mem::take(&mut self.strangers) {
            if self.jail.correct(&subject, order.expires) {
                continue;
            }
            self.jail.adopt(subject, order.expires);
            let earlier = self.jail.bans_so_far(&subject, now);
            if order.attempts > 0 && earlier == 0 {
                let (at, end) = (order.banned_at, order.expires);
                self.jail.remember(&History { subject, bans: 1, at, end });
            }
            self.records.adopted(&order, earlier);
        }
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
            Some(now.after(left)).filter(|_| !left.is_zero()).map(Some)?
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
