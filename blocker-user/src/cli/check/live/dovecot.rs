//! Dovecot's side: what it logs and where, where it listens, and who stands in front of it.

mod conf;
mod listening;

use std::{fs, process::Command, time::Duration};

use super::item::Item;
use crate::{config::parse_ports, source::ask};
use conf::Conf;

const DOVECONF: &str = "doveconf";
const LIMIT: Duration = Duration::from_secs(5);
/// All of a configuration comes to some 50 KB.
const MOST: usize = 4 << 20;

/// `guarded` as `port` takes it; `logs` are the names of those that are read.
pub(super) fn look(guarded: &str, logs: &[String]) -> Vec<Item> {
    const CHECK: &str = "dovecot";
    let answer = ask(&mut Command::new(DOVECONF), LIMIT, MOST);
    let conf = match answer {
        Ok(text) => Conf::read(&String::from_utf8_lossy(&text)),
        Err(error) => {
            return vec![Item::unknown(
                CHECK,
                format!("its configuration: {DOVECONF} {error}"),
                "ask as root, on the host that Dovecot runs on",
            )];
        }
    };
    let mut items = vec![logs_to(&conf, logs), elements(&conf), verbose(&conf)];
    items.extend(proxies(&conf));
    items.push(ports(&conf.login_ports(), &listening::ports(), guarded));
    items
}

/// Where failures of clients go, which are logged at level Info.
fn logs_to(conf: &Conf, logs: &[String]) -> Item {
    const CHECK: &str = "log_path";
    let info = conf.value("info_log_path").filter(|path| !path.is_empty());
    let (option, place) = match info {
        Some(place) => ("info_log_path", place),
        None => ("log_path", conf.value("log_path").unwrap_or("syslog")),
    };
    // Under another name, through a link.
    let resolved = |path: &str| fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let is_read = || logs.iter().any(|log| log == place || resolved(log) == resolved(place));
    match place {
        "syslog" => Item::ok(CHECK, format!("Dovecot logs to syslog; {} is read", logs.join(", "))),
        place if place.starts_with("/dev/") || is_read() => {
            Item::ok(CHECK, format!("Dovecot logs to {place}; {} is read", logs.join(", ")))
        }
        place => Item::warning(
            CHECK,
            format!(
                "Dovecot logs to {place}, by {option}, and doveblock reads {}",
                logs.join(", ")
            ),
            "where these are not the same, name Dovecot's with logpath or --log",
        ),
    }
}

fn elements(conf: &Conf) -> Item {
    const CHECK: &str = "log format";
    // All of it is the default in a version that has the option under another name.
    let Some(elements) = conf.value("login_log_format_elements") else {
        return Item::ok(CHECK, "login_log_format_elements is the default");
    };
    match elements.contains("rip=") {
        true => Item::ok(CHECK, "login_log_format_elements has the client's address (rip=)"),
        false => Item::fault(
            CHECK,
            "login_log_format_elements does not have the client's address: there is nobody to ban",
            "put rip=%r into it (rip=%{remote_ip} in Dovecot 2.4), as in its default",
        ),
    }
}

fn verbose(conf: &Conf) -> Item {
    const CHECK: &str = "auth_verbose";
    match conf.value("auth_verbose") {
        Some("yes") => Item::ok(CHECK, "yes: a wrong password is logged at once"),
        _ => Item::ok(
            CHECK,
            "no: wrong passwords are logged when their connection ends, up to three minutes later; \
             with yes at once",
        ),
    }
}

/// Who may tell Dovecot another address than the one that its packets come from.
fn proxies(conf: &Conf) -> Option<Item> {
    const CHECK: &str = "proxies";
    let trusted: Vec<String> = ["login_trusted_networks", "haproxy_trusted_networks"]
        .into_iter()
        .filter_map(|name| {
            let networks = conf.value(name).filter(|networks| !networks.is_empty())?;
            Some(format!("{name} = {networks}"))
        })
        .collect();
    (!trusted.is_empty()).then(|| {
        Item::warning(
            CHECK,
            format!(
                "clients come by way of a proxy ({}): their packets carry its address, so that a ban \
                 of theirs stops none, and where it does not forward theirs, it would be banned \
                 itself",
                trusted.join(", ")
            ),
            "put the proxy into ignoreip, and run doveblock where the clients' packets arrive: on \
             the proxy",
        )
    })
}

