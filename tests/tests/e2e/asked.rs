//! What an admin asks of a daemon that runs: why somebody is banned, to ban a list, to go on by
//! another configuration, its numbers, and to watch it.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    client::Client,
    doveblock::{Doveblock, binary, run_to_end, socket},
    greeter::Greeter,
    needs,
    netns::{ATTACKER, Family, SECOND, World},
    process::{Process, code, command, output, run},
    recording::Recording,
    wait::{self, LIMIT},
};
use libtest_mimic::Trial;
use rustix::process::Signal;

use crate::trial;

const OPTIONS: [&str; 6] = ["--mode", "aggressive", "--maxretry", "3", "--bantime", "1h"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_ban_is_explained_with_its_drops_over_a_kill", &[], explained),
        trial("a_list_of_ten_thousand_is_banned_in_the_kernel", &[], list),
        trial("a_reload_changes_ports_and_policy_and_loses_nothing", &[], reload),
        trial("the_metrics_are_what_prometheus_reads", &[needs::missing_promtool], metrics),
        trial("nothing_but_the_socket_listens_by_default", &[], quiet),
        trial("the_socket_is_given_to_a_group", &[], group),
        trial("status_of_the_jail_is_laid_out_as_by_fail2ban", &[], layout),
        trial("top_draws_on_a_terminal_and_gives_it_back", &[needs::missing_script], top),
        trial("the_alerts_are_rules_that_prometheus_takes", &[needs::missing_promtool], alerts),
    ]
}

fn log(world: &World) -> PathBuf {
    world.claim.dir().join("mail.log")
}

fn start<'w>(world: &'w World, more: &[&str]) -> Result<Doveblock<'w>> {
    Recording::new(&log(world)).append("")?;
    Doveblock::start(world, &log(world), &[&OPTIONS, more].concat())
}

fn explained(world: &World) -> Result<()> {
    let _sieve = Greeter::start(world, 4190)?;
    let doveblock = start(world, &[])?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    let address = attacker.address().to_string();
    let unknown = doveblock.expect(&["explain", &address])?;
    ensure!(unknown.contains("is not banned") && unknown.contains("nothing it did"), "{unknown}");
    let recording = Recording::new(&log(world));
    // A name that would command a terminal.
    recording.append(&format!(
        "{} imap-login: Info: Disconnected: Aborted login (auth failed, 1 attempts in 2 secs): \
         user=<\x1b]0;x\x07>, method=PLAIN, rip={address}, lip=192.0.2.1\n",
        jiff::ZonedDateTime::now().strftime("%b %d %H:%M:%S")
    ))?;
    (0..2).try_for_each(|_| recording.probe(attacker.address()))?;
    doveblock.wait_for_ban(&address)?;
    attacker.shut_out(4190)?;
    // In the database by then, as that is answered when it is.
    doveblock.expect(&["ban", "203.0.113.1"])?;
    doveblock.kill()?;
    for _after_a_kill in 0..2 {
        let doveblock = start(world, &[])?;
        let said = wait::until(LIMIT, "an explanation", || {
            let said = doveblock.expect(&["explain", &address])?;
            Ok(said.contains("packets (").then_some(said))
        })?;
        for part in [
            "is banned.",
            "because of no-auth-attempts",
            "3 failures made the ban",
            "user=<\\u{1b}]0;x\\u{7}>",
            "auth-failed: counted, 1 of 3",
            "no-auth-attempts: banned",
        ] {
            ensure!(said.contains(part), "no {part:?} in\n{said}");
        }
        ensure!(!said.contains('\x1b'), "{said:?}");
        let json = doveblock.json(&["explain", &address])?;
        ensure!(json["lines"].as_array().is_some_and(|lines| lines.len() == 3), "{json:#}");
        ensure!(json["ban"]["dropped_packets"].as_u64() > Some(0), "{json:#}");
        doveblock.kill()?;
    }
    let doveblock = start(world, &[])?;
    doveblock.expect(&["unban", &address])?;
    let said = doveblock.expect(&["explain", &address])?;
    ensure!(said.contains("lifted by hand by root"), "{said}");
    doveblock.stop().map(drop)
}

