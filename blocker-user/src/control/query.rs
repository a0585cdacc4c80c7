//! The part of a request's address behind the question mark.

/// The value of `name`, decoded; `None` where there is none, or it is not text.
pub(super) fn value(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| decode(value)).flatten()
    })
}

/// `text` for a query.
#[must_use]
pub fn encode(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:/-".contains(&byte);
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            byte if is_plain(byte) => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
                decoded.push(u8::try_from(value).ok()?);
            }
            byte => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::{encode, value};

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in ["192.0.2.7", "2001:db8::/32", "a b&c=%ü\0", ""] {
            let query = format!("x=1&ip={}&y", encode(text));
            assert_eq!(value(&query, "ip").as_deref(), Some(text));
        }
        for query in ["", "ip", "ip=%", "ip=%zz", "ip=%ff", "pi=1"] {
            assert_eq!(value(query, "ip"), None, "{query}");
        }
    }
}
