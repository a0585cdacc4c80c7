//! A month of a mail server, as a simulation of it would tell.

use crate::{
    report::{
        Ban, Cell, Change, Count, Effect, FORMAT, Hits, Hour, Kind, ModeEffect, PolicyInForce,
        Read, Recognised, Recommendation, Report, Series, Source, Sweep, Top, UserHit, When,
    },
    time::LogTime,
};

const FROM: i64 = 1_795_000_000;
const HOUR: i64 = 3600;

/// Names that attackers would like to see on somebody's page.
pub(super) const HOSTILE: [&str; 4] = [
    "</script><script>alert(1)</script>",
    "\u{202e}moc.elpmaxe@ecila\u{0}",
    "\"onmouseover='x' &amp; <img src=http://192.0.2.1/x>",
    "a-very-long-name-without-any-place-to-break-it-that-goes-on-and-on-and-on-and-on-and-on-and-on-\
     and-on-and-on-and-on@example.com",
];

pub(super) fn at(secs: i64) -> When {
    When(LogTime::from_secs(FROM + secs))
}

/// An effect of so many thousandths of what there is, and so many users hit.
fn effect(thousandths: u64, users: u64) -> Effect {
    Effect {
        bans: thousandths * 2,
        banned_clients: thousandths,
        attackers: 1500,
        attackers_caught: thousandths * 3 / 2,
        prevented_failures: 184 * thousandths,
        prevented_connections: 210 * thousandths,
        prevented_login_process_seconds: 3100 * thousandths,
        clients_with_users_hit: users.div_ceil(2),
        users_hit: users,
        logins_locked_out: users / 2,
    }
}

fn sweep() -> Sweep {
    let (maxretry, findtime) =
        (vec![2, 3, 5, 8, 10, 20], vec![300, 600, 1800, 3600, 21_600, 86_400]);
    let cell = |row: u64, column: u64| {
        let users = (row + 1).saturating_sub(column * 2);
        effect((950 + row * 8).saturating_sub(column * column * 30), users)
    };
    let of = |findtime: &[u64], maxretry: &[u32]| {
        let mut cells = Vec::new();
        for (row, findtime) in (0..).zip(findtime) {
            for (column, maxretry) in (0..).zip(maxretry) {
                let (maxretry, findtime) = (*maxretry, *findtime);
                let effect = cell(row, column);
                cells.push(Cell { maxretry, findtime, bantime: Some(3600), effect });
            }
        }
        cells
    };
    let bantimes = [600, 3600, 86_400, 604_800].into_iter().map(Some).chain([None]);
    let bantimes = (0..).zip(bantimes).map(|(step, bantime)| {
        let effect = effect(840 + step * 30, step / 2);
        Cell { maxretry: 5, findtime: 600, bantime, effect }
    });
    Sweep {
        mode: "aggressive",
        cells: of(&findtime, &maxretry),
        bantimes: bantimes.collect(),
        maxretry,
        findtime,
    }
}

fn ban(number: i64) -> Ban {
    let subject = match number % 5 {
        0 => format!("2001:db8:{:x}:{number:x}::/64", number % 7),
        _ => format!("198.51.{}.{}", number % 200, number % 250),
    };
    Ban {
        subject,
        at: at(number * 600),
        expires: (number % 9 != 8).then(|| at(number * 600 + HOUR)),
        rules: vec!["auth-failed".to_owned(), "no-auth-attempts".to_owned()],
        cause: "auth-failed".to_owned(),
        attempts: 5,
        earlier_bans: 3,
        prevented_failures: Some(140),
    }
}

fn hit(number: i64, users: &[&str]) -> UserHit {
    UserHit {
        subject: format!("203.0.113.{number}"),
        users: users.iter().map(|user| (*user).to_owned()).collect(),
        users_left_out: 2,
        logins: 48,
        first_login: at(40_000),
        last_login: at(900_000),
        bans: 2,
        first_ban: at(70_000),
        failures: 14,
        locked_out: Some(3),
    }
}

fn tops(network: bool) -> Vec<Top> {
    let top = |number: u64| Top {
        subject: match (network, number % 4) {
            (true, 3) => format!("2001:db8:{number:x}::/48"),
            (true, _) => format!("198.51.{number}.0/24"),
            (false, 3) => format!("2001:db8:{number:x}:89ab::/64"),
            (false, _) => format!("198.51.100.{number}"),
        },
        failures: 41_234 / (number + 1),
        bans: 40 / (number + 1),
        logins: u64::from(number == 4),
        clients: if network { 200 - number } else { 1 },
        first: at(100),
        last: at(2_000_000),
    };
    (0..10).map(top).collect()
}