/// Runs a verb with `text` on its standard input.
fn fed(world: &World, arguments: &[&str], text: &str) -> Result<std::process::Output> {
    let path = world.claim.dir().join("list");
    fs::write(&path, text)?;
    let mut verb = command(&binary().to_string_lossy());
    verb.args(arguments).arg("--socket").arg(socket(world)).stdin(File::open(&path)?);
    output(&mut verb)
}

fn list(world: &World) -> Result<()> {
    let _sieve = Greeter::start(world, 4190)?;
    let doveblock = start(world, &["--ignoreip", "203.0.113.9"])?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    let second = Client::new(world, SECOND, Family::V6);
    let mut text =
        format!("# a list\n{}\n{} # v6\n203.0.113.9\n", attacker.address(), second.address());
    for n in 0..10_000_u32 {
        text += &format!("{}\n", IpAddr::from((0x0b00_0000 + n).to_be_bytes()));
    }
    let wrong = fed(world, &["ban", "-"], &format!("{text}192.0.2.256\n"))?;
    let said = String::from_utf8_lossy(&wrong.stderr);
    ensure!(wrong.status.code() == Some(2) && said.contains("line 10005"), "{said}");
    ensure!(doveblock.json(&["status"])?["currently_banned"] == 0, "half a list was banned");
    let done = fed(world, &["ban", "-", "--reason", "a list"], &text)?;
    let (said, warned) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    ensure!(done.status.success() && said.contains("banned 10002 "), "{said}{warned}");
    ensure!(warned.contains("203.0.113.9 (ignoreip"), "{warned}");
    attacker.shut_out(4190)?;
    second.shut_out(4190)?;
    let said = doveblock.expect(&["explain", "11.0.0.1"])?;
    ensure!(said.contains("by hand: banned by root") && said.contains("a list"), "{said}");
    let done = fed(world, &["unban", "-"], &text)?;
    let said = String::from_utf8_lossy(&done.stdout);
    ensure!(done.status.success() && said.contains("lifted 10002 "), "{said}");
    attacker.probe(4190)?;
    Ok(())
}

