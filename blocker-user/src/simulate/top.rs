//! Who failed most: clients, and the networks they are of.

use std::collections::HashMap;

use ipnet::IpNet;

use super::{
    clients::{Client, Clients},
    detail::Detail,
};
use crate::{daemon::show, report::Top};

/// Longer lists are no pictures.
const MOST: usize = 20;
/// What is often in one hand.
const NETWORK_V4: u8 = 24;
const NETWORK_V6: u8 = 48;

pub(super) fn sources(clients: &Clients, detail: &Detail) -> Vec<Top> {
    let mut failing: Vec<(u32, &Client)> =
        clients.iter().filter(|(_, client)| client.failures > 0).collect();
    failing.sort_by_key(|(_, client)| (std::cmp::Reverse(client.failures), client.subject));
    failing.truncate(MOST);
    failing.into_iter().map(|(number, client)| of(number, client, client.subject, detail)).collect()
}

pub(super) fn networks(clients: &Clients, detail: &Detail) -> Vec<Top> {
    let mut networks: HashMap<IpNet, Top> = HashMap::new();
    for (number, client) in clients.iter().filter(|(_, client)| client.failures > 0) {
        let network = network(&client.subject);
        let one = of(number, client, network, detail);
        networks
            .entry(network)
            .and_modify(|sum| {
                sum.failures += one.failures;
                sum.bans += one.bans;
                sum.logins += one.logins;
                sum.clients += 1;
                (sum.first, sum.last) = (sum.first.min(one.first), sum.last.max(one.last));
            })
            .or_insert(one);
    }
    let mut networks: Vec<Top> = networks.into_values().collect();
    networks.sort_by(|a, b| b.failures.cmp(&a.failures).then_with(|| a.subject.cmp(&b.subject)));
    networks.truncate(MOST);
    networks
}

fn of(number: u32, client: &Client, subject: IpNet, detail: &Detail) -> Top {
    Top {
        subject: show(&subject),
        failures: client.failures.into(),
        bans: detail.by_client.get(&number).map_or(0, |past| past.bans.into()),
        logins: client.login_count(),
        clients: 1,
        first: client.first.into(),
        last: client.last.into(),
    }
}

fn network(subject: &IpNet) -> IpNet {
    let len = match subject {
        IpNet::V4(_) => NETWORK_V4,
        IpNet::V6(_) => NETWORK_V6,
    };
    let len = len.min(subject.prefix_len());
    IpNet::new(subject.addr(), len).map_or(*subject, |network| network.trunc())
}
