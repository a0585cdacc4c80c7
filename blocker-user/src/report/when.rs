//! A time, as reports state it.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

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

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        Ok(Self(at.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::{LogTime, When};

    #[test]
    fn a_time_is_rfc_3339() {
        let text = serde_json::to_string(&When(LogTime::from_secs(1_700_000_000))).unwrap();
        assert_eq!(text, "\"2023-11-14T22:13:20Z\"");
        let again: When = serde_json::from_str(&text).unwrap();
        assert_eq!(again, When(LogTime::from_secs(1_700_000_000)));
    }
}
