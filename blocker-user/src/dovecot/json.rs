//! Lines of `journalctl -o json`: one object a line, of which three fields matter.
//!
//! The journal writes a field as text, as an array of bytes where it is no UTF-8 (or holds
//! control characters), as an array of values where it was given more than once, and as null
//! where it is very long. This is the one format whose lines must be decoded, and so copied.

use std::borrow::Cow;

use serde::Deserialize;

/// A record that has a message.
pub(super) struct Record<'l> {
    pub(super) identifier: Cow<'l, [u8]>,
    pub(super) message: Cow<'l, [u8]>,
    /// Since 1970.
    pub(super) micros: Option<i64>,
}

#[derive(Deserialize)]
struct Fields<'l> {
    #[serde(borrow, rename = "MESSAGE")]
    message: Option<Value<'l>>,
    #[serde(borrow, rename = "SYSLOG_IDENTIFIER")]
    identifier: Option<Value<'l>>,
    #[serde(borrow, rename = "__REALTIME_TIMESTAMP")]
    realtime: Option<Value<'l>>,
    #[serde(borrow, rename = "_HOSTNAME")]
    host: Option<Value<'l>>,
    #[serde(borrow, rename = "_PID")]
    process: Option<Value<'l>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value<'l> {
    Text(#[serde(borrow)] Cow<'l, str>),
    Bytes(Vec<u8>),
    Other(serde::de::IgnoredAny),
}

impl<'l> Value<'l> {
    fn bytes(self) -> Option<Cow<'l, [u8]>> {
        match self {
            Self::Text(Cow::Borrowed(text)) => Some(Cow::Borrowed(text.as_bytes())),
            Self::Text(Cow::Owned(text)) => Some(Cow::Owned(text.into_bytes())),
            Self::Bytes(bytes) => Some(Cow::Owned(bytes)),
            Self::Other(_) => None,
        }
    }
}

/// The object on `line`: alone, behind the separator of `journalctl -o json-seq`, or behind the
/// name that `json-sse` has before it. `None` where there is none.
pub(super) fn object(line: &[u8]) -> Option<&[u8]> {
    const SEPARATOR: &[u8] = b"\x1e";
    let line = match line.first()? {
        b'd' => line.strip_prefix(b"data: ")?,
        _ => line.strip_prefix(SEPARATOR).unwrap_or(line),
    };
    line.starts_with(b"{").then_some(line)
}

/// The record on `line`; `None` for everything else that begins with a brace.
pub(super) fn record(line: &[u8]) -> Option<Record<'_>> {
    let fields: Fields<'_> = serde_json::from_slice(line).ok()?;
    let realtime = fields.realtime.and_then(Value::bytes);
    let micros = realtime.and_then(|text| str::from_utf8(&text).ok()?.parse().ok());
    Some(Record {
        identifier: fields.identifier.and_then(Value::bytes)?,
        message: fields.message.and_then(Value::bytes)?,
        micros,
    })
}

/// The record on `line` as syslog would write it, without a date: what fail2ban hands to its
/// patterns of an entry, and what they are written for.
pub(super) fn as_syslog(line: &[u8]) -> Option<Vec<u8>> {
    let fields: Fields<'_> = serde_json::from_slice(line).ok()?;
    let host = fields.host.and_then(Value::bytes).unwrap_or(Cow::Borrowed(b"localhost"));
    let identifier = fields.identifier.and_then(Value::bytes)?;
    let message = fields.message.and_then(Value::bytes)?;
    let mut text = [&host[..], b" ", &identifier].concat();
    if let Some(process) = fields.process.and_then(Value::bytes) {
        text.extend([b"[", &process[..], b"]"].concat());
    }
    text.extend_from_slice(b": ");
    text.extend_from_slice(&message);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::{as_syslog, object, record};

    fn parts(line: &str) -> Option<(String, String, Option<i64>)> {
        let record = record(line.as_bytes())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some((text(&record.identifier), text(&record.message), record.micros))
    }

    #[test]
    fn reads_text_bytes_and_the_time() {
        let expected = |message: &str| Some(("dovecot".to_owned(), message.to_owned(), Some(7)));
        let text = r#"{"_PID":"1","MESSAGE":"a\"b","SYSLOG_IDENTIFIER":"dovecot","__REALTIME_TIMESTAMP":"7"}"#;
        assert_eq!(parts(text), expected("a\"b"));
        let bytes =
            r#"{"__REALTIME_TIMESTAMP":"7","SYSLOG_IDENTIFIER":"dovecot","MESSAGE":[97,255]}"#;
        assert_eq!(parts(bytes), expected("a\u{fffd}"));
    }

    #[test]
    fn patterns_see_what_syslog_would_write() {
        let text =
            |line: &str| as_syslog(line.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        let line =
            r#"{"MESSAGE":"a: b","SYSLOG_IDENTIFIER":"dovecot","_PID":"7","_HOSTNAME":"mail"}"#;
        assert_eq!(text(line).unwrap(), "mail dovecot[7]: a: b");
        let line = r#"{"MESSAGE":[97],"SYSLOG_IDENTIFIER":"auth"}"#;
        assert_eq!(text(line).unwrap(), "localhost auth: a");
        assert_eq!(text(r#"{"MESSAGE":"a"}"#), None);
    }

    #[test]
    fn an_object_is_one_behind_what_journalctl_puts_before_it() {
        for line in ["{}", "\u{1e}{}", "data: {}"] {
            assert_eq!(object(line.as_bytes()), Some(&b"{}"[..]), "{line}");
        }
        for line in ["", "x{}", "data: ", "dovecot: x", "\u{1e}", "data:"] {
            assert_eq!(object(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_record_without_a_message_says_nothing() {
        for line in [
            "{",
            "{}",
            r#"{"SYSLOG_IDENTIFIER":"dovecot","MESSAGE":null}"#,
            r#"{"SYSLOG_IDENTIFIER":"dovecot","MESSAGE":["a","b"]}"#,
            r#"{"SYSLOG_IDENTIFIER":"dovecot","MESSAGE":[300]}"#,
            r#"{"MESSAGE":"a"}"#,
        ] {
            assert!(record(line.as_bytes()).is_none(), "{line}");
        }
    }
}
