//! Where metrics are served, besides the control socket.

use std::net::SocketAddr;

use super::Invalid;

/// A loopback address and a port. Metrics name interfaces and tell how busy a server is, and
/// there is no login: others get them through something that has one.
pub fn parse_listen(text: &str) -> Result<SocketAddr, Invalid> {
    let address: SocketAddr = text.trim().parse().map_err(|_| {
        Invalid::new(format!(
            "{text:?} is no address with a port, like 127.0.0.1:9418 or [::1]:9418"
        ))
    })?;
    if address.ip().to_canonical().is_loopback() {
        return Ok(address);
    }
    Err(Invalid::new(format!(
        "{address} can be reached from other hosts, and metrics have no login; name a loopback \
         address, like 127.0.0.1:9418, and let a reverse proxy or SSH guard the way to it"
    )))
}

#[cfg(test)]
mod tests {
    use super::parse_listen;

    #[test]
    fn only_loopback_addresses_are_taken() {
        for text in ["127.0.0.1:9418", "127.9.9.9:1", "[::1]:9418", " [::ffff:127.0.0.1]:1"] {
            assert!(parse_listen(text).is_ok(), "{text}");
        }
        for text in ["0.0.0.0:9418", "[::]:9418", "192.0.2.1:9418", "[fe80::1]:1"] {
            let error = parse_listen(text).unwrap_err().to_string();
            assert!(error.contains("reached") && error.contains("127.0.0.1:9418"), "{error}");
        }
        for text in ["", "9418", "localhost:9418", "127.0.0.1"] {
            let error = parse_listen(text).unwrap_err().to_string();
            assert!(error.contains("no address"), "{error}");
        }
    }
}
