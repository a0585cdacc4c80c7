//! Where an entry stands in the journal, as journalctl tells it:
//! `s=be52…;i=2;b=0123…;m=f4241;t=661152ec1bc45;x=69a80f67987b5287`.

/// Longer ones are none.
const LONGEST: usize = 512;

/// The cursor of the entry on `line`. A field that a program made up cannot hold what is looked
/// for: within a value of JSON, a quote has a backslash before it.
pub(super) fn of(line: &[u8]) -> Option<&str> {
    const FIELD: &[u8] = b"\"__CURSOR\":\"";
    let start = memchr::memmem::find(line, FIELD)? + FIELD.len();
    let rest = line.get(start..)?;
    let cursor = rest.get(..memchr::memchr(b'"', rest)?)?;
    str::from_utf8(cursor).ok().filter(|cursor| is_cursor(cursor))
}

/// Whether it can be one: it becomes an argument of journalctl.
pub(super) fn is_cursor(text: &str) -> bool {
    let part = |part: &str| {
        part.split_once('=').is_some_and(|(name, value)| {
            let letters = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric());
            name.len() == 1 && !value.is_empty() && letters(name) && letters(value)
        })
    };
    text.len() <= LONGEST && text.split(';').all(part)
}

/// Whether both are of one entry. The file that it stands in, and its number there, may change.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let entry = |cursor: &str| -> Vec<String> {
        let parts = cursor.split(';').filter(|part| !part.starts_with(['s', 'i']));
        parts.map(str::to_owned).collect()
    };
    entry(one) == entry(other)
}

#[cfg(test)]
mod tests {
    use super::{is_cursor, is_same, of};

    const CURSOR: &str = "s=be52;i=2;b=0123;m=f4241;t=661152ec1bc45;x=69a80f67987b5287";

    #[test]
    fn is_found_wherever_it_stands() {
        for line in [
            format!(r#"{{"__CURSOR":"{CURSOR}","MESSAGE":"a"}}"#),
            format!(r#"{{"MESSAGE":"\"__CURSOR\":\"s=1;\"","__CURSOR":"{CURSOR}"}}"#),
        ] {
            assert_eq!(of(line.as_bytes()), Some(CURSOR), "{line}");
        }
    }

    #[test]
    fn is_not_found_where_there_is_none() {
        for line in ["", "-- No entries --", r#"{"MESSAGE":"a"}"#, r#"{"__CURSOR":"s=1"#] {
            assert_eq!(of(line.as_bytes()), None, "{line}");
        }
        assert_eq!(of(r#"{"MESSAGE":"\"__CURSOR\":\"s=1\""}"#.as_bytes()), None);
        assert_eq!(of(br#"{"__CURSOR":"; rm -rf /"}"#), None);
    }

    #[test]
    fn what_is_none_is_known() {
        assert!(is_cursor(CURSOR));
        for text in ["", "s", "s=", "s=1;", "=1", "s=1 --rotate", "garbage", &"s=1;".repeat(999)] {
            assert!(!is_cursor(text), "{text}");
        }
    }

    #[test]
    fn an_entry_is_the_same_in_another_file() {
        assert!(is_same(CURSOR, &CURSOR.replace("s=be52;i=2", "s=77;i=9")));
        for change in ["b=0124", "m=1", "t=1", "x=1"] {
            let name = &change[..2];
            let other: Vec<&str> = CURSOR
                .split(';')
                .map(|part| if part.starts_with(name) { change } else { part })
                .collect();
            assert!(!is_same(CURSOR, &other.join(";")), "{change}");
        }
    }
}
