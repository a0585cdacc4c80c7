//! `check --live` against a running system: one that is as it should be, and ones that are not.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    client::Client,
    doveblock::{Doveblock, binary, socket},
    dovecot::Dovecot,
    netns::{ATTACKER, Family, World},
    process::{code, output},
    recording::Recording,
};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{DOVECOT, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("live_a_healthy_system_is_all_ok", DOVECOT, healthy),
        trial("live_a_port_that_is_not_guarded_is_a_fault", DOVECOT, port),
        trial("live_a_program_detached_behind_its_back_is_a_fault", &[], detached),
        trial("live_a_log_that_is_not_there_is_a_fault", &[], missing_log),
        trial("live_a_silent_log_and_a_wrong_clock_are_told", &[], silent),
        trial("live_an_address_is_walked_through", &[], address),
        trial("live_probes_in_normal_mode_are_told", &[], probes),
        trial("live_a_forgotten_reload_is_told", &[], reload),
        trial("live_a_dry_run_is_told", &[], dry_run),
        trial("live_without_a_daemon_and_without_root", &[], without),
    ]
}

/// What it said, and its exit code.
struct Said {
    items: Vec<Value>,
    code: i32,
}

impl Said {
    /// The verdict on `check`, the worst where there are several.
    fn verdict(&self, check: &str) -> &str {
        let order = ["ok", "not known", "warning", "fault"];
        let of = self.items.iter().filter(|item| item["check"] == check);
        let verdicts = of.filter_map(|item| item["verdict"].as_str());
        verdicts.max_by_key(|it| order.iter().position(|known| known == it)).unwrap_or("not there")
    }

    fn expect(&self, check: &str, verdict: &str) -> Result<()> {
        let found = self.verdict(check);
        ensure!(found == verdict, "{check} is {found} and not {verdict}: {:#?}", self.items);
        Ok(())
    }

    /// A fault in `check` and in nothing else, and so exit code 1.
    fn expect_fault(&self, check: &str) -> Result<()> {
        self.expect(check, "fault")?;
        ensure!(self.code == 1, "exit code {}", self.code);
        let faults: Vec<_> = self.items.iter().filter(|it| it["verdict"] == "fault").collect();
        ensure!(faults.iter().all(|it| it["check"] == check), "{faults:#?}");
        Ok(())
    }
}

/// Asks in the server's namespace, with a `doveconf` of this world's Dovecot.
fn look(world: &World, more: &[&str], wrapper: &[&str]) -> Result<Said> {
    let bin = world.claim.dir().join("bin");
    if !bin.exists() {
        fs::create_dir(&bin)?;
        let conf = world.claim.dir().join("dovecot/dovecot.conf");
        let script = match conf.exists() {
            true => format!("#!/bin/sh\nexec /usr/bin/doveconf -c {} \"$@\"\n", conf.display()),
            false => "#!/bin/sh\nexit 1\n".to_owned(),
        };
        fs::write(bin.join("doveconf"), script)?;
        fs::set_permissions(bin.join("doveconf"), fs::Permissions::from_mode(0o755))?;
    }
    let mut command = world.server.command("env");
    command.arg(format!("PATH={}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display())).args(wrapper);
    command.arg(binary()).args(["check", "--live", "--format", "json"]);
    command.arg("--socket").arg(socket(world)).arg("--pin-dir").arg(world.claim.pins());
    let said = output(command.args(more))?;
    let text = String::from_utf8_lossy(&said.stdout);
    let report: Value = serde_json::from_str(&text)
        .with_context(|| format!("{text}{}", String::from_utf8_lossy(&said.stderr)))?;
    let items = report["items"].as_array().context("no items")?.clone();
    let code = code(said.status);
    ensure!(report["ok"] == (code == 0), "{report} and exit code {code}");
    Ok(Said { items, code })
}

fn log(world: &World) -> std::path::PathBuf {
    world.claim.dir().join("mail.log")
}

/// A log with one probe, and a daemon that has read it.
fn start<'w>(world: &'w World, more: &[&str]) -> Result<Doveblock<'w>> {
    Recording::new(&log(world)).probe(ATTACKER.on(Family::V4))?;
    Doveblock::start(world, &log(world), more)
}

fn route(world: &World) -> Result<()> {
    let mut ip = world.server.command("ip");
    let done = output(ip.args(["route", "add", "default", "via", "192.0.2.10"]))?;
    ensure!(done.status.success(), "{done:?}");
    Ok(())
}

