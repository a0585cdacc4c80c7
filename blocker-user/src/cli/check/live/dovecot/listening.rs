//! The TCP ports of this network namespace that somebody listens on.

use std::fs;

/// `TCP_LISTEN` of the kernel's, as `/proc` writes it.
const LISTEN: &str = "0A";

pub(super) fn ports() -> Vec<u16> {
    let tables = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
    // Without a family, the file is not there.
    let text = tables.map(|table| fs::read_to_string(table).unwrap_or_default()).concat();
    text.lines().filter_map(listener).collect()
}

/// Columns: number, local address, remote address, state, all in hex.
fn listener(line: &str) -> Option<u16> {
    let mut columns = line.split_whitespace().skip(1);
    let (_, port) = columns.next()?.rsplit_once(':')?;
    let state = columns.nth(1)?;
    (state == LISTEN).then(|| u16::from_str_radix(port, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::listener;

    #[test]
    fn only_listeners_are_found() {
        let line = |state: &str| {
            format!("   0: 00000000:105E 00000000:0000 {state} 00000000:00000000 00:00000000")
        };
        assert_eq!(listener(&line("0A")), Some(4190));
        assert_eq!(listener(&line("01")), None);
        assert_eq!(listener("  sl  local_address rem_address   st tx_queue"), None);
    }
}
