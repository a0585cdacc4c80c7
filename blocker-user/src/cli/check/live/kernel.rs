//! Whether the program is in the kernel, and where packets come in.

use super::item::Item;
use crate::{
    control::api::{Running, Status},
    firewall::{FirewallError, Seen, SeenGuard, SeenPlace},
};

/// A map this full, in percent, is worth a word.
const NEARLY_FULL: u64 = 90;
/// A program is loaded after its daemon's start; the kernel tells when by a clock that may be a
/// little off.
const SLACK_SECS: i64 = 5;

const ATTACH: &str = "`systemctl restart doveblock` attaches it again; bans are kept";

/// `running` where a daemon answers.
pub(super) fn program(seen: Result<Seen, FirewallError>, running: Option<&Running>) -> Item {
    const CHECK: &str = "program";
    let seen = match seen {
        Ok(seen) => seen,
        Err(error @ FirewallError::Capabilities(_)) => {
            return Item::unknown(CHECK, error.to_string(), "ask as root");
        }
        Err(error) => {
            return Item::fault(CHECK, error.to_string(), "`systemctl restart doveblock`");
        }
    };
    let Some((id, loaded_at)) = seen.program else {
        return match running {
            Some(running) => Item::fault(
                CHECK,
                format!("nothing is pinned in {}: it was detached", running.pin_dir),
                ATTACH,
            ),
            None => Item::warning(CHECK, "nothing is pinned: no ban is in force", "start it"),
        };
    };
    if !seen.missing.is_empty() {
        let missing = seen.missing.join(", ");
        return Item::fault(CHECK, format!("of its pins these are missing: {missing}"), ATTACH);
    }
    if seen.is_private {
        return Item::warning(
            CHECK,
            "its pins are seen in this mount namespace only: bans end with the daemon",
            "enter network namespaces with `nsenter --net=…`, not `ip netns exec`",
        );
    }
    let Some(running) = running else {
        return Item::ok(CHECK, format!("program {id} goes on enforcing the bans there were"));
    };
    let started: Option<jiff::Timestamp> = running.started_at.parse().ok();
    match (loaded_at, started) {
        (Some(at), Some(started)) if at.as_secs() + SLACK_SECS < started.as_second() => {
            Item::fault(
                CHECK,
                format!("program {id} was loaded at {at}, before this daemon started"),
                ATTACH,
            )
        }
        _ => Item::ok(CHECK, format!("program {id}, loaded by this daemon")),
    }
}

pub(super) fn elsewhere(pid: u32) -> Item {
    Item::unknown(
        "interface",
        "the daemon is in another network namespace",
        format!("ask there: nsenter --net=/proc/{pid}/ns/net doveblock check --live"),
    )
}

pub(super) fn interface(guard: &SeenGuard) -> Item {
    const CHECK: &str = "interface";
    let name = &guard.name;
    let mode = |is_generic| if is_generic { "generic mode" } else { "native mode" };
    match guard.place {
        SeenPlace::Itself { is_generic } => {
            Item::ok(CHECK, format!("{name}: attached in {}", mode(is_generic)))
        }
        SeenPlace::Dispatcher { is_generic } => Item::ok(
            CHECK,
            format!("{name}: called by libxdp's dispatcher, in {}", mode(is_generic)),
        ),
        SeenPlace::Somebodys { is_generic } => Item::unknown(
            CHECK,
            format!("{name}: an XDP program runs in {}", mode(is_generic)),
            "ask as root whose it is",
        ),
        SeenPlace::Nowhere => Item::fault(
            CHECK,
            format!("{name}: no XDP program is attached, nothing is dropped there"),
            ATTACH,
        ),
        SeenPlace::Foreign(id) => Item::fault(
            CHECK,
            format!("{name}: another XDP program (id {id}) is attached"),
            format!("`bpftool prog show id {id}` shows it; docs/interfaces.md, how to share"),
        ),
        SeenPlace::NoInterface => Item::fault(
            CHECK,
            format!("{name}: there is no such interface"),
            "`ip link` names those there are; set interface, or -i",
        ),
    }
}