pub(super) fn report() -> Report {
    let hours = 24 * 30;
    let wave = |step: u64| 180 + (step % 24) * 9 + if step % 171 < 12 { 900 } else { 0 };
    let failures: Vec<u64> = (0..hours).map(wave).collect();
    let policy = PolicyInForce {
        mode: "aggressive",
        maxretry: 5,
        maxretry_probe: Some(8),
        findtime: 600,
        bantime: Some(3600),
        increment: true,
        ignore_authenticated: 86_400,
        ipv6_prefix: 64,
        ignoreip: vec!["127.0.0.1/8".to_owned(), "::1".to_owned()],
    };
    Report {
        format: FORMAT,
        kind: Source::Simulation,
        version: "0.1.0",
        made_at: at(2_700_000),
        anonymized: false,
        read: Read {
            logs: vec!["/var/log/mail.log.2.gz".to_owned(), "/var/log/mail.log".to_owned()],
            lines: 12_345_678,
            undated: 3,
            from: Some(at(0)),
            to: Some(at(i64::try_from(hours).unwrap() * HOUR)),
            failures: 184_000,
            logins: 1_200_000,
            connections: 1_600_000,
            login_process_seconds: 4_000_000,
            clients: 23_456,
        },
        policy,
        effect: effect(872, 5),
        bans: (0..140).map(ban).collect(),
        bans_left_out: 1604,
        hits: Hits {
            clients: vec![
                hit(7, &["alice@example.com", HOSTILE[0], HOSTILE[1]]),
                hit(9, &HOSTILE[2..]),
            ],
            clients_left_out: 0,
            without_ignore_authenticated: (0..30).map(|n| hit(n, &["bob@example.com"])).collect(),
            without_ignore_authenticated_left_out: 12,
        },
        recognised: vec![
            Recognised {
                subject: "192.0.2.10".to_owned(),
                kind: Kind::Monitoring,
                reason: "it connects every 60 s and never logs in".to_owned(),
                failures: 43_000,
                logins: 0,
                users: 0,
                interval_secs: Some(60.0),
                banned: true,
                ignored: false,
                ignoreip: "ignoreip = 192.0.2.10".to_owned(),
            },
            Recognised {
                subject: "203.0.113.7".to_owned(),
                kind: Kind::Gateway,
                reason: "38 users log in from it".to_owned(),
                failures: 120,
                logins: 9000,
                users: 38,
                interval_secs: None,
                banned: true,
                ignored: true,
                ignoreip: "ignoreip = 203.0.113.7".to_owned(),
            },
        ],
        modes: vec![
            ModeEffect { mode: "normal", effect: effect(503, 1) },
            ModeEffect { mode: "aggressive", effect: effect(872, 5) },
        ],
        sweep: Some(sweep()),
        recommendation: Some(Recommendation {
            mode: "aggressive",
            maxretry: 8,
            findtime: 21_600,
            bantime: Some(3600),
            reason:
                "Eight tries in six hours hit no real user, and still catch nine of ten attackers."
                    .to_owned(),
            changes: vec![
                Change { option: "maxretry", from: "5".to_owned(), to: "8".to_owned() },
                Change { option: "findtime", from: "10m".to_owned(), to: "6h".to_owned() },
            ],
            snippet: "[dovecot]\nmode     = aggressive\nmaxretry = 8\nfindtime = 6h\n".to_owned(),
            effect: effect(712, 0),
        }),
        series: Series {
            from: Some(at(0)),
            step_secs: 3600,
            zone: "Europe/Berlin".to_owned(),
            prevented: failures.iter().map(|count| count * 87 / 100).collect(),
            bans: (0..hours).map(|step| wave(step) / 90).collect(),
            logins: vec![1600; failures.len()],
            failures,
            drops: Vec::new(),
        },
        hours: (0..24)
            .map(|hour| Hour { failures: 5000 + hour * 300, bans: 40 + hour, logins: 9 })
            .collect(),
        top_sources: tops(false),
        top_networks: tops(true),
        rules: vec![
            Count { name: "auth-failed".to_owned(), count: 120_000 },
            Count { name: "no-auth-attempts".to_owned(), count: 64_000 },
        ],
        drops: None,
        notes: vec!["3 lines had no time that is understood, and count for nothing.".to_owned()],
    }
}

/// A report in which nothing ever happened.
pub(super) fn nothing() -> Report {
    Report {
        read: Read::default(),
        effect: Effect::default(),
        bans: Vec::new(),
        bans_left_out: 0,
        hits: Hits::default(),
        recognised: Vec::new(),
        modes: vec![
            ModeEffect { mode: "normal", effect: Effect::default() },
            ModeEffect { mode: "aggressive", effect: Effect::default() },
        ],
        sweep: None,
        recommendation: None,
        series: Series { zone: "UTC".to_owned(), ..Series::default() },
        hours: vec![Hour::default(); 24],
        top_sources: Vec::new(),
        top_networks: Vec::new(),
        rules: Vec::new(),
        drops: None,
        notes: Vec::new(),
        ..report()
    }
}

pub(super) fn many(bans: i64) -> Report {
    Report { bans: (0..bans).map(ban).collect(), bans_left_out: 0, ..report() }
}