fn reload(world: &World) -> Result<()> {
    let (_imap, _sieve) = (Greeter::start(world, 143)?, Greeter::start(world, 4190)?);
    let config = world.claim.dir().join("doveblock.conf");
    let path = config.display().to_string();
    let write = |maxretry: &str, port: &str, more: &str| -> Result<()> {
        let text =
            format!("[dovecot]\nmode = aggressive\nmaxretry = {maxretry}\nport = {port}\n{more}");
        Ok(fs::write(&config, text)?)
    };
    write("3", "4190", "")?;
    Recording::new(&log(world)).append("")?;
    let mut doveblock = Doveblock::start(world, &log(world), &["--config", &path])?;
    let recording = Recording::new(&log(world));
    let attacker = Client::new(world, ATTACKER, Family::V4);
    doveblock.expect(&["ban", &attacker.address().to_string()])?;
    attacker.shut_out(4190)?;
    attacker.probe(143)?;
    let second = Client::new(world, SECOND, Family::V4).address();
    recording.probe(second)?;

    write("many", "4190", "")?;
    let refused = doveblock.verb(&["reload"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let checked = output(command(&binary().to_string_lossy()).args(["check", "--config", &path]))?;
    ensure!(refused.status.code() == Some(2), "{said}");
    ensure!(said == String::from_utf8_lossy(&checked.stderr), "{said}{checked:?}");
    ensure!(doveblock.json(&["status"])?["maxretry"] == 3);

    write("2", "4190,143", "ipv6_prefix = 56\n")?;
    let told = doveblock.verb(&["reload"])?;
    ensure!(told.status.success(), "{told:?}");
    ensure!(String::from_utf8_lossy(&told.stderr).contains("ipv6_prefix"), "{told:?}");
    attacker.shut_out(143)?;
    // The failure before the reload counts with the one after it.
    recording.probe(second)?;
    doveblock.wait_for_ban(&second.to_string())?;

    write("x", "4190", "")?;
    doveblock.signal(Signal::HUP)?;
    doveblock.wait_for(&["stays what it was", "1 error"])?;
    doveblock.wait_for(&["error: maxretry: \"x\""])?;
    write("7", "4190", "")?;
    doveblock.signal(Signal::HUP)?;
    doveblock.wait_for(&["read again", "in force"])?;
    wait::until(LIMIT, "the new maxretry", || {
        Ok((doveblock.json(&["status"])?["maxretry"] == 7).then_some(()))
    })?;
    attacker.probe(143)?;
    let status = doveblock.json(&["status"])?;
    ensure!(status["lines"] == 2 && status["currently_banned"] == 2, "{status:#}");
    Ok(())
}

/// What `address` answers to a scrape, inside the server's namespace.
fn scrape(world: &World, address: SocketAddr, path: &str) -> Result<String> {
    world.server.enter(|| {
        let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
}

fn metrics(world: &World) -> Result<()> {
    let address: SocketAddr = "127.0.0.1:9418".parse()?;
    let (refused, said) = run_to_end(world, &log(world), &["--metrics", "0.0.0.0:9418"])?;
    ensure!(refused == 2 && said.contains("can be reached from other hosts"), "{said}");
    let _sieve = Greeter::start(world, 4190)?;
    let doveblock = start(world, &["--metrics", "127.0.0.1:9418"])?;
    let recording = Recording::new(&log(world));
    let attacker = Client::new(world, ATTACKER, Family::V4);
    (0..3).try_for_each(|_| recording.probe(attacker.address()))?;
    doveblock.wait_for_ban(&attacker.address().to_string())?;
    attacker.shut_out(4190)?;
    let answer = scrape(world, address, "/metrics")?;
    let (_, page) = answer.split_once("\r\n\r\n").context("no body")?;
    for part in [
        "doveblock_failures_total{rule=\"no-auth-attempts\",service=\"managesieve\"} 3\n",
        "doveblock_bans_total{kind=\"log\"} 1\n",
        "doveblock_map_entries{map=\"bans_v4\"} 1\n",
        "doveblock_attached_interfaces 1\n",
        "doveblock_log_behind_bytes 0\n",
    ] {
        ensure!(page.contains(part), "no {part:?} in\n{page}");
    }
    ensure!(!page.contains("dropped_packets_total{reason=\"tcp\"} 0\n"), "{page}");
    let elsewhere = scrape(world, address, "/v1/bans")?;
    ensure!(elsewhere.starts_with("HTTP/1.0 404"), "{elsewhere}");
    let path = world.claim.dir().join("page");
    fs::write(&path, page)?;
    let checked = output(command("promtool").args(["check", "metrics"]).stdin(File::open(path)?))?;
    let said = String::from_utf8_lossy(&checked.stderr);
    ensure!(!said.contains("error while linting"), "{said}");
    Ok(())
}

/// The sockets of a process, by inode.
fn sockets(pid: u64) -> Result<Vec<String>> {
    let mut inodes = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let target = fs::read_link(entry?.path()).unwrap_or_default();
        let target = target.to_string_lossy();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inodes.extend(inode.map(str::to_owned));
    }
    Ok(inodes)
}

fn quiet(world: &World) -> Result<()> {
    let doveblock = start(world, &[])?;
    let pid = doveblock.json(&["status"])?["pid"].as_u64().context("no pid")?;
    let own = sockets(pid)?;
    ensure!(!own.is_empty(), "it has no socket at all");
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"] {
        // The tenth column is the inode.
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}"))?;
        let others = text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(9));
        let found: Vec<&str> = others.filter(|inode| own.iter().any(|own| own == inode)).collect();
        ensure!(found.is_empty(), "{table}: {found:?}");
    }
    Ok(())
}

