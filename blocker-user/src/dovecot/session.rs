//! The address inside a session id.
//!
//! Dovecot makes the id of a login session from the time (6 bytes), the client's port (2)
//! and its address (4 or 16), and writes it in base64: src/login-common/client-common.c of
//! 2.3, client_get_session_id(). A client cannot choose it.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::scan::split_at_last;

const TIME_AND_PORT: usize = 8;

/// The address in the `session=<…>` that ends `fields`; `None` where nothing of the kind
/// stands there.
pub(super) fn last_address(fields: &[u8]) -> Option<IpAddr> {
    let (_, id) = split_at_last(fields, b"session=<")?;
    address(id.strip_suffix(b">")?)
}

fn address(id: &[u8]) -> Option<IpAddr> {
    let bytes = STANDARD.decode(id).ok()?;
    let address = bytes.get(TIME_AND_PORT..)?;
    let v4 = || <[u8; 4]>::try_from(address).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(address).map(IpAddr::from);
    v4().or_else(|_| v6()).ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
pub(super) mod tests {
    use super::last_address;
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use std::net::IpAddr;

    /// The id that Dovecot would give a session of `ip`.
    pub(in crate::dovecot) fn id_of(ip: IpAddr) -> String {
        let mut bytes = vec![1, 2, 3, 4, 5, 6, 7, 8];
        match ip {
            IpAddr::V4(v4) => bytes.extend(v4.octets()),
            IpAddr::V6(v6) => bytes.extend(v6.octets()),
        }
        STANDARD.encode(bytes)
    }

    #[test]
    fn reads_back_the_address() {
        for text in ["192.0.2.7", "2001:db8::7"] {
            let ip: IpAddr = text.parse().unwrap();
            let fields = format!("rip={ip}, session=<{}>", id_of(ip));
            assert_eq!(last_address(fields.as_bytes()), Some(ip));
        }
    }

    #[test]
    fn other_ids_have_none() {
        for fields in
            ["", "session=<>", "session=<AAAA>", "session=<%%%>", "session=<AAAAAAAAAAAAAAAA"]
        {
            assert_eq!(last_address(fields.as_bytes()), None, "{fields}");
        }
    }
}
