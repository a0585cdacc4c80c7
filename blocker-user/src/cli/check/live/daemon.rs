//! Whether there is a daemon, whether it is the one on disk, and by which configuration it goes.

use std::path::Path;

use super::{item::Item, process::owner};
use crate::control::{
    ClientError,
    api::{Running, Status},
};

pub(super) fn reached(answer: &Result<Status, ClientError>, socket: &Path) -> Item {
    const CHECK: &str = "daemon";
    match answer {
        Ok(Status { version, pid, .. }) => {
            let whose = owner(socket).map_or_else(String::new, |(user, group)| {
                format!("; {user} and the group {group} may use it")
            });
            let socket = socket.display();
            Item::ok(
                CHECK,
                format!("doveblock {version}, process {pid}, answers on {socket}{whose}"),
            )
        }
        Err(error @ ClientError::Forbidden { .. }) => {
            Item::unknown(CHECK, error.to_string(), "ask as root, or as one of these")
        }
        Err(error @ ClientError::Silent(_)) => Item::fault(
            CHECK,
            error.to_string(),
            "it hangs: `systemctl restart doveblock`, or kill it and start it again; bans stay in \
             force meanwhile",
        ),
        Err(error) => Item::fault(
            CHECK,
            error.to_string(),
            "nothing new is banned: `systemctl start doveblock`; where it does not stay up, \
             `journalctl -u doveblock` says why",
        ),
    }
}

/// `here` is the version of the program that asks, which is the one on disk.
pub(super) fn version(running: &str, here: &str, is_replaced: Option<bool>) -> Item {
    const CHECK: &str = "version";
    const ADVICE: &str = "restart it: `systemctl restart doveblock`; bans stay in force";
    if running != here {
        return Item::warning(
            CHECK,
            format!("doveblock {running} runs, and this is {here}"),
            ADVICE,
        );
    }
    match is_replaced {
        Some(true) => {
            Item::warning(CHECK, "its program was replaced on disk since it was started", ADVICE)
        }
        Some(false) | None => Item::ok(CHECK, format!("what runs is what is on disk: {running}")),
    }
}

/// `changed` are files that were written, added or removed since the daemon read them.
pub(super) fn configuration(running: &Running, is_wrong: bool, changed: &[String]) -> Item {
    const CHECK: &str = "configuration";
    if is_wrong {
        return Item::fault(
            CHECK,
            "there are errors in it: the daemon goes on by the one before, and could not be \
             started again",
            "`doveblock check` shows them",
        );
    }
    if !changed.is_empty() {
        return Item::warning(
            CHECK,
            format!("changed since the daemon read it: {}", changed.join(", ")),
            "`doveblock reload`",
        );
    }
    let from = match running.configuration.as_slice() {
        [] => "no file, defaults and flags".to_owned(),
        files => files.join(", "),
    };
    Item::ok(CHECK, format!("read at {} from {from}", running.configured_at))
}

/// Where no daemon answers.
pub(super) fn configuration_alone(is_wrong: bool) -> Item {
    const CHECK: &str = "configuration";
    match is_wrong {
        true => Item::fault(CHECK, "there are errors in it", "`doveblock check` shows them"),
        false => Item::ok(CHECK, "there is no error in it"),
    }
}

pub(super) fn enforcement(status: &Status) -> Item {
    const CHECK: &str = "enforcement";
    if status.dry_run {
        return Item::fault(
            CHECK,
            "it was started with --dry-run: bans are decided, and nothing is dropped",
            "start it without --dry-run",
        );
    }
    match status.running.protocol.as_str() {
        "udp" => Item::fault(
            CHECK,
            "protocol = udp: mail comes by TCP, which passes",
            "set protocol = tcp or all",
        ),
        protocol => Item::ok(CHECK, format!("{protocol} ports {}", status.running.ports)),
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path};

    use super::{super::item::Verdict, configuration, enforcement, reached, version};
    use crate::control::{ClientError, api::Status};

    #[test]
    fn a_daemon_that_does_not_answer_is_a_fault_and_a_closed_door_is_not() {
        let socket = Path::new("/nowhere/sock");
        let unreachable = ClientError::Unreachable {
            socket: socket.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        };
        let forbidden =
            ClientError::Forbidden { socket: socket.to_owned(), whose: "root may".to_owned() };
        let verdict = |answer| reached(&answer, socket).verdict;
        assert_eq!(verdict(Ok(Status::example())), Verdict::Ok);
        assert_eq!(verdict(Err(unreachable)), Verdict::Fault);
        assert_eq!(verdict(Err(ClientError::Silent(socket.to_owned()))), Verdict::Fault);
        assert_eq!(verdict(Err(forbidden)), Verdict::Unknown);
    }

    #[test]
    fn an_upgrade_without_a_restart_is_told() {
        assert_eq!(version("0.1.0", "0.1.0", Some(false)).verdict, Verdict::Ok);
        assert_eq!(version("0.1.0", "0.1.0", None).verdict, Verdict::Ok);
        assert_eq!(version("0.1.0", "0.1.0", Some(true)).verdict, Verdict::Warning);
        assert!(version("0.1.0", "0.2.0", None).what.contains("0.1.0 runs"));
    }

    #[test]
    fn a_forgotten_reload_is_told() {
        let running = Status::example().running;
        assert_eq!(configuration(&running, false, &[]).verdict, Verdict::Ok);
        let changed = ["/etc/doveblock/doveblock.conf".to_owned()];
        let item = configuration(&running, false, &changed);
        assert_eq!(item.todo.as_deref(), Some("`doveblock reload`"));
        assert_eq!(configuration(&running, true, &changed).verdict, Verdict::Fault);
    }

    #[test]
    fn who_drops_nothing_by_intention_is_told_so() {
        let mut status = Status::example();
        assert_eq!(enforcement(&status).verdict, Verdict::Ok);
        status.running.protocol = "udp".to_owned();
        assert_eq!(enforcement(&status).verdict, Verdict::Fault);
        status.dry_run = true;
        assert!(enforcement(&status).what.contains("--dry-run"));
    }
}
