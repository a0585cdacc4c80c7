//! Real users behind banned addresses, and clients that are better not banned.

use std::collections::HashMap;

use ipnet::IpNet;

use super::{
    bits::Bits,
    clients::{Client, Clients},
    detail::Detail,
};
use crate::{
    config::show_span,
    daemon::show,
    jail::IgnoreList,
    report::{Kind, Recognised, UserHit},
};

/// A list for people is no longer.
const MOST_HITS: usize = 1000;
/// So many users log in from a gateway. A household is smaller.
const GATEWAY_USERS: u64 = 5;
/// That many with the same interval are no monitoring but a botnet.
const MOST_ALIKE: usize = 8;

/// The banned clients from which users logged in, most logins first, and how many were left out.
pub(super) fn hits(detail: &Detail, clients: &Clients) -> (Vec<UserHit>, u64) {
    let mut hits: Vec<UserHit> = detail
        .by_client
        .iter()
        .filter_map(|(number, past)| {
            let client = clients.get(*number)?;
            let logins = client.logins.as_ref()?;
            let named = logins.named.iter().map(|user| clients.name(*user));
            let users: Vec<String> = named.map(str::to_owned).collect();
            let left_out = logins.users.saturating_sub(u64::try_from(users.len()).unwrap_or(0));
            Some(UserHit {
                subject: show(&client.subject),
                users,
                users_left_out: left_out,
                logins: logins.count,
                first_login: logins.first.into(),
                last_login: logins.last.into(),
                bans: past.bans.into(),
                first_ban: past.first?.into(),
                failures: client.failures.into(),
                locked_out: Some(past.locked_out),
            })
        })
        .collect();
    hits.sort_by(|a, b| {
        let by = |hit: &UserHit| (hit.locked_out, hit.logins);
        by(b).cmp(&by(a)).then_with(|| a.subject.cmp(&b.subject))
    });
    let left_out = hits.len().saturating_sub(MOST_HITS);
    hits.truncate(MOST_HITS);
    (hits, u64::try_from(left_out).unwrap_or(0))
}

/// Clients that fail, and that are better not banned.
pub(super) fn recognised(
    clients: &Clients,
    banned: &Bits,
    ignore: &IgnoreList,
) -> Vec<(u32, Recognised)> {
    let failing = || clients.iter().filter(|(_, client)| client.failures > 0);
    let mut alike: HashMap<u32, usize> = HashMap::new();
    let regular = |client: &Client| client.rhythm.interval().filter(|_| client.guesses == 0);
    for (_, client) in failing() {
        if let Some(interval) = regular(client) {
            *alike.entry(size(interval)).or_default() += 1;
        }
    }
    let is_rare = |interval: &f64| alike.get(&size(*interval)).is_none_or(|n| *n <= MOST_ALIKE);
    let mut found: Vec<(u32, Recognised)> = failing()
        .filter_map(|(number, client)| {
            let users = client.users();
            let interval = regular(client).filter(is_rare).filter(|_| users < GATEWAY_USERS);
            let (kind, reason) = match interval {
                Some(interval) => (Kind::Monitoring, monitoring(client, interval)),
                // Who guesses more often than it logs in is somebody who guessed right.
                None if users >= GATEWAY_USERS
                    && u64::from(client.guesses) <= client.login_count() =>
                {
                    (Kind::Gateway, gateway(client, users))
                }
                None => return None,
            };
            let subject = show(&client.subject);
            Some((
                number,
                Recognised {
                    kind,
                    reason,
                    failures: client.failures.into(),
                    logins: client.login_count(),
                    users,
                    interval_secs: interval,
                    banned: banned.contains(number),
                    ignored: is_ignored(ignore, &client.subject),
                    ignoreip: format!("ignoreip = {subject}"),
                    subject,
                },
            ))
        })
        .collect();
    found.sort_by(|(_, a), (_, b)| {
        let by = |found: &Recognised| (found.banned, found.users, found.failures);
        by(b).cmp(&by(a)).then_with(|| a.subject.cmp(&b.subject))
    });
    found
}

fn is_ignored(ignore: &IgnoreList, subject: &IpNet) -> bool {
    ignore.spares(subject).is_some()
}

/// Intervals of one size differ by less than a tenth or so.
fn size(interval: f64) -> u32 {
    // Between 20 s and 18 hours: the logarithm fits.
    let steps = (interval.max(1.0).ln() * 10.0).round();
    (0..200).find(|size| f64::from(*size) >= steps).unwrap_or(200)
}

fn monitoring(client: &Client, interval: f64) -> String {
    let every = show_span(std::time::Duration::from_secs_f64(interval.round()));
    let times = client.rhythm.intervals().saturating_add(1);
    format!("connects every {every} ({times} times), as monitoring does, and never guesses")
}

fn gateway(client: &Client, users: u64) -> String {
    let logins = client.login_count();
    format!("{users} users log in from it ({logins} logins), as behind NAT or a webmail server")
}
