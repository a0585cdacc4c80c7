//! The address inside a session id.
//!
//! Dovecot makes the id of a login session from the time (6 bytes), the client's port (2)
//! and its address (4 or 16), and writes it in base64: src/login-common/client-common.c of
//! 2.3, client_get_session_id(). A client cannot choose it.

use std::net::IpAddr;

use super::{SessionCheck, event::Session, scan::split_at_last};

/// Bytes of an id: time and port, and an address of either family.
const WITH_V4: usize = 8 + 4;
const WITH_V6: usize = 8 + 16;
/// What each letter of base64 stands for.
const VALUES: [u8; 256] = values();
const NO_LETTER: u8 = 0xff;

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
    let (v4, v6) = (base64::<WITH_V4>(id), base64::<WITH_V6>(id));
    let bytes: &[u8] = match (&v4, &v6) {
        (Some(bytes), _) => bytes,
        (_, Some(bytes)) => bytes,
        (None, None) => return None,
    };
    let (time_and_port, address) = bytes.split_first_chunk::<8>()?;
    let v4 = || <[u8; 4]>::try_from(address).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(address).map(IpAddr::from);
    let ip = v4().or_else(|_| v6()).ok()?.to_canonical();
    Some((Session(u64::from_le_bytes(*time_and_port)), ip))
}

/// Exactly `N` bytes, which are whole groups of three: what the general decoder does at the ends
/// of a text takes several times as long as an id.
fn base64<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (groups, []) = text.as_chunks::<4>() else { return None };
    let mut bytes = [0; N];
    let (places, _) = bytes.as_chunks_mut::<3>();
    if groups.len() != places.len() {
        return None;
    }
    let mut all = 0;
    for (place, group) in places.iter_mut().zip(groups) {
        let [a, b, c, d] = group.map(|letter| VALUES.get(usize::from(letter)).copied());
        let [a, b, c, d] = [a?, b?, c?, d?];
        all |= a | b | c | d;
        *place = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    }
    (all != NO_LETTER).then_some(bytes)
}

const fn values() -> [u8; 256] {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [NO_LETTER; 256];
    let mut value = 0_u8;
    while (value as usize) < LETTERS.len() {
        values[LETTERS[value as usize] as usize] = value;
        value += 1;
    }
    values
}

#[cfg(test)]
pub(super) mod tests {
    use super::{base64, last};
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use proptest::prelude::*;
    use std::net::IpAddr;

    proptest! {
        #[test]
        fn base64_is_what_everybody_takes_for_it(
            text in prop_oneof!["[A-Za-z0-9+/]{16}", "[A-Za-z0-9+/=%]{16}", "[ -~]{14,18}"],
            byte in any::<u8>(),
            at in 0_usize..40,
        ) {
            let mut text = text.into_bytes();
            if let Some(place) = text.get_mut(at) {
                *place = byte;
            }
            let expected = STANDARD.decode(&text).ok().filter(|bytes| bytes.len() == 12);
            prop_assert_eq!(base64::<12>(&text).map(Vec::from), expected);
        }
    }

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
