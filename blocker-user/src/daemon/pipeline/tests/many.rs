//! Bans by the thousand end as they began, in one step: one by one the verdicts that the kernel
//! remembers would be ended as often, and lines would wait for minutes.

use std::time::Duration;

use ipnet::IpNet;

use super::{Host, address};
use crate::{
    daemon::By,
    jail::{Bantime, Policy},
};

const CLIENTS: u8 = 200;

fn by() -> By {
    By { who: "a test".to_owned(), reason: None }
}

/// A host with a list of bans for an hour.
fn with_a_list() -> Host {
    let mut host = Host::new(Policy::default(), true);
    let list =
        (0..CLIENTS).map(|client| (IpNet::from(address(client)), IpNet::from(address(client))));
    let core = &mut host.daemon.as_mut().unwrap().core;
    let hour = Bantime::For(Duration::from_secs(3600));
    let banned = core.ban_many(list.collect(), Some(hour), &by()).unwrap();
    assert_eq!(banned.banned, usize::from(CLIENTS));
    host.keep();
    host
}

fn has_ended_at_once(mut host: Host) {
    assert!(host.seen().enforced.is_empty() && host.seen().decided.is_empty());
    assert_eq!(host.kernel.ended_singly.get(), 0);
}

#[test]
fn all_are_lifted_at_once() {
    let mut host = with_a_list();
    let stranger: IpNet = "198.51.100.0/24".parse().unwrap();
    let core = &mut host.daemon.as_mut().unwrap().core;
    let all = (0..CLIENTS).map(|client| IpNet::from(address(client)));
    let lifted = core.unban_each(all.chain([stranger]), &by()).unwrap();
    assert_eq!(lifted, usize::from(CLIENTS), "one was not banned");
    let subject = IpNet::from(address(7));
    let known = core.explain(&subject, &subject);
    assert_eq!(known.ending.unwrap().how, "lifted by hand by a test");
    host.keep();
    host.kill();
    host.start();
    has_ended_at_once(host);
}

#[test]
fn all_that_end_together_are_removed_at_once() {
    let host = with_a_list();
    host.wait(3601);
    has_ended_at_once(host);
}

#[test]
fn all_that_have_ended_before_a_start_are_removed_at_once() {
    let mut host = with_a_list();
    host.kill();
    host.wait(3601);
    host.start();
    has_ended_at_once(host);
}

#[test]
fn what_is_lifted_before_an_error_is_known_to_be() {
    let mut host = with_a_list();
    host.kernel.refuses_after.set(Some(50));
    let core = &mut host.daemon.as_mut().unwrap().core;
    let all = (0..CLIENTS).map(|client| IpNet::from(address(client)));
    core.unban_each(all, &by()).unwrap_err();
    let seen = host.seen();
    assert_eq!((seen.enforced.len(), seen.decided.len()), (150, 150));
    assert!(seen.enforced.keys().eq(seen.decided.keys()));
    // Nor does a restart bring them back.
    host.keep();
    host.kill();
    host.start();
    assert_eq!(host.seen().decided.len(), 150);
}
