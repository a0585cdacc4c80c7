//! The control socket and the verbs on top of it.

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    client::Client,
    doveblock::{Doveblock, is_attached, socket, verb},
    greeter::Greeter,
    netns::{ATTACKER, Family, SECOND, World},
    process::{command, run},
    recording::Recording,
};
use libtest_mimic::Trial;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("bans_by_hand_take_effect_at_once_and_go_at_once", &[], by_hand),
        trial("networks_can_be_banned", &[], networks),
        trial("status_tells_what_fail2ban_tells", &[], status),
        trial("curl_can_talk_to_the_socket", &[missing_curl], curl),
        trial("verbs_refuse_nonsense_and_say_why", &[], refusals),
        trial("detach_works_with_and_without_a_daemon", &[], detach),
    ]
}

fn missing_curl() -> Option<String> {
    let there = command("curl").arg("--version").output().is_ok_and(|it| it.status.success());
    (!there).then(|| "needs curl: apt-get install curl".to_owned())
}

/// A daemon on an empty log, and something to connect to.
fn start(world: &World) -> Result<(Doveblock<'_>, Greeter)> {
    let log = world.claim.dir().join("mail.log");
    Recording::new(&log).append("")?;
    let options = ["--mode", "aggressive", "--maxretry", "3", "--bantime", "1h"];
    Ok((Doveblock::start(world, &log, &options)?, Greeter::start(world, 4190)?))
}

fn by_hand(world: &World) -> Result<()> {
    let (doveblock, _sieve) = start(world)?;
    for family in [Family::V4, Family::V6] {
        let client = Client::new(world, ATTACKER, family);
        let address = client.address().to_string();
        client.probe(4190)?;
        doveblock.expect(&["ban", &address, "--for", "1d 12h", "--reason", "a test"])?;
        client.shut_out(4190)?;
        doveblock.expect(&["unban", &address])?;
        client.probe(4190)?;
        let again = doveblock.verb(&["unban", &address])?;
        ensure!(again.status.code() == Some(1), "unbanned twice: {again:?}");
    }
    doveblock.expect(&["ban", "203.0.113.1", "--for", "-1"])?;
    let ban = doveblock.listed("203.0.113.1")?.context("not listed")?;
    ensure!(ban["expires_at"].is_null() && ban["attempts"] == 0, "{ban}");
    ensure!(ban["banned_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{ban}");
    doveblock.expect(&["ban", "203.0.113.2"])?;
    ensure!(doveblock.expect(&["unban", "--all"])?.contains('2'));
    ensure!(doveblock.json(&["list"])?.as_array().is_some_and(Vec::is_empty));
    Ok(())
}

fn networks(world: &World) -> Result<()> {
    let (doveblock, _sieve) = start(world)?;
    // The attacker's .10 is in it, the second client's .20 is not.
    doveblock.expect(&["ban", "192.0.2.8/29"])?;
    Client::new(world, ATTACKER, Family::V4).shut_out(4190)?;
    Client::new(world, SECOND, Family::V4).probe(4190)?;
    doveblock.expect(&["ban", "2001:db8:8::/45"])?;
    Client::new(world, ATTACKER, Family::V6).shut_out(4190)?;
    doveblock.expect(&["unban", "192.0.2.8/29"])?;
    doveblock.expect(&["unban", "2001:db8:8::/45"])?;
    Client::new(world, ATTACKER, Family::V4).probe(4190)?;
    Client::new(world, ATTACKER, Family::V6).probe(4190)?;
    Ok(())
}

fn status(world: &World) -> Result<()> {
    let (mut doveblock, _sieve) = start(world)?;
    let log = Recording::new(&world.claim.dir().join("mail.log"));
    for client in [ATTACKER, ATTACKER, ATTACKER, SECOND] {
        log.probe(client.on(Family::V4))?;
    }
    doveblock.wait_for(&[&SECOND.v4.to_string(), "1/3"])?;
    Client::new(world, ATTACKER, Family::V4).shut_out(4190)?;
    let status = doveblock.json(&["status", "dovecot"])?;
    ensure!(status["total_failed"] == 4 && status["currently_failed"] == 1, "{status}");
    ensure!(status["currently_banned"] == 1 && status["total_banned"] == 1, "{status}");
    ensure!(status["banned"][0] == ATTACKER.v4.to_string(), "{status}");
    ensure!(status["counters"]["dropped_packets"].as_u64() >= Some(1), "{status}");
    ensure!(status["mode"] == "aggressive" && status["interfaces"][0] == "mail0", "{status}");
    let text = doveblock.expect(&["status"])?;
    ensure!(text.contains("currently banned  1"), "{text}");
    Ok(())
}

fn curl(world: &World) -> Result<()> {
    let (_doveblock, _sieve) = start(world)?;
    let curl = |arguments: &[&str]| {
        run(command("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--unix-socket"])
            .arg(socket(world))
            .args(arguments))
    };
    let banned = curl(&["-d", r#"{"ip":"203.0.113.7","for":"1h"}"#, "http://doveblock/v1/ban"])?;
    ensure!(banned.contains("203.0.113.7"), "{banned}");
    let bans = curl(&["http://doveblock/v1/bans"])?;
    ensure!(bans.contains("203.0.113.7"), "{bans}");
    for (body, path) in [("{", "ban"), (r#"{"ip":"x"}"#, "ban"), ("{}", "unban"), ("", "nothing")] {
        let answer = curl(&["-d", body, &format!("http://doveblock/v1/{path}")])?;
        ensure!(answer.contains("\"error\""), "{path} {body}: {answer}");
    }
    Ok(())
}

fn refusals(world: &World) -> Result<()> {
    let (doveblock, _sieve) = start(world)?;
    for (arguments, word) in [
        (&["ban", "mail.example"][..], "mail.example"),
        (&["ban", "192.0.2.0/33"], "192.0.2.0/33"),
        (&["ban", "203.0.113.1", "--for", "soon"], "soon"),
        (&["unban"], "--all"),
        (&["unban", "x", "--all"], "--all"),
        (&["status", "sshd"], "sshd"),
    ] {
        let output = doveblock.verb(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(2), "{arguments:?}: {}", output.status);
        ensure!(said.contains(word), "{arguments:?}: {said}");
    }
    ensure!(doveblock.json(&["list"])?.as_array().is_some_and(Vec::is_empty));
    ensure!(doveblock.stop()? == 0);
    let output = verb(world, &["list"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1) && said.contains("doveblock run"), "{said}");
    Ok(())
}

fn detach(world: &World) -> Result<()> {
    let (doveblock, _sieve) = start(world)?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    doveblock.expect(&["ban", &attacker.address().to_string()])?;
    attacker.shut_out(4190)?;
    let output = verb(world, &["detach"])?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(String::from_utf8_lossy(&output.stderr).contains("runs on"), "{output:?}");
    attacker.probe(4190)?;
    doveblock.stop()?;

    let (doveblock, _sieve) = {
        drop(_sieve);
        start(world)?
    };
    ensure!(is_attached(world)?);
    doveblock.kill()?;
    ensure!(is_attached(world)?, "the program went with the daemon");
    ensure!(verb(world, &["detach"])?.status.success());
    ensure!(!is_attached(world)? && !world.claim.pins().exists());
    ensure!(verb(world, &["detach"])?.status.success(), "nothing to detach is no error");
    Ok(())
}
