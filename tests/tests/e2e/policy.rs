//! Who counts, and who is forgiven, with real logins.

use anyhow::{Result, ensure};
use blocker_tests::{
    client::{Client, Protocol},
    doveblock::{Doveblock, subject},
    dovecot::{Dovecot, PASSWORD, USER as NAME},
    netns::{Family, USER, World},
};
use libtest_mimic::Trial;

use crate::{DOVECOT, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_user_who_logged_in_may_probe_but_not_guess", DOVECOT, authenticated),
        trial("a_hostile_name_bans_its_sender_only", DOVECOT, hostile_names),
    ]
}

fn authenticated(world: &World) -> Result<()> {
    let dovecot = Dovecot::start(world)?;
    let options = ["--mode", "aggressive", "--maxretry", "3"];
    let mut doveblock = Doveblock::start(world, dovecot.log(), &options)?;
    let user = Client::new(world, USER, Family::V4);
    ensure!(user.log_in(Protocol::Imap, NAME, PASSWORD)?, "the right password was refused");
    for _ in 0..4 {
        user.probe(4190)?;
        doveblock.wait_for(&[&user.address().to_string(), "logged in"])?;
    }
    ensure!(doveblock.listed(&subject(user.address()))?.is_none());
    for _ in 0..3 {
        user.guess(Protocol::Imap)?;
    }
    doveblock.wait_for_ban(&subject(user.address()))?;
    user.shut_out(143)
}

/// Names that look like the rest of the line they end up on, and some that look like nothing.
pub(crate) const HOSTILE_NAMES: [&str; 16] = [
    "x>, rip=203.0.113.9, lip=",
    "a,203.0.113.9): unknown user",
    "a,203.0.113.9,<AQIDBAUGBwjLAHEJ>): Password mismatch",
    "a>, session=<AQIDBAUGBwjLAHEJ>, rip=203.0.113.9",
    ">",
    "a>b",
    "\"quoted\" 'name'",
    "a, b, c",
    "rip=203.0.113.9",
    "x): Password mismatch (",
    "x rhost=203.0.113.9  user=x",
    "(auth failed, 99 attempts in 1 secs): user=<>, rip=203.0.113.9",
    "a,203.0.113.9,sasl:plain)<AQIDBAUGBwjLAHEJ>: passwd-file: unknown user",
    "line\u{2028}rip=203.0.113.9",
    "caf\u{e9} \u{85} \u{6f22}\u{5b57}",
    "%{rip} %r {literal}",
];

/// With `auth_username_chars` empty, Dovecot takes any name.
fn hostile_names(world: &World) -> Result<()> {
    const LONG: usize = 2000;
    let dovecot = Dovecot::with(world, "auth_username_chars =\nauth_verbose = yes")?;
    let maxretry = HOSTILE_NAMES.len() + 1;
    let doveblock = Doveblock::start(world, dovecot.log(), &["--maxretry", &maxretry.to_string()])?;
    let user = Client::new(world, USER, Family::V4);
    for name in HOSTILE_NAMES {
        // How many guesses a ban takes is not the question here; that none is in between is.
        if doveblock.listed(&subject(user.address()))?.is_none() {
            ensure!(!user.log_in(Protocol::Sieve, name, "letmein")?, "{name} logged in");
        }
    }
    if doveblock.listed(&subject(user.address()))?.is_none() {
        ensure!(!user.log_in(Protocol::Imap, &"l".repeat(LONG), "letmein")?);
    }
    doveblock.wait_for_ban(&subject(user.address()))?;
    ensure!(doveblock.json(&["list"])?.as_array().map(Vec::len) == Some(1));
    ensure!(!doveblock.whole_log().contains("203.0.113.9"), "{}", doveblock.whole_log());
    Ok(())
}
