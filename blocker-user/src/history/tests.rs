use jiff::tz::TimeZone;

use super::{FORGIVEN, network, report};
use crate::{
    control::api::{History, PolicyShown},
    jail::Policy,
    report::{Count, When},
    store::{BAN, BYTES, Chronicle, Counted, FAILURE, LOGIN, PACKETS, PastBan},
    time::LogTime,
};

/// 2026-11-24T17:00:00Z
const FROM: i64 = 1_795_539_600;

fn at(hours: i64) -> When {
    When(LogTime::from_secs(FROM + hours * 3600))
}

fn counted(hours: i64, kind: &str, name: &str, count: u64) -> Counted {
    Counted { hour: at(hours), kind: kind.to_owned(), name: name.to_owned(), count }
}

fn ban(ip: &str, hours: i64, how: Option<&str>) -> PastBan {
    PastBan {
        ip: ip.to_owned(),
        banned_at: at(hours),
        expires_at: Some(at(hours + 1)),
        ended_at: how.map(|_| at(hours)),
        ended_how: how.map(str::to_owned),
        cause: "auth-failed".to_owned(),
        attempts: 5,
        earlier_bans: 0,
    }
}

fn history() -> History {
    History {
        policy: PolicyShown::new("aggressive", &Policy::default()),
        chronicle: Chronicle {
            from: at(0),
            to: When(LogTime::from_secs(FROM + 2 * 3600 + 60)),
            counts: vec![
                counted(0, FAILURE, "auth-failed", 3),
                counted(2, FAILURE, "auth-failed", 7),
                counted(2, FAILURE, "no-auth-attempts", 11),
                counted(2, LOGIN, "", 4),
                counted(2, BAN, "", 3),
                counted(1, PACKETS, "", 90),
                counted(1, BYTES, "", 5400),
            ],
            bans: vec![
                ban("192.0.2.7", 0, None),
                ban("192.0.2.8", 1, Some(FORGIVEN)),
                ban("192.0.2.7", 2, Some("its time was over")),
            ],
            bans_left_out: 0,
            clients: 2,
        },
    }
}

#[test]
fn sums_series_and_hours_tell_of_the_same() {
    let report = report(&history(), &TimeZone::UTC, LogTime::from_secs(FROM));
    assert_eq!((report.read.failures, report.read.logins, report.effect.bans), (21, 4, 3));
    assert_eq!(report.series.failures, [3, 0, 18]);
    assert_eq!(report.series.drops, [0, 90, 0]);
    assert_eq!((report.hours[17].failures, report.hours[19].failures), (3, 18));
    let drops = report.drops.unwrap();
    assert_eq!((drops.packets, drops.bytes), (90, 5400));
    let rule = |name: &str, count| Count { name: name.to_owned(), count };
    assert_eq!(report.rules, [rule("no-auth-attempts", 11), rule("auth-failed", 10)]);
}

#[test]
fn a_ban_that_a_login_lifted_hit_somebody() {
    let report = report(&history(), &TimeZone::UTC, LogTime::from_secs(FROM));
    assert_eq!(report.effect.clients_with_users_hit, 1);
    assert_eq!(report.hits.clients[0].subject, "192.0.2.8");
    assert_eq!(report.bans[1].expires, Some(at(1)), "it was over when it was lifted");
    let tops: Vec<_> =
        report.top_sources.iter().map(|top| (top.subject.as_str(), top.bans)).collect();
    assert_eq!(tops, [("192.0.2.7", 2), ("192.0.2.8", 1)]);
    let networks: Vec<_> = report.top_networks.iter().map(|top| (top.bans, top.clients)).collect();
    assert_eq!(networks, [(3, 2)]);
}

#[test]
fn networks_are_24_or_48_bits_long_or_shorter() {
    for (ip, net) in [
        ("192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("10.0.0.0/8", "10.0.0.0/8"),
    ] {
        assert_eq!(network(ip).as_deref(), Some(net));
    }
}
