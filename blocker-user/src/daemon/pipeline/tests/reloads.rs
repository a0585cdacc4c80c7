//! Logs that another configuration leaves out, and those that a later one names again.

use std::{fs, num::NonZeroU32, path::PathBuf, slice, time::Duration};

use ipnet::IpNet;

use super::{Host, address};
use crate::{
    jail::{Bantime, Policy},
    source::{Source, Spec},
};

fn policy() -> Policy {
    Policy {
        maxretry: NonZeroU32::new(3).unwrap(),
        findtime: Duration::from_secs(86_400),
        bantime: Bantime::For(Duration::from_secs(3600)),
        ..Policy::default()
    }
}

/// A client is banned for what is in the log, and let go by hand.
fn let_go() -> Host {
    let mut host = Host::new(policy(), true);
    (0..3).for_each(|connection| host.guess(1, connection, "alice"));
    assert_eq!(host.seen().enforced.len(), 1);
    host.unban(IpNet::from(address(1)));
    assert_eq!((host.seen().enforced.len(), host.seen().totals.lines), (0, 3));
    host
}

fn log(host: &Host) -> Spec {
    Spec::File(host.log())
}

fn other(host: &Host) -> Spec {
    let path: PathBuf = host.dir.path().join("other.log");
    fs::write(&path, "").unwrap();
    Spec::File(path)
}

#[test]
fn a_log_that_is_left_out_and_named_again_is_gone_on_with() {
    let mut host = let_go();
    let (log, other) = (log(&host), other(&host));
    host.follow(slice::from_ref(&other));
    host.guess(2, 7, "alice");
    assert_eq!(host.seen().totals.lines, 3);
    host.follow(&[other, log]);
    let seen = host.seen();
    assert_eq!((seen.enforced.len(), seen.totals.lines, seen.failed), (0, 4, 1));
}

#[test]
fn a_log_that_is_left_out_keeps_its_place_over_a_restart_and_a_lost_database() {
    for is_lost in [false, true] {
        let mut host = let_go();
        let (log, other) = (log(&host), other(&host));
        host.keep();
        host.guess(2, 7, "alice");
        host.follow(slice::from_ref(&other));
        if is_lost {
            host.daemon.as_mut().unwrap().core.records.lose();
        }
        host.keep();
        host.kill();
        host.logs = vec![other.clone()];
        host.start();
        host.guess(2, 8, "alice");
        host.follow(&[other, log]);
        let seen = host.seen();
        assert_eq!((seen.enforced.len(), seen.totals.lines, seen.failed), (0, 5, 1), "{is_lost}");
    }
}

#[test]
fn what_a_pattern_finds_later_is_gone_on_with() {
    let mut host = let_go();
    host.keep();
    host.kill();
    let away = host.dir.path().join("away");
    fs::rename(host.log(), &away).unwrap();
    host.logs = vec![Spec::Pattern(host.dir.path().join("m*.log").display().to_string())];
    host.start();
    fs::rename(&away, host.log()).unwrap();
    // What it looks for it looks for from time to time.
    host.follow(&[Spec::Pattern(host.dir.path().join("ma*.log").display().to_string())]);
    host.settle();
    let seen = host.seen();
    assert_eq!((seen.enforced.len(), seen.totals.lines), (0, 3));
    host.guess(2, 7, "alice");
    assert_eq!(host.seen().totals.lines, 4);
}

#[test]
fn what_a_pattern_has_found_and_is_named_by_now_is_waited_for() {
    let mut host = let_go();
    host.keep();
    host.kill();
    let pattern = Spec::Pattern(host.dir.path().join("m*.log").display().to_string());
    host.logs = vec![Spec::Member(host.log()), pattern];
    host.start();
    let log = log(&host);
    host.follow(&[log]);
    let daemon = host.daemon.as_mut().unwrap();
    assert_eq!(daemon.feeds.len(), 1);
    assert!(daemon.feeds.iter_mut().all(|feed| matches!(feed.source(), Source::File(_))));
    // It has been read before, and is read on.
    host.guess(2, 7, "alice");
    assert_eq!(host.seen().totals.lines, 4);
}
