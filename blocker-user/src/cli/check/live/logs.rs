//! What one log is like: whether it is there, whether the daemon reads it, whether it grows, and
//! whether its dates are those of this host.

use std::time::Duration;

use super::item::Item;
use crate::{control::api::Running, time::LogTime};

/// What the alert rule of packaging/prometheus takes for silence, too.
const SILENT: Duration = Duration::from_secs(3600);
/// A line is written at once, give or take the buffers of a syslog daemon.
const SKEW: Duration = Duration::from_secs(120);
/// More than the daemon leaves unread for a moment.
const BEHIND: u64 = 1 << 20;

/// A file that is to be read.
#[derive(Clone, Debug)]
pub(super) struct FileFacts {
    pub(super) name: String,
    pub(super) there: There,
    /// Whether the daemon has it open.
    pub(super) is_open: Option<bool>,
    /// Whether permissions let the daemon read it, and as whom.
    pub(super) may_read: Option<bool>,
    pub(super) reader: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    Missing,
    /// We may not look, whatever the daemon may.
    Hidden,
    Found {
        len: u64,
        written: LogTime,
    },
}

pub(super) fn file(facts: &FileFacts, now: LogTime) -> Item {
    const CHECK: &str = "log";
    let name = &facts.name;
    let (len, written) = match facts.there {
        There::Missing => {
            return Item::fault(
                CHECK,
                format!("{name} does not exist; doveblock waits for it"),
                "`doveconf log_path info_log_path` says where Dovecot logs to; name that with \
                 logpath or --log",
            );
        }
        There::Hidden => {
            return Item::unknown(CHECK, format!("{name}: we may not look at it"), "ask as root");
        }
        There::Found { len, written } => (len, written),
    };
    if facts.is_open == Some(false) && facts.may_read == Some(false) {
        let reader = &facts.reader;
        return Item::fault(
            CHECK,
            format!("{name}: the daemon runs as {reader}, who may not read it"),
            "docs/install.md, \"The user, and what it reads\": a group or an ACL",
        );
    }
    let silent = now.since(written);
    let last = format!("last written {} s ago", silent.as_secs());
    if len == 0 || silent > SILENT {
        let what = if len == 0 { format!("{name} is empty") } else { format!("{name}: {last}") };
        return Item::warning(
            CHECK,
            what,
            "either nobody connects, or Dovecot writes elsewhere: connect once and look again",
        );
    }
    match facts.is_open {
        Some(true) => Item::ok(CHECK, format!("{name}: the daemon has it open; {last}")),
        // Logs of file systems without inotify are opened anew at each look.
        Some(false) | None => Item::ok(CHECK, format!("{name}: {last}")),
    }
}

/// `line` is the date of the last line of a file that was `written` last then.
pub(super) fn dates(name: &str, line: LogTime, written: LogTime, findtime: Duration) -> Item {
    const CHECK: &str = "dates";
    const ADVICE: &str = "compare `date` here with the lines: the clock or the time zone of what \
        writes the log is another one than doveblock's (`systemctl restart doveblock` after a \
        change of /etc/localtime); dates with an offset, as of Dovecot's log_timestamp, end the \
        doubt";
    let (late, early) = (written.since(line), line.since(written));
    if early > SKEW {
        let secs = early.as_secs();
        return Item::warning(
            CHECK,
            format!("{name}: its last line is dated {secs} s later than it was written"),
            ADVICE,
        );
    }
    if late > SKEW {
        let what =
            format!("{name}: its last line is dated {} s before it was written", late.as_secs());
        // A line as old as that cannot make a ban any more.
        return match late > findtime {
            true => Item::fault(CHECK, what + ", longer than findtime", ADVICE),
            false => Item::warning(CHECK, what, ADVICE),
        };
    }
    Item::ok(CHECK, format!("{name}: its last line is dated as it was written"))
}

