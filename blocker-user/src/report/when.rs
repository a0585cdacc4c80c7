//! A time, as reports state it.

use serde::{Serialize, Serializer};

use crate::time::LogTime;

/// RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct When(pub LogTime);

impl From<LogTime> for When {
    fn from(at: LogTime) -> Self {
        Self(at)
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{LogTime, When};

    #[test]
    fn a_time_is_rfc_3339() {
        let text = serde_json::to_string(&When(LogTime::from_secs(1_700_000_000))).unwrap();
        assert_eq!(text, "\"2023-11-14T22:13:20Z\"");
    }
}