/// `routes` are the interfaces of default routes, `open` those of them that are not guarded.
pub(super) fn routes(routes: &[String], open: &[String]) -> Item {
    const CHECK: &str = "routes";
    match open {
        [] if routes.is_empty() => Item::ok(CHECK, "there is no default route"),
        [] => Item::ok(
            CHECK,
            format!("default routes lead by guarded interfaces: {}", routes.join(", ")),
        ),
        open => Item::warning(
            CHECK,
            format!("a default route leads by {}, which is not guarded", open.join(", ")),
            "where mail clients come in there, name it in interface as well (docs/interfaces.md)",
        ),
    }
}

/// Each family has a map of its own: as long as all bans together fit into one, both have room.
pub(super) fn fill(status: &Status) -> Item {
    const CHECK: &str = "map fill";
    let Status { currently_banned, total_evicted, .. } = status;
    let max = u64::from(status.running.max_bans);
    let banned = u64::try_from(*currently_banned).unwrap_or(u64::MAX);
    let percent = banned.saturating_mul(100) / max.max(1);
    if percent < NEARLY_FULL {
        return Item::ok(CHECK, format!("{banned} bans, with room for {max} of each family"));
    }
    Item::warning(
        CHECK,
        format!(
            "{banned} bans, with room for {max} of each family; {total_evicted} ended early so far, \
             because there was no room"
        ),
        "raise max_bans and restart; docs/tuning.md has what that costs",
    )
}

#[cfg(test)]
mod tests {
    use super::{super::item::Verdict, fill, interface, program, routes};
    use crate::{
        control::api::Status,
        firewall::{FirewallError, Seen, SeenGuard, SeenPlace},
        time::LogTime,
    };

    fn seen(loaded_at: i64) -> Seen {
        Seen { program: Some((7, Some(LogTime::from_secs(loaded_at)))), ..Seen::default() }
    }

    #[test]
    fn a_program_is_there_whole_and_of_this_daemon_or_it_is_a_fault() {
        let running = Status::example().running;
        let started: jiff::Timestamp = running.started_at.parse().unwrap();
        let started = started.as_second();
        let verdict = |seen| program(Ok(seen), Some(&running)).verdict;
        assert_eq!(verdict(seen(started + 1)), Verdict::Ok);
        assert_eq!(verdict(seen(started - 60)), Verdict::Fault);
        assert_eq!(verdict(Seen::default()), Verdict::Fault);
        let missing = Seen { missing: vec!["allow"], ..seen(started) };
        assert_eq!(verdict(missing), Verdict::Fault);
        assert_eq!(verdict(Seen { is_private: true, ..seen(started) }), Verdict::Warning);
        let denied = FirewallError::Capabilities("CAP_BPF".to_owned());
        assert_eq!(program(Err(denied), Some(&running)).verdict, Verdict::Unknown);
        assert_eq!(program(Ok(Seen::default()), None).verdict, Verdict::Warning);
        assert_eq!(program(Ok(seen(1)), None).verdict, Verdict::Ok);
    }

    #[test]
    fn an_interface_without_our_program_is_a_fault() {
        let is_generic = false;
        for (place, verdict) in [
            (SeenPlace::Itself { is_generic }, Verdict::Ok),
            (SeenPlace::Dispatcher { is_generic }, Verdict::Ok),
            (SeenPlace::Somebodys { is_generic }, Verdict::Unknown),
            (SeenPlace::Nowhere, Verdict::Fault),
            (SeenPlace::Foreign(3), Verdict::Fault),
            (SeenPlace::NoInterface, Verdict::Fault),
        ] {
            assert_eq!(interface(&SeenGuard { name: "eth0".to_owned(), place }).verdict, verdict);
        }
        assert_eq!(routes(&["eth0".to_owned()], &[]).verdict, Verdict::Ok);
        let item = routes(&["wan0".to_owned()], &["wan0".to_owned()]);
        assert!(item.verdict == Verdict::Warning && item.what.contains("wan0"), "{item:?}");
    }

    #[test]
    fn a_map_that_is_nearly_full_is_told() {
        let mut status = Status::example();
        status.running.max_bans = 1000;
        for (bans, verdict) in [
            (0, Verdict::Ok),
            (899, Verdict::Ok),
            (900, Verdict::Warning),
            (2000, Verdict::Warning),
        ] {
            status.currently_banned = bans;
            assert_eq!(fill(&status).verdict, verdict, "{bans}");
        }
    }
}
