//! What a pattern sees of a line: the line without its timestamp, and one newline at its end.
//!
//! So fail2ban has it: the blank behind the timestamp stays, a priority before it too, and
//! the newline is what `\s` may take and `$` stops at. Bytes that are not UTF-8 become U+FFFD
//! each, as they do there, rather than being matched as bytes: `\w`, `(?i)` and `é` keep
//! Python's meaning, and no hostile byte is something that `.` stumbles over.

/// A line as its reader cut it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'l> {
    /// What stands before the timestamp: mostly nothing.
    pub before: &'l [u8],
    /// What follows it, blank included. The whole line where it has no timestamp.
    pub after: &'l [u8],
    /// How long the end of `after` is that fail2ban's own filter for Dovecot would let its
    /// patterns see: what comes behind host, program and service. `None` where that filter's
    /// `prefregex` would find nothing of Dovecot's.
    pub content: Option<usize>,
}

impl<'l> Message<'l> {
    /// All of `text`, without a prefix to take off.
    #[must_use]
    pub fn new(text: &'l [u8]) -> Self {
        Self { after: text, ..Self::default() }
    }
}

/// The text of one line, and where in it a pattern's `^` may stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Haystack {
    whole: String,
    content: Option<usize>,
}

impl Haystack {
    pub(super) fn fill(&mut self, message: Message<'_>) {
        let Message { before, after, content } = message;
        self.whole.clear();
        let (head, tail) = content
            .and_then(|len| after.split_at_checked(after.len().checked_sub(len)?))
            .unwrap_or((after, b""));
        self.push(before);
        self.push(head);
        self.content = content.map(|_| self.whole.len());
        self.push(tail);
        self.whole.push('\n');
    }

    /// The whole text first, then the content, where there is one that differs.
    pub(super) fn views(&self) -> impl Iterator<Item = &[u8]> {
        let content = self.content.filter(|at| *at > 0).and_then(|at| self.whole.get(at..));
        std::iter::once(self.whole.as_str()).chain(content).map(str::as_bytes)
    }

    /// A line has no newline in it; were there one, `$` would stop at it.
    fn push(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            self.whole.extend(chunk.valid().chars().map(|c| if c == '\n' { ' ' } else { c }));
            if !chunk.invalid().is_empty() {
                self.whole.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }
}
