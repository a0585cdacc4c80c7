//! Which interfaces to guard when none is named: the ones packets from afar come in by.

use std::{collections::BTreeSet, fs};

use crate::cli::VerbError;

/// Interfaces of the IPv4 and IPv6 default routes.
pub(in crate::cli) fn of_default_routes() -> Result<Vec<String>, VerbError> {
    // Of this thread's network namespace; without a family, the file is not there.
    let v4 = fs::read_to_string("/proc/thread-self/net/route").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    let found: BTreeSet<&str> = v4_defaults(&v4).chain(v6_defaults(&v6)).collect();
    if found.is_empty() {
        return Err(VerbError::Usage(
            "there is no default route to tell the interface by: name it with -i".to_owned(),
        ));
    }
    Ok(found.into_iter().map(str::to_owned).collect())
}

/// Columns: interface, destination, gateway, flags, …, mask, all in hex.
fn v4_defaults(routes: &str) -> impl Iterator<Item = &str> {
    routes.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace();
        let interface = columns.next()?;
        let destination = columns.next()?;
        let mask = columns.nth(5)?;
        (destination == "00000000" && mask == "00000000").then_some(interface)
    })
}

/// Columns: destination, its length, source, its length, next hop, …, interface. The kernel
/// keeps an unreachable default of its own on `lo`.
fn v6_defaults(routes: &str) -> impl Iterator<Item = &str> {
    routes.lines().filter_map(|line| {
        let mut columns = line.split_whitespace();
        let destination = columns.next()?;
        let length = columns.next()?;
        let interface = columns.last()?;
        let is_default = destination.bytes().all(|digit| digit == b'0') && length == "00";
        (is_default && interface != "lo").then_some(interface)
    })
}

#[cfg(test)]
mod tests {
    use super::{v4_defaults, v6_defaults};

    #[test]
    fn finds_the_interfaces_of_default_routes() {
        let v4 = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                  eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n\
                  eth1 0002000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
        assert_eq!(v4_defaults(v4).collect::<Vec<_>>(), ["eth0"]);
        let zero = "0".repeat(32);
        let v6 = format!(
            "{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 1 0 00000003 eth2\n\
             fe800000000000000000000000000000 40 {zero} 00 {zero} 00000100 1 0 00000001 eth3\n\
             {zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200 lo\n"
        );
        assert_eq!(v6_defaults(&v6).collect::<Vec<_>>(), ["eth2"]);
    }
}
