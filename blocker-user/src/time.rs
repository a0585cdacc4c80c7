//! Points in time as the log states them. They are arguments everywhere in `dovecot` and
//! `jail`: nothing there reads a clock, so a replayed log is judged like a live one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time in microseconds since 1970, as a log line (or, where it has none, the
/// clock at reading) states it. Not comparable with the kernel's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogTime(i64);

impl LogTime {
    pub const EPOCH: Self = Self(0);

    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The first whole second that is not earlier.
    #[must_use]
    pub const fn to_next_second(self) -> Self {
        match self.0.rem_euclid(1_000_000) {
            0 => self,
            past => Self(self.0.saturating_add(1_000_000 - past)),
        }
    }

    /// This much later; the end of time where that is out of range.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    /// This much earlier; the beginning of time where that is out of range.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros(span)))
    }

    /// Time that passed since `earlier`, zero where `earlier` is in fact later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

impl From<jiff::Timestamp> for LogTime {
    fn from(at: jiff::Timestamp) -> Self {
        Self(at.as_microsecond())
    }
}

/// RFC 3339 in UTC, which is how every output of doveblock states a time.
impl std::fmt::Display for LogTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => at.fmt(f),
            Err(_) => write!(f, "{} µs since 1970", self.0),
        }
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::LogTime;
    use std::time::Duration;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let end = LogTime::from_micros(i64::MAX);
        assert_eq!(end.after(Duration::from_secs(1)), end);
        assert_eq!(LogTime::from_secs(5).since(LogTime::from_secs(9)), Duration::ZERO);
        assert_eq!(LogTime::from_secs(9).since(LogTime::from_secs(5)), Duration::from_secs(4));
    }

    #[test]
    fn the_next_second_is_never_earlier() {
        for (micros, second) in [(0, 0), (1, 1), (1_000_000, 1), (1_300_000, 2), (-1, 0)] {
            assert_eq!(LogTime::from_micros(micros).to_next_second(), LogTime::from_secs(second));
        }
    }

    #[test]
    fn prints_as_rfc_3339() {
        assert_eq!(LogTime::from_secs(1_795_539_600).to_string(), "2026-11-24T17:00:00Z");
        assert_eq!(LogTime::from_micros(-1).as_secs(), -1);
    }
}