fn group(world: &World) -> Result<()> {
    let (refused, said) = run_to_end(world, &log(world), &["--socket-group", "no-such-group"])?;
    ensure!(refused == 2 && said.contains("no-such-group"), "{said}");
    let _doveblock = start(world, &["--socket-group", "daemon"])?;
    let found = fs::metadata(socket(world))?;
    let daemon = run(command("getent").args(["group", "daemon"]))?;
    let gid: u32 = daemon.split(':').nth(2).context("no gid")?.parse()?;
    ensure!((found.gid(), found.permissions().mode() & 0o777) == (gid, 0o660), "{found:?}");
    Ok(())
}

fn layout(world: &World) -> Result<()> {
    let doveblock = start(world, &[])?;
    doveblock.expect(&["ban", "203.0.113.1", "203.0.113.2"])?;
    let said = doveblock.expect(&["status", "dovecot"])?;
    let file = log(world).display().to_string();
    for line in [
        "Status for the jail: dovecot",
        "|- Filter",
        "|  |- Currently failed:\t0",
        "|  |- Total failed:\t0",
        &format!("|  `- File list:\t{file}"),
        "|  |- Currently banned:\t2",
        "|  `- Banned IP list:\t203.0.113.1 203.0.113.2",
    ] {
        ensure!(said.lines().any(|of| of == line), "no {line:?} in\n{said}");
    }
    Ok(())
}

/// `top` on a terminal of its own, made by script(1), which says the rest to `path`.
fn top_on_a_terminal(world: &World, path: &Path) -> Command {
    let mut script = command("script");
    let top = format!(
        "stty rows 24 cols 80; exec {} top --interval 0.1 --socket {}",
        binary().display(),
        socket(world).display()
    );
    script.args(["--quiet", "--flush", "--return", "--command", &top]).arg(path);
    script
}

fn top(world: &World) -> Result<()> {
    const LEAVE: &str = "\x1b[?1049l";
    let refused = fed(world, &["top"], "")?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(1) && said.contains("doveblock run"), "{said}");
    let doveblock = start(world, &[])?;
    let refused = fed(world, &["top"], "")?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(2) && said.contains("needs a terminal"), "{said}");
    doveblock.expect(&["ban", "203.0.113.1"])?;
    let seen = world.claim.dir().join("typescript");
    let shown = |part: &str| {
        wait::until(LIMIT, &format!("{part:?} on the screen"), || {
            let text = fs::read(&seen).unwrap_or_default();
            Ok(String::from_utf8_lossy(&text).contains(part).then_some(()))
        })
    };
    // Quit by a key.
    let mut command = top_on_a_terminal(world, &seen);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let ended = shown("203.0.113.1").and_then(|()| {
        let mut keys = child.stdin.take().context("no keyboard")?;
        keys.write_all(b"q")?;
        shown(LEAVE)?;
        wait::until(LIMIT, "top to end", || Ok(child.try_wait()?))
    });
    if ended.is_err() {
        let _gone = child.kill();
    }
    ensure!(ended?.success());
    fs::remove_file(&seen)?;
    // Ended by a signal.
    let log = File::create(world.claim.dir().join("script.log"))?;
    let mut script = Process::spawn("script", &top_on_a_terminal(world, &seen), &log)?;
    shown("203.0.113.1")?;
    let top = child_of(script.id())?.context("no top")?;
    rustix::process::kill_process(top, Signal::TERM)?;
    shown(LEAVE)?;
    let status = wait::until(LIMIT, "top to end", || script.ended())?;
    ensure!(code(status) == 0, "{status}");
    Ok(())
}

fn child_of(pid: u32) -> Result<Option<rustix::process::Pid>> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let first = children.split_whitespace().next().map(str::parse).transpose()?;
    Ok(first.and_then(rustix::process::Pid::from_raw))
}

fn alerts(_: &World) -> Result<()> {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/prometheus/doveblock.rules.yml");
    run(command("promtool").args(["check", "rules", rules]))?;
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/alerts.yml");
    run(command("promtool").args(["test", "rules", cases])).map(drop)
}
