//! Addresses and networks as an admin writes them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Invalid;

/// `ignoreip`: addresses and networks, separated by blanks or commas.
pub fn parse_ignore_list(text: &str) -> Result<Vec<IpNet>, Invalid> {
    let items = text.split([',', ' ', '\t', '\n']).filter(|item| !item.is_empty());
    items.map(parse_network).collect()
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
    network.map(|net| net.trunc()).map_err(|_| {
        Invalid::new(format!(
            "{text:?} is neither an address (192.0.2.7) nor a network (192.0.2.0/24, 2001:db8::/32)"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::{parse_ignore_list, parse_subject};

    #[test]
    fn reads_fail2bans_own_default() {
        let list = parse_ignore_list("127.0.0.1/8 ::1, 192.0.2.7\n2001:db8::/32").unwrap();
        let text: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["127.0.0.0/8", "::1/128", "192.0.2.7/32", "2001:db8::/32"]);
        assert!(parse_ignore_list("").unwrap().is_empty());
    }

    #[test]
    fn names_what_it_cannot_read() {
        let error = parse_ignore_list("192.0.2.7 mail.example").unwrap_err();
        assert!(error.to_string().contains("mail.example"), "{error}");
        assert!(parse_subject("192.0.2.0/33").is_err());
    }

    #[test]
    fn tells_an_address_from_a_network() {
        let mapped = "::ffff:192.0.2.7";
        assert_eq!(parse_subject(mapped).unwrap(), Ok("192.0.2.7".parse().unwrap()));
        assert_eq!(parse_subject("192.0.2.7/24").unwrap(), Err("192.0.2.0/24".parse().unwrap()));
    }
}
