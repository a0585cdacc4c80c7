//! A daemon that is killed at any moment, under a log that is rotated at any moment, comes to
//! what one that is never killed comes to.

use std::{num::NonZeroU32, time::Duration};

use ipnet::IpNet;
use proptest::prelude::*;

use super::{Host, address};
use crate::jail::{Bantime, Increment, Policy};

#[derive(Clone, Debug)]
enum Step {
    Probe { client: u8, connection: u64 },
    Guess { client: u8, connection: u64, name: &'static str },
    End { client: u8, connection: u64, guesses: u32, name: &'static str },
    Login { client: u8, connection: u64, name: &'static str },
    Half,
    Wait(i64),
    Keep,
    Kill,
    Start,
    Rotate,
    CopyAndTruncate,
    Pack,
    Unban { client: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (client, connection) = (0_u8..3, 0_u64..12);
    let name = proptest::sample::select(&["alice", "alice@example.org", "mallory"][..]);
    let step = prop_oneof![
        3 => (client.clone(), connection.clone())
            .prop_map(|(client, connection)| Step::Probe { client, connection }),
        5 => (client.clone(), connection.clone(), name.clone()).prop_map(
            |(client, connection, name)| Step::Guess { client, connection, name }),
        3 => (client.clone(), connection.clone(), 1_u32..4, name.clone()).prop_map(
            |(client, connection, guesses, name)| Step::End { client, connection, guesses, name }),
        1 => (client.clone(), connection, name).prop_map(
            |(client, connection, name)| Step::Login { client, connection, name }),
        1 => Just(Step::Half),
        4 => (0_i64..500).prop_map(Step::Wait),
        3 => Just(Step::Keep),
        2 => Just(Step::Kill),
        3 => Just(Step::Start),
        1 => Just(Step::Rotate),
        1 => Just(Step::CopyAndTruncate),
        1 => Just(Step::Pack),
        1 => client.prop_map(|client| Step::Unban { client }),
    ];
    proptest::collection::vec(step, 1..80)
}

fn policy() -> Policy {
    Policy {
        maxretry: NonZeroU32::new(4).unwrap(),
        findtime: Duration::from_secs(600),
        bantime: Bantime::For(Duration::from_secs(900)),
        ignore_authenticated: Duration::from_secs(300),
        increment: Increment {
            enabled: true,
            rndtime: Duration::from_secs(60),
            ..Increment::default()
        },
        ..Policy::default()
    }
}

fn take(host: &mut Host, step: &Step, is_down: bool) {
    match *step {
        Step::Probe { client, connection } => host.probe(client, connection),
        Step::Guess { client, connection, name } => host.guess(client, connection, name),
        Step::End { client, connection, guesses, name } => {
            host.end(client, connection, guesses, name);
        }
        Step::Login { client, connection, name } => host.login(client, connection, name),
        Step::Half => host.half_a_line("imap-login: Info: nothing of interest"),
        Step::Wait(secs) => {
            host.wait(secs);
            host.settle();
        }
        Step::Rotate => host.rotate(),
        Step::CopyAndTruncate => host.copy_and_truncate(),
        Step::Pack => host.pack(),
        Step::Unban { client } if !is_down => host.unban(IpNet::from(address(client))),
        Step::Unban { .. } | Step::Keep | Step::Kill | Step::Start => {}
    }
}

fn same(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut steadfast = Host::new(policy(), false);
    let mut killed = Host::new(policy(), true);
    let mut is_down = false;
    // Something to go on from: what has never been kept, or read, is begun anew.
    [&mut steadfast, &mut killed].into_iter().for_each(|host| host.line("master: Starting up"));
    killed.keep();
    for step in steps {
        match step {
            Step::Keep => killed.keep(),
            Step::Kill => {
                killed.kill();
                is_down = true;
            }
            Step::Start if is_down => {
                killed.start();
                is_down = false;
            }
            _ => {}
        }
        take(&mut steadfast, step, is_down);
        take(&mut killed, step, is_down);
    }
    if is_down {
        killed.start();
    }
    prop_assert_eq!(killed.seen(), steadfast.seen());
    // And what it kept is what it knows.
    killed.keep();
    killed.kill();
    killed.start();
    prop_assert_eq!(killed.seen(), steadfast.seen());
    Ok(())
}

/// Found by the test below.
#[test]
fn what_once_went_wrong() {
    use Step::*;
    let probe = || Probe { client: 0, connection: 0 };
    let probe2 = || Probe { client: 2, connection: 0 };
    let end = || End { client: 2, connection: 0, guesses: 2, name: "alice" };
    for steps in [
        vec![Kill, probe(), CopyAndTruncate],
        vec![end(), end(), Wait(3), Keep, end(), Kill],
        vec![Rotate, Rotate, Unban { client: 0 }, Kill, Pack],
        vec![Rotate, probe(), Start, probe(), CopyAndTruncate],
        vec![
            probe2(),
            end(),
            probe2(),
            Keep,
            Login { client: 2, connection: 0, name: "alice" },
            Kill,
        ],
        vec![Rotate, Half, Rotate, Half, Half, Keep, Kill, Rotate],
    ] {
        same(&steps).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn kills_and_rotations_change_nothing(steps in steps()) {
        same(&steps)?;
    }
}
