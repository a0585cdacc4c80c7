//! Ports as jails list them: numbers, ranges `first:last`, and the names of mail services.

use blocker_common::abi::MAX_PORT_RANGES;

use super::Invalid;
use crate::firewall::PortRange;

/// Guarded ports, never empty and never more than the kernel's table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortList(Vec<PortRange>);

impl std::fmt::Display for PortList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, &PortRange { first, last }) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}:{last}")?,
            }
        }
        Ok(())
    }
}

impl PortList {
    #[must_use]
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }
}

/// The ports of SMTP, POP3, IMAP, submission and ManageSieve, with and without TLS.
impl Default for PortList {
    fn default() -> Self {
        const MAIL: [u16; 8] = [25, 110, 143, 465, 587, 993, 995, 4190];
        Self(MAIL.map(|port| PortRange { first: port, last: port }).to_vec())
    }
}

/// Service names that fail2ban's jails use for mail, from /etc/services.
const NAMES: [(&str, u16); 12] = [
    ("smtp", 25),
    ("pop3", 110),
    ("imap", 143),
    ("imap2", 143),
    ("ssmtp", 465),
    ("smtps", 465),
    ("submissions", 465),
    ("submission", 587),
    ("imaps", 993),
    ("pop3s", 995),
    ("sieve", 4190),
    ("managesieve", 4190),
];

/// Numbers, `first:last` and names, separated by commas or blanks.
pub fn parse_ports(text: &str) -> Result<PortList, Invalid> {
    let items = text.split([',', ' ', '\t', '\n']).filter(|item| !item.is_empty());
    let ranges: Vec<PortRange> = items.map(parse_range).collect::<Result<_, _>>()?;
    if ranges.is_empty() {
        return Err(Invalid::new("no port is named; write for example 143,993,4190"));
    }
    if ranges.len() > MAX_PORT_RANGES {
        return Err(Invalid::new(format!(
            "{} ports and ranges are more than the {MAX_PORT_RANGES} that fit; join neighbours \
             into ranges (993:995)",
            ranges.len()
        )));
    }
    Ok(PortList(ranges))
}

fn parse_range(item: &str) -> Result<PortRange, Invalid> {
    let (first, last) = match item.split_once(':') {
        // fail2ban's word for all ports is 0:65535.
        Some(("0", last)) => (1, parse_port(last)?),
        Some((first, last)) => (parse_port(first)?, parse_port(last)?),
        None => {
            let port = parse_port(item)?;
            (port, port)
        }
    };
    if first > last {
        return Err(Invalid::of(item, format!("the range {item} ends before it begins")));
    }
    Ok(PortRange { first, last })
}

fn parse_port(text: &str) -> Result<u16, Invalid> {
    if let Some(&(_, port)) = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Ok(port);
    }
    match text.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => {
            let what = format!(
                "{text:?} is not a port; write a number from 1 to 65535, a range (993:995), or a \
                 mail service (imap, imaps, pop3, pop3s, smtp, submission, submissions, sieve)"
            );
            Err(Invalid::of(text, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PortList, parse_ports};

    fn pairs(text: &str) -> Vec<(u16, u16)> {
        parse_ports(text).unwrap().ranges().iter().map(|range| (range.first, range.last)).collect()
    }

    #[test]
    fn reads_numbers_ranges_and_names() {
        assert_eq!(pairs("4190, imap 993:995"), [(4190, 4190), (143, 143), (993, 995)]);
        assert_eq!(pairs("0:65535"), [(1, 65535)]);
        let all = "25,110,143,465,587,993,995,4190";
        assert_eq!(parse_ports(all).unwrap(), PortList::default());
    }

    #[test]
    fn refuses_what_is_not_a_port() {
        for text in ["", ",", "0", "65536", "-1", "http", "995:993", "1:2:3", "25;143"] {
            assert!(parse_ports(text).is_err(), "{text}");
        }
        let many: Vec<String> = (1..=33).map(|port| port.to_string()).collect();
        assert!(parse_ports(&many.join(",")).is_err());
    }
}