pub(super) fn behind(running: &Running, lag_secs: u64) -> Item {
    const CHECK: &str = "reading";
    let unread = running.bytes_behind;
    let last = running.last_line_at.as_deref().unwrap_or("none yet");
    if unread > BEHIND {
        return Item::warning(
            CHECK,
            format!("{unread} bytes are not read yet; the lines being read are {lag_secs} s old"),
            "wait: after a pause the daemon catches up",
        );
    }
    Item::ok(CHECK, format!("{unread} bytes are not read yet; the last line read is of: {last}"))
}

pub(super) fn journal(answer: &Result<u64, String>, name: &str) -> Item {
    const CHECK: &str = "log";
    match answer {
        Ok(0) => Item::fault(
            CHECK,
            format!("{name}: there is no such entry"),
            "`systemctl status dovecot` names the unit; set journalmatch (docs/log-sources.md)",
        ),
        Ok(_) => Item::ok(CHECK, format!("{name}: there are entries")),
        Err(why) => Item::unknown(
            CHECK,
            format!("{name}: journalctl {why}"),
            "ask as root, or in the group systemd-journal",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::item::Verdict, FileFacts, There, behind, dates, file, journal};
    use crate::control::api::Status;
    use crate::time::LogTime;

    const NOW: LogTime = LogTime::from_secs(1_795_600_000);

    fn facts() -> FileFacts {
        FileFacts {
            name: "/var/log/mail.log".to_owned(),
            there: There::Found { len: 100, written: NOW.before(Duration::from_secs(5)) },
            is_open: Some(true),
            may_read: Some(true),
            reader: "doveblock".to_owned(),
        }
    }

    #[test]
    fn a_log_is_there_readable_and_grows() {
        let verdict = |facts: FileFacts| file(&facts, NOW).verdict;
        assert_eq!(verdict(facts()), Verdict::Ok);
        assert_eq!(verdict(FileFacts { there: There::Missing, ..facts() }), Verdict::Fault);
        assert_eq!(verdict(FileFacts { there: There::Hidden, ..facts() }), Verdict::Unknown);
        let closed = FileFacts { is_open: Some(false), may_read: Some(false), ..facts() };
        assert_eq!(verdict(closed), Verdict::Fault);
        // On NFS.
        assert_eq!(verdict(FileFacts { is_open: Some(false), ..facts() }), Verdict::Ok);
        let empty = There::Found { len: 0, written: NOW };
        assert_eq!(verdict(FileFacts { there: empty, ..facts() }), Verdict::Warning);
        let written = NOW.before(Duration::from_secs(4000));
        let silent = There::Found { len: 100, written };
        assert_eq!(verdict(FileFacts { there: silent, ..facts() }), Verdict::Warning);
    }

    #[test]
    fn lines_dated_far_off_are_told() {
        let findtime = Duration::from_secs(600);
        let at = |secs: i64| LogTime::from_secs(NOW.as_secs() + secs);
        let verdict = |secs| dates("mail.log", at(secs), NOW, findtime).verdict;
        for (secs, expected) in [
            (0, Verdict::Ok),
            (-60, Verdict::Ok),
            (60, Verdict::Ok),
            (-300, Verdict::Warning),
            (-3600, Verdict::Fault),
            (3600, Verdict::Warning),
        ] {
            assert_eq!(verdict(secs), expected, "{secs}");
        }
    }

    #[test]
    fn a_daemon_that_catches_up_is_told() {
        let mut running = Status::example().running;
        assert_eq!(behind(&running, 0).verdict, Verdict::Ok);
        running.bytes_behind = 1 << 30;
        assert_eq!(behind(&running, 86_400).verdict, Verdict::Warning);
    }

    #[test]
    fn a_journal_without_dovecot_is_a_fault() {
        let verdict = |answer: Result<u64, String>| journal(&answer, "journal").verdict;
        assert_eq!(verdict(Ok(3)), Verdict::Ok);
        assert_eq!(verdict(Ok(0)), Verdict::Fault);
        assert_eq!(verdict(Err("failed".to_owned())), Verdict::Unknown);
    }
}
