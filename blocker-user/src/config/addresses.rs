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
    use super::{parse_ignore_list, parse_subject};

    #[test]
    fn reads_fail2bans_own_default() {
        let list = parse_ignore_list("127.0.0.1/8 ::1, 192.0.2.7\n2001:db8::/32").unwrap();
        let text: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["127.0.0.0/8", "::1/128", "192.0.2.7/32", "2001:db8::/32"]);
        assert!(parse_ignore_list("").unwrap().is_empty());
    }

    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        let list = parse_ignore_list("::ffff:192.0.2.0/120 ::ffff:198.51.100.7 ::/0").unwrap();
        let text: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["192.0.2.0/24", "198.51.100.7/32", "::/0"]);
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
