//! The address inside a session id.
//!
//! Dovecot makes the id of a login session from the time (6 bytes), the client's port (2)
//! and its address (4 or 16), and writes it in base64: src/login-common/client-common.c of
//! 2.3, client_get_session_id(). A client cannot choose it.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{SessionCheck, event::Session, scan::split_at_last};

/// Bytes of the longest id: time, port, and an IPv6 address.
const LONGEST: usize = 8 + 16;

/// The `session=<…>` that ends `fields`, and the address in it; `None` where nothing of the
/// kind stands there.
pub(super) fn last(fields: &[u8]) -> Option<(Session, IpAddr)> {
    let (_, id) = split_at_last(fields, b"session=<")?;
    decode(id.strip_suffix(b">")?)
}

/// The connection an id names, if it is one of `ip`'s. `None` where it is another client's and
/// the check is strict: then the line is not believed.
pub(super) fn checked(
    id: Option<(Session, IpAddr)>,
    ip: IpAddr,
    check: SessionCheck,
) -> Option<Option<Session>> {
    match id {
        Some((session, of)) if of == ip => Some(Some(session)),
        Some(_) if check == SessionCheck::Strict => None,
        _ => Some(None),
    }
}

/// The connection and the client's address of an id as it stands between `<` and `>`.
pub(super) fn decode(id: &[u8]) -> Option<(Session, IpAddr)> {
    // The decoder wants room for whole groups of three bytes.
    let mut bytes = [0; LONGEST + 3];
    let len = STANDARD.decode_slice(id, &mut bytes).ok()?;
    let (time_and_port, address) = bytes.get(..len)?.split_first_chunk::<8>()?;
    let v4 = || <[u8; 4]>::try_from(address).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(address).map(IpAddr::from);
    let ip = v4().or_else(|_| v6()).ok()?.to_canonical();
    Some((Session(u64::from_le_bytes(*time_and_port)), ip))
}

#[cfg(test)]
pub(super) mod tests {
    use super::last;
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
            assert_eq!(last(fields.as_bytes()).map(|(_, ip)| ip), Some(ip));
        }
    }

    #[test]
    fn other_ids_have_none() {
        for fields in
            ["", "session=<>", "session=<AAAA>", "session=<%%%>", "session=<AAAAAAAAAAAAAAAA"]
        {
            assert_eq!(last(fields.as_bytes()), None, "{fields}");
        }
    }
}
