//! How far a log has been read, in a form that outlives the process.
//!
//! A position stands behind the last whole line that was handed over, never inside one. It is
//! only as good as what was judged up to there: the store keeps both in one transaction.

use flate2::Crc;
use serde::{Deserialize, Serialize};

/// What a source goes on from after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// The files of a log that were being read, the oldest first. The last one is the newest
    /// that was known: whatever is newer has not been read at all.
    Files(Vec<FilePosition>),
    /// The journal's own: of the last entry that was handed over.
    Cursor(String),
}

/// How far one file has been read, and how to know it again under another name, as a copy or
/// packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    pub device: u64,
    pub inode: u64,
    /// Of the first byte that is still to be read; of the text where the file is packed.
    pub offset: u64,
    /// The first bytes of what was read.
    pub head: Fingerprint,
    /// The last bytes of what was read.
    pub before: Fingerprint,
}

/// Tells bytes from others, not from ones made to deceive: what a log begins with is Dovecot's,
/// and two logs that somebody makes alike are alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub len: u32,
    pub crc: u32,
}

impl Fingerprint {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(bytes);
        Self { len: u32::try_from(bytes.len()).unwrap_or(u32::MAX), crc: crc.sum() }
    }
}

#[cfg(test)]
mod tests {
    use super::{FilePosition, Fingerprint, Position};

    #[test]
    fn is_read_back_from_what_is_stored() {
        let (head, before) = (Fingerprint::of(b"Nov 25"), Fingerprint::of(b"end\n"));
        let file = FilePosition { device: 2, inode: 7, offset: 512, head, before };
        for position in [Position::Files(vec![file]), Position::Cursor("s=1;i=2".to_owned())] {
            let text = serde_json::to_string(&position).unwrap();
            assert_eq!(serde_json::from_str::<Position>(&text).unwrap(), position);
        }
        assert_ne!(Fingerprint::of(b"a"), Fingerprint::of(b"b"));
    }
}
