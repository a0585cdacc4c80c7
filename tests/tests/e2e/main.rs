//! End to end: real log lines, real packets. Each trial has a world of its own.

mod answers;
mod asked;
mod attach;
mod bans;
mod bounds;
mod browser;
mod close;
mod configuration;
mod control;
mod failregex;
mod growth;
mod guides;
mod history;
mod hostile;
mod input;
mod journal;
mod live;
mod manager;
mod oracle;
mod pins;
mod policy;
mod restart;
mod sandbox;
mod source;
mod state;
mod upgrade;
mod verdicts;

use std::process::ExitCode;

use anyhow::Result;
use blocker_tests::{leftovers, needs, netns::World};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Many daemons at once on two cores only make each other late.
    arguments.test_threads.get_or_insert(2);
    for name in leftovers::reap() {
        eprintln!("removed what a killed run left: {name}");
    }
    let trials = [
        answers::trials(),
        asked::trials(),
        attach::trials(),
        bans::trials(),
        bounds::trials(),
        browser::trials(),
        close::trials(),
        configuration::trials(),
        control::trials(),
        failregex::trials(),
        growth::trials(),
        guides::trials(),
        history::trials(),
        hostile::trials(),
        input::trials(),
        journal::trials(),
        live::trials(),
        manager::trials(),
        oracle::trials(),
        pins::trials(),
        policy::trials(),
        restart::trials(),
        sandbox::trials(),
        source::trials(),
        state::trials(),
        upgrade::trials(),
        verdicts::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}

/// A trial in a world of its own, skipped where one of `needs` is missing.
fn trial(
    name: &str,
    needs: &'static [fn() -> Option<String>],
    body: fn(&World) -> Result<()>,
) -> Trial {
    trial_of(name, needs, body)
}

/// Likewise, of a body that knows more.
fn trial_of(
    name: &str,
    needs: &'static [fn() -> Option<String>],
    body: impl FnOnce(&World) -> Result<()> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let missing = std::iter::once(needs::missing as fn() -> _).chain(needs.iter().copied());
        if let Some(reason) = missing.into_iter().find_map(|missing| missing()) {
            return Ok(Completion::ignored_with(reason));
        }
        let tried = World::new().and_then(|world| body(&world));
        tried.map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
    })
}

const DOVECOT: &[fn() -> Option<String>] = &[needs::missing_dovecot];
