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
        trial("a_login_excuses_its_own_typos_only", DOVECOT, own_typos),
        trial("a_valid_account_buys_no_guesses_at_other_names", DOVECOT, valid_account),
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

/// Whoever is not in the first password database is asked for in the second, and any name with
/// the right password is a master's.
const MORE_DATABASES: &str = "auth_verbose = yes
auth_master_user_separator = *
passdb {
  driver = static
  args = password=pw
}
passdb {
  driver = static
  args = password=rootpw
  master = yes
}";

fn own_typos(world: &World) -> Result<()> {
    let dovecot = Dovecot::with(world, MORE_DATABASES)?;
    let mut doveblock = Doveblock::start(world, dovecot.log(), &["--maxretry", "6"])?;
    let user = Client::new(world, USER, Family::V4);
    let address = user.address().to_string();
    // Two password databases, a typo, a master's typo: more of each than make a ban.
    let master = format!("{NAME}*root");
    let typo = [(NAME, "letmein"), (NAME, PASSWORD)];
    let masters_typo = [(master.as_str(), "letmein"), (master.as_str(), "rootpw")];
    for honest in [&[("mallory", "pw")][..], &typo, &masters_typo, &typo, &masters_typo].repeat(2) {
        ensure!(user.try_in_turn(honest)?, "{honest:?} was refused");
        doveblock.wait_for(&[&address, "taken back"])?;
    }
    ensure!(doveblock.json(&["list"])?.as_array().is_some_and(Vec::is_empty));
    ensure!(doveblock.json(&["status"])?["currently_failed"] == 0);
    Ok(())
}

fn valid_account(world: &World) -> Result<()> {
    let dovecot = Dovecot::with(world, MORE_DATABASES)?;
    let mut doveblock = Doveblock::start(world, dovecot.log(), &["--maxretry", "6"])?;
    let attacker = Client::new(world, USER, Family::V4);
    let address = attacker.address().to_string();
    // Of these, only that mallory is not in the first database is taken back.
    let guesses = [(NAME, "letmein"), (NAME, "opensesame"), ("mallory", "pw")];
    for _ in 0..2 {
        ensure!(attacker.try_in_turn(&guesses)?, "mallory was refused");
        doveblock.wait_for(&[&address, "taken back"])?;
    }
    attacker.guess(Protocol::Imap)?;
    doveblock.wait_for(&[&address, "5/6"])?;
    let _held = attacker.last_guess()?;
    doveblock.wait_for_ban(&subject(attacker.address()))?;
    attacker.shut_out(143)
}

/// With `auth_username_chars` empty, Dovecot takes any name.
fn hostile_names(world: &World) -> Result<()> {
    let dovecot = Dovecot::with(world, "auth_username_chars =\nauth_verbose = yes")?;
    // One more than there are guesses: a ban cuts the connection off that is being made.
    let mut doveblock = Doveblock::start(world, dovecot.log(), &["--maxretry", "5"])?;
    let user = Client::new(world, USER, Family::V4);
    for name in [
        "x>, rip=203.0.113.9, lip=",
        "a,203.0.113.9): unknown user",
        "a,203.0.113.9,<AQIDBAUGBwjLAHEJ>): Password mismatch",
        "a>, session=<AQIDBAUGBwjLAHEJ>, rip=203.0.113.9",
    ] {
        ensure!(!user.log_in(Protocol::Sieve, name, "letmein")?);
    }
    // Each guess is a line of the auth process and one of the login process, and counts once.
    doveblock.wait_for(&[&user.address().to_string(), "4/5"])?;
    ensure!(doveblock.json(&["list"])?.as_array().is_some_and(Vec::is_empty));
    ensure!(!doveblock.whole_log().contains("203.0.113.9"), "{}", doveblock.whole_log());
    Ok(())
}
