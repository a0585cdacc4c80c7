//! What the jail says to a line.

use ipnet::IpNet;

use crate::time::LogTime;

/// A ban the jail decided on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ban {
    pub subject: IpNet,
    /// When the failure happened that was one too many.
    pub at: LogTime,
    /// `None` for a ban without end.
    pub expires: Option<LogTime>,
    /// Failures that led to it, in failures of the kind of the last one.
    pub attempts: u32,
}

/// What came of one failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// One more, but not enough for a ban yet.
    Counted {
        subject: IpNet,
        /// What this line told of that no other had.
        guesses: u32,
        /// How many of the `maxretry` that make a ban.
        attempts: u32,
        maxretry: u32,
    },
    /// Banned by this failure.
    Banned(Ban),
    /// Banned already, and by this failure for longer.
    Prolonged(Ban),
    /// Banned already, for at least as long as this failure would ban.
    AlreadyBanned { subject: IpNet },
    /// Not counted, or not banned, and why.
    Spared(Spared),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spared {
    /// The address is on the ignore list, or one of this host's own.
    Ignored,
    /// A user logged in from the address recently, and the failure is only a silent probe.
    Authenticated,
    /// Older than findtime when it was read.
    TooOld,
    /// Another line told of the same attempt.
    Known,
    /// The user got in on that very connection.
    LoggedIn,
    /// Enough failures, but the ban they earned would have ended by now.
    Expired { subject: IpNet },
}

/// What came of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginOutcome {
    /// It is remembered, and there was nothing to take back.
    Noted,
    /// The failures of its connection do not count any more.
    TakenBack { subject: IpNet },
    /// Without the failures of its connection there would be no ban: it is lifted.
    Lifted { subject: IpNet },
}