fn healthy(world: &World) -> Result<()> {
    route(world)?;
    let dovecot = Dovecot::start(world)?;
    let options = ["--mode", "aggressive"];
    let mut doveblock = Doveblock::start(world, dovecot.log(), &options)?;
    Client::new(world, ATTACKER, Family::V4).probe(4190)?;
    doveblock.wait_for(&["1/5"])?;
    let said = look(world, &[], &[])?;
    let others: Vec<_> = said.items.iter().filter(|item| item["verdict"] != "ok").collect();
    ensure!(others.is_empty() && said.code == 0, "{others:#?}");
    for check in ["daemon", "version", "program", "interface", "routes", "log", "dates", "ports"] {
        said.expect(check, "ok")?;
    }
    Ok(())
}

fn port(world: &World) -> Result<()> {
    let dovecot = Dovecot::start(world)?;
    let _doveblock = Doveblock::start(world, dovecot.log(), &["--port", "143,993,995,110"])?;
    let said = look(world, &[], &[])?;
    said.expect_fault("ports")?;
    let item = said.items.iter().find(|item| item["check"] == "ports").context("no item")?;
    ensure!(item["what"].as_str().is_some_and(|what| what.contains("4190")), "{item}");
    Ok(())
}

fn detached(world: &World) -> Result<()> {
    let doveblock = start(world, &[])?;
    look(world, &[], &[])?.expect("program", "ok")?;
    doveblock.expect(&["detach"])?;
    let said = look(world, &[], &[])?;
    said.expect("program", "fault")?;
    said.expect("interface", "fault")?;
    ensure!(said.code == 1, "exit code {}", said.code);
    Ok(())
}

fn missing_log(world: &World) -> Result<()> {
    let _doveblock = Doveblock::start(world, &log(world), &[])?;
    look(world, &[], &[])?.expect("log", "fault")
}

fn silent(world: &World) -> Result<()> {
    let _doveblock = start(world, &["--mode", "aggressive"])?;
    let said = look(world, &[], &[])?;
    said.expect("log", "ok")?;
    said.expect("dates", "ok")?;
    let touch = |when: &str| -> Result<()> {
        let mut touch = blocker_tests::process::command("touch");
        ensure!(output(touch.args(["-d", when]).arg(log(world)))?.status.success());
        Ok(())
    };
    touch("2 hours ago")?;
    look(world, &[], &[])?.expect("log", "warning")?;
    // As if what writes it were two hours behind.
    touch("2 hours")?;
    look(world, &[], &[])?.expect("dates", "fault")
}

fn address(world: &World) -> Result<()> {
    let attacker = ATTACKER.v4.to_string();
    let _doveblock = start(world, &["--mode", "aggressive", "--ignoreip", "203.0.113.0/24"])?;
    let said = look(world, &[&attacker], &[])?;
    said.expect("address", "ok")?;
    let has = |words: &str| {
        said.items.iter().any(|item| item["what"].as_str().is_some_and(|it| it.contains(words)))
    };
    ensure!(has("1 silent probes") && has("1 of 5 failures"), "{:#?}", said.items);
    let spared = look(world, &["203.0.113.7"], &[])?;
    spared.expect_fault("address")?;
    let wrong =
        world.server.command(&binary().to_string_lossy()).args(["check", "192.0.2.7"]).output()?;
    ensure!(wrong.status.code() == Some(2), "an address without --live: {wrong:?}");
    Ok(())
}

fn probes(world: &World) -> Result<()> {
    let _doveblock = start(world, &[])?;
    look(world, &[], &[])?.expect("mode", "warning")
}

fn reload(world: &World) -> Result<()> {
    let config = world.claim.dir().join("doveblock.conf");
    let name = config.display().to_string();
    fs::write(&config, "[dovecot]\nmaxretry = 4\n")?;
    let doveblock = start(world, &["--config", &name])?;
    let asked = ["--config", name.as_str()];
    look(world, &asked, &[])?.expect("configuration", "ok")?;
    let changed = |text: &str| fs::write(Path::new(&name), text);
    changed("[dovecot]\nmaxretry = 3\n")?;
    look(world, &asked, &[])?.expect("configuration", "warning")?;
    doveblock.expect(&["reload"])?;
    look(world, &asked, &[])?.expect("configuration", "ok")?;
    changed("[dovecot]\nmaxretry = three\n")?;
    look(world, &asked, &[])?.expect_fault("configuration")
}

fn dry_run(world: &World) -> Result<()> {
    let _doveblock = start(world, &["--dry-run"])?;
    look(world, &[], &[])?.expect_fault("enforcement")
}

fn without(world: &World) -> Result<()> {
    look(world, &[], &[])?.expect("daemon", "fault")?;
    let _doveblock = start(world, &[])?;
    let config = world.claim.dir().join("doveblock.conf");
    fs::write(&config, format!("[dovecot]\nlogpath = {}\n", log(world).display()))?;
    let asked = ["--config", &config.display().to_string()];
    let said =
        look(world, &asked, &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])?;
    said.expect("daemon", "not known")?;
    said.expect("program", "not known")?;
    ensure!(said.code == 0, "what is not known is no fault: {:#?}", said.items);
    Ok(())
}
