//! A report that names nobody.

use ipnet::IpNet;

use super::Key;
use crate::{
    daemon::show,
    report::{Report, UserHit},
};

const IGNOREIP: &str = "ignoreip = ";

/// `report` with others in place of all addresses, users, host names and files.
#[must_use]
pub fn anonymized(mut report: Report, key: &Key) -> Report {
    report.anonymized = true;
    for (log, number) in report.read.logs.iter_mut().zip(1_u32..) {
        *log = format!("log {number}");
    }
    report.policy.ignoreip.iter_mut().for_each(|word| *word = subject(word, key));
    report.bans.iter_mut().for_each(|ban| ban.subject = subject(&ban.subject, key));
    report.hits.clients.iter_mut().for_each(|it| hit(it, key));
    report.hits.without_ignore_authenticated.iter_mut().for_each(|it| hit(it, key));
    for found in &mut report.recognised {
        found.subject = subject(&found.subject, key);
        found.ignoreip = lines(&found.ignoreip, key);
    }
    for top in report.top_sources.iter_mut().chain(&mut report.top_networks) {
        top.subject = subject(&top.subject, key);
    }
    if let Some(recommended) = &mut report.recommendation {
        recommended.snippet = lines(&recommended.snippet, key);
        for change in recommended.changes.iter_mut().filter(|it| it.option == "ignoreip") {
            (change.from, change.to) = (list(&change.from, key), list(&change.to, key));
        }
    }
    report
}

fn hit(hit: &mut UserHit, key: &Key) {
    hit.subject = subject(&hit.subject, key);
    hit.users.iter_mut().for_each(|user| *user = key.user(user));
}

/// An address, a network, or the name of a host.
fn subject(text: &str, key: &Key) -> String {
    if let Ok(ip) = text.parse() {
        return key.address(ip).to_string();
    }
    text.parse::<IpNet>().map_or_else(|_| key.host(text), |net| show(&key.network(&net)))
}

fn list(words: &str, key: &Key) -> String {
    let words: Vec<String> = words.split_whitespace().map(|word| subject(word, key)).collect();
    words.join(" ")
}

/// Lines of a configuration, of which `ignoreip` names hosts.
fn lines(text: &str, key: &Key) -> String {
    let line = |line: &str| {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        // Also in a comment that proposes one.
        match line.split_once(IGNOREIP) {
            Some((before, words)) => format!("{before}{IGNOREIP}{}{end}", list(words, key)),
            None => format!("{line}{end}"),
        }
    };
    text.split_inclusive('\n').map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{Key, lines, subject};

    #[test]
    fn of_a_configuration_only_hosts_are_replaced() {
        let key = Key::random();
        let text =
            lines("[dovecot]\nmaxretry = 5\nignoreip = 192.0.2.0/24 vpn.example.org\n", &key);
        assert!(text.starts_with("[dovecot]\nmaxretry = 5\nignoreip = "), "{text}");
        assert!(text.ends_with(&format!("/24 {}\n", key.host("vpn.example.org"))), "{text}");
        assert!(!text.contains("192.0.2.0"), "{text}");
        assert_eq!(subject("2001:db8::/64", &key).split_once('/').unwrap().1, "64");
    }
}