/// `by_conf` are the ports of Dovecot's login services, `open` those that somebody listens on.
fn ports(by_conf: &[u16], open: &[u16], guarded: &str) -> Item {
    const CHECK: &str = "ports";
    let Ok(ranges) = parse_ports(guarded) else {
        return Item::unknown(CHECK, format!("port = {guarded}"), "`doveblock check`");
    };
    let is_guarded =
        |port: &u16| ranges.ranges().iter().any(|it| (it.first..=it.last).contains(port));
    let served: Vec<u16> = by_conf.iter().copied().filter(|port| open.contains(port)).collect();
    let named = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let left: Vec<u16> = served.iter().copied().filter(|port| !is_guarded(port)).collect();
    if !left.is_empty() {
        return Item::fault(
            CHECK,
            format!(
                "Dovecot listens on {}, which is not guarded: the banned still get there",
                named(&left)
            ),
            format!("port = {guarded},{}", named(&left).replace(' ', "")),
        );
    }
    if served.is_empty() {
        return Item::warning(
            CHECK,
            format!(
                "nobody listens on the ports of Dovecot's configuration ({}) in this network \
                 namespace",
                named(by_conf)
            ),
            "start Dovecot; where it runs in a container, see docs/interfaces.md",
        );
    }
    Item::ok(CHECK, format!("Dovecot listens on {}, all of them guarded", named(&served)))
}

#[cfg(test)]
mod tests {
    use super::{super::item::Verdict, Conf, elements, logs_to, ports, proxies, verbose};

    const GUARDED: &str = "143,993:995,4190";

    #[test]
    fn a_port_that_dovecot_serves_and_nobody_guards_is_a_fault() {
        assert_eq!(ports(&[143, 993], &[22, 143, 993], GUARDED).verdict, Verdict::Ok);
        let item = ports(&[143, 1143], &[143, 1143], GUARDED);
        assert_eq!(item.verdict, Verdict::Fault);
        assert_eq!(item.todo.as_deref(), Some("port = 143,993:995,4190,1143"));
        // It is configured, and off.
        assert_eq!(ports(&[143, 1143], &[143], GUARDED).verdict, Verdict::Ok);
        assert_eq!(ports(&[143], &[22], GUARDED).verdict, Verdict::Warning);
    }

    #[test]
    fn a_log_without_addresses_bans_nobody() {
        let of = |text: &str| elements(&Conf::read(text)).verdict;
        assert_eq!(of("login_log_format_elements = user=<%u> rip=%r\n"), Verdict::Ok);
        assert_eq!(of("login_log_format_elements = user=<%u>\n"), Verdict::Fault);
        assert_eq!(of(""), Verdict::Ok);
    }

    #[test]
    fn dovecots_log_is_the_one_that_is_read() {
        let logs = ["/var/log/mail.log".to_owned()];
        let of = |text: &str| logs_to(&Conf::read(text), &logs).verdict;
        assert_eq!(of("log_path = syslog\ninfo_log_path = \n"), Verdict::Ok);
        assert_eq!(of("log_path = /var/log/mail.log\n"), Verdict::Ok);
        assert_eq!(of("log_path = /var/log/dovecot.log\n"), Verdict::Warning);
        assert_eq!(of("log_path = syslog\ninfo_log_path = /srv/info.log\n"), Verdict::Warning);
    }

    #[test]
    fn a_proxy_in_front_is_told_and_quiet_passwords_are_no_fault() {
        let conf = Conf::read("login_trusted_networks = 192.0.2.9\nauth_verbose = no\n");
        let item = proxies(&conf).unwrap();
        assert!(item.verdict == Verdict::Warning && item.what.contains("192.0.2.9"), "{item:?}");
        assert_eq!(proxies(&Conf::read("login_trusted_networks = \n")), None);
        assert_eq!(verbose(&conf).verdict, Verdict::Ok);
    }
}
