//! What would become of one address, step by step: what the log says of it, whether it is spared,
//! what is forgiven, what it lacks to a ban, what the kernel makes of its packets.

use std::net::IpAddr;

use super::{item::Item, lines::Tally};
use crate::{
    cli::VerbError,
    control::{ClientError, api::Explained},
};

const CHECK: &str = "address";

pub(super) fn parse(text: &str) -> Result<IpAddr, VerbError> {
    text.trim().parse().map_err(|_| {
        VerbError::Usage(format!(
            "{text:?} is not an address; name one, as in `doveblock check --live 192.0.2.7`"
        ))
    })
}

pub(super) fn in_the_log(ip: IpAddr, tally: &Tally) -> Item {
    let of = &tally.of_asked;
    let lines = tally.lines;
    if of.named == 0 {
        return Item::warning(
            CHECK,
            format!("none of the last {lines} lines names {ip}"),
            "if it did connect, this is not the log of that: compare with the lines of Dovecot's",
        );
    }
    Item::ok(
        CHECK,
        format!(
            "{} of the last {lines} lines name {ip}: {} failed logins, {} silent probes (which count \
             in the aggressive mode only), {} logins",
            of.named, of.failures, of.probes, of.logins
        ),
    )
}

/// `is_allowed` is what the kernel says.
pub(super) fn walk(
    ip: IpAddr,
    explained: &Result<Explained, ClientError>,
    is_allowed: Option<bool>,
) -> Vec<Item> {
    let explained = match explained {
        Ok(explained) => explained,
        Err(error) => {
            return vec![Item::unknown(CHECK, error.to_string(), "ask again, or as root")];
        }
    };
    let mut items = vec![spared(explained, is_allowed)];
    if let Some(ban) = &explained.ban {
        let end = ban
            .expires_at
            .as_ref()
            .map_or_else(|| "without end".to_owned(), |end| format!("until {end}"));
        items.push(Item::ok(
            CHECK,
            format!(
                "{ip} is banned {end}; {} of its packets to guarded ports were dropped",
                ban.dropped_packets
            ),
        ));
        return items;
    }
    items.extend(
        explained
            .covered_by
            .as_ref()
            .map(|network| Item::ok(CHECK, format!("{ip} is inside {network}, which is banned"))),
    );
    items.extend(explained.login.as_ref().map(|login| {
        Item::warning(
            CHECK,
            format!("somebody logged in from {ip} at {}: its silent probes are forgiven", login.at),
            "ignore_authenticated says for how long (docs/tuning.md); wrong passwords count",
        )
    }));
    let (count, maxretry) = match &explained.failures {
        Some(failures) => (failures.count, Some(failures.maxretry)),
        None => (0, None),
    };
    let of = maxretry.map(|most| format!(" of {most}")).unwrap_or_default();
    items.push(Item::ok(
        CHECK,
        format!("{ip} has {count}{of} failures within findtime ({} s)", explained.findtime_secs),
    ));
    items
}

fn spared(explained: &Explained, is_allowed: Option<bool>) -> Item {
    let ip = &explained.ip;
    match (&explained.never_banned, is_allowed) {
        (Some(why), _) => Item::fault(
            CHECK,
            format!("{ip} is never banned: {why}"),
            "take it out of ignoreip, if it is to be banned, and `doveblock reload`",
        ),
        (None, Some(true)) => Item::fault(
            CHECK,
            format!("{ip} is on the allow list in the kernel: its packets pass, banned or not"),
            "`systemctl restart doveblock` writes that list anew",
        ),
        (None, Some(false)) => {
            Item::ok(CHECK, format!("{ip} is not spared: neither by ignoreip nor in the kernel"))
        }
        (None, None) => Item::ok(CHECK, format!("{ip} is not spared by ignoreip")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{
        super::{item::Verdict, lines::Tally},
        in_the_log, parse, walk,
    };
    use crate::{
        control::api::{BanInForce, Explained, FailuresNow, LastLogin},
        time::LogTime,
    };

    const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

    fn explained() -> Explained {
        Explained {
            ip: IP.to_string(),
            subject: IP.to_string(),
            ban: None,
            covered_by: None,
            earlier_bans: 0,
            last_ended: None,
            failures: None,
            findtime_secs: 600,
            login: None,
            never_banned: None,
            why_not: Vec::new(),
            lines: Vec::new(),
        }
    }

    fn verdicts(explained: Explained, is_allowed: Option<bool>) -> Vec<Verdict> {
        walk(IP, &Ok(explained), is_allowed).into_iter().map(|item| item.verdict).collect()
    }

    #[test]
    fn whoever_is_spared_is_told_by_whom() {
        assert_eq!(verdicts(explained(), None), [Verdict::Ok, Verdict::Ok]);
        assert_eq!(verdicts(explained(), Some(true))[0], Verdict::Fault);
        let never =
            Explained { never_banned: Some("ignoreip has 192.0.2.0/24".to_owned()), ..explained() };
        assert_eq!(verdicts(never, Some(true))[0], Verdict::Fault);
    }

    #[test]
    fn what_is_lacking_to_a_ban_is_told() {
        let failures = Some(FailuresNow {
            count: 3,
            maxretry: 5,
            first: "2026-11-25T06:25:01Z".to_owned(),
            last: "2026-11-25T06:26:01Z".to_owned(),
        });
        let login =
            Some(LastLogin { at: "2026-11-25T06:25:01Z".to_owned(), user: None, line: None });
        let items = walk(IP, &Ok(Explained { failures, login, ..explained() }), Some(false));
        assert!(items[1].what.contains("forgiven"), "{items:?}");
        assert!(items[2].what.contains("3 of 5 failures"), "{items:?}");
    }

    #[test]
    fn a_ban_in_force_is_all_there_is_to_say() {
        let ban = BanInForce {
            banned_at: "2026-11-25T06:25:01Z".to_owned(),
            expires_at: None,
            attempts: 5,
            cause: "auth-failed".to_owned(),
            dropped_packets: 3,
            dropped_bytes: 180,
            last_seen: None,
        };
        let items = walk(IP, &Ok(Explained { ban: Some(ban), ..explained() }), Some(false));
        assert!(items.len() == 2 && items[1].what.contains("3 of its packets"), "{items:?}");
    }

    #[test]
    fn an_address_that_no_line_names_is_of_another_log() {
        let mut tally = Tally::new(LogTime::EPOCH, Some(IP));
        assert_eq!(in_the_log(IP, &tally).verdict, Verdict::Warning);
        tally.of_asked.named = 1;
        assert_eq!(in_the_log(IP, &tally).verdict, Verdict::Ok);
        assert!(parse("mail.example").is_err() && parse(" 192.0.2.7").is_ok());
    }
}
