//! Addresses and networks as an admin writes them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Invalid;

/// One entry of `ignoreip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ignored {
    Net(IpNet),
    /// To be looked up. The names of users' hosts change their addresses.
    Name(String),
}

impl std::fmt::Display for Ignored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Net(net) => crate::daemon::show(net).fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// `ignoreip`: addresses, networks and host names, separated by blanks or commas.
pub fn parse_ignore_list(text: &str) -> Result<Vec<Ignored>, Invalid> {
    let items = text.split([',', ' ', '\t', '\n']).filter(|item| !item.is_empty());
    let parse = |item: &str| match parse_network(item) {
        Ok(net) => Ok(Ignored::Net(net)),
        Err(_) if is_host_name(item) => Ok(Ignored::Name(item.to_ascii_lowercase())),
        Err(Invalid { what, .. }) => {
            Err(Invalid::of(item, format!("{what}, nor a host name (mail.example.org)")))
        }
    };
    items.map(parse).collect()
}

/// A top level of digits makes it an address, and a wrong one.
fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        (1..=63).contains(&label.len()) && label.chars().all(plain) && !label.starts_with('-')
    };
    let top = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.split('.').all(is_label)
        && !top.bytes().all(|digit| digit.is_ascii_digit())
}

/// What `ban` and `unban` take: one address, which stands for what the jail would ban in its
/// place (`IpAddr`), or a network, which stands for itself.
pub fn parse_subject(text: &str) -> Result<Result<IpAddr, IpNet>, Invalid> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(Ok(ip.to_canonical())),
        Err(_) => parse_network(text).map(Err),
    }
}

fn parse_network(text: &str) -> Result<IpNet, Invalid> {
    let network = match text.parse::<IpAddr>() {
        Ok(ip) => Ok(IpNet::from(ip.to_canonical())),
        Err(_) => text.parse::<IpNet>(),
    };
    // fail2ban's own default is written 127.0.0.1/8: host bits are dropped, not refused.
    network.map(|net| canonical(net.trunc())).map_err(|_| {
        Invalid::new(format!(
            "{text:?} is neither an address (192.0.2.7) nor a network (192.0.2.0/24, 2001:db8::/32)"
        ))
    })
}

/// IPv4 in IPv6 becomes IPv4, as it does in every address that is read from a log.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let mapped = match network {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(MAPPED_BITS)),
        IpNet::V4(_) => None,
    };
    mapped.and_then(|(addr, bits)| IpNet::new(addr.into(), bits).ok()).unwrap_or(network)
}

#[cfg(test)]
mod tests {
    use super::{Ignored, parse_ignore_list, parse_subject};

    #[test]
    fn reads_fail2bans_own_default() {
        let list = parse_ignore_list("127.0.0.1/8 ::1, 192.0.2.7\n2001:db8::/32").unwrap();
        let text: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["127.0.0.0/8", "::1", "192.0.2.7", "2001:db8::/32"]);
        assert!(parse_ignore_list("").unwrap().is_empty());
    }

    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        let list = parse_ignore_list("::ffff:192.0.2.0/120 ::ffff:198.51.100.7 ::/0").unwrap();
        let text: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["192.0.2.0/24", "198.51.100.7", "::/0"]);
    }

    #[test]
    fn names_what_it_cannot_read() {
        for wrong in
            ["300.1.1.1", "192.0.2.0/33", "a..b", "mail.example/24", "-a.b", "é.de", "1.2.3"]
        {
            let error = parse_ignore_list(&format!("192.0.2.7 {wrong}")).unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
        assert!(parse_subject("192.0.2.0/33").is_err());
    }

    #[test]
    fn a_host_name_is_kept_to_be_looked_up() {
        let names = ["mail.example.org", "localhost", "office_1.example."];
        let list = parse_ignore_list(&names.join(" ")).unwrap();
        assert_eq!(list, names.map(|name| Ignored::Name(name.to_owned())));
    }

    #[test]
    fn tells_an_address_from_a_network() {
        let mapped = "::ffff:192.0.2.7";
        assert_eq!(parse_subject(mapped).unwrap(), Ok("192.0.2.7".parse().unwrap()));
        assert_eq!(parse_subject("192.0.2.7/24").unwrap(), Err("192.0.2.0/24".parse().unwrap()));
    }
}
