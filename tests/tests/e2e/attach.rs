//! Interfaces: taken, renamed, gone and back; and starts that fail with some of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    client::Client,
    doveblock::{Doveblock, binary, dump, is_attached, run_to_end},
    greeter::Greeter,
    holder::Holder,
    needs,
    netns::{ATTACKER, Family, USER, World},
    other::Other,
    process::{Process, run},
    recording::Recording,
    wait::{self, LIMIT},
};
use libtest_mimic::Trial;
use serde_json::json;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("an_interface_that_goes_and_returns_is_guarded_again", &[], gone_and_back),
        trial("an_interface_that_comes_later_is_guarded", &[], later),
        trial("who_takes_the_name_of_a_renamed_interface_is_guarded_too", &[], successor),
        trial("a_new_interface_is_guarded_before_the_next_poll", &[], at_once),
        trial("bans_drop_packets_on_an_interface_that_came_late_or_back", &[], drops_again),
        trial("who_was_detached_leaves_the_pins_of_its_successor_alone", &[], detached),
        trial("a_bridge_has_no_native_mode_and_its_ports_have", &[], bridge),
        trial("jumbo_frames_pass_in_native_mode_and_bans_hold", &[], jumbo),
        trial("a_renamed_interface_is_taken_over_under_its_new_name", &[], renamed),
        trial("a_failed_restart_leaves_what_was_in_force", BPFTOOL, failed_restart),
        trial("whatever_descriptor_is_the_last_nothing_is_left", &[], descriptors),
        trial("a_program_in_the_way_is_told_by_how_it_is_attached", BPFTOOL, in_the_way),
        trial("a_dispatcher_that_cannot_be_joined_is_told_with_the_reason", LIBXDP, dispatcher),
        trial("another_mode_than_the_attached_one_is_said", &[], other_mode),
        trial("a_tunnel_is_refused", &[], tunnel),
    ]
}

const BPFTOOL: &[fn() -> Option<String>] = &[needs::missing_bpftool];
const LIBXDP: &[fn() -> Option<String>] = &[needs::missing_bpftool, needs::missing_libxdp];

fn log(world: &World) -> Result<PathBuf> {
    let log = world.claim.dir().join("mail.log");
    Recording::new(&log).append("")?;
    Ok(log)
}

/// Has `ip` do something in the server's namespace.
fn ip(world: &World, words: &str) -> Result<()> {
    run(world.server.command("ip").args(words.split_whitespace())).map(drop)
}

fn guarded(doveblock: &Doveblock<'_>) -> Result<serde_json::Value> {
    Ok(doveblock.json(&["status"])?["interfaces"].clone())
}

fn gone_and_back(world: &World) -> Result<()> {
    let log = log(world)?;
    ip(world, "link add wan0 type veth peer name far0")?;
    let mut doveblock = Doveblock::start(world, &log, &["-i", "wan0", "-i", "mail0"])?;
    ensure!(guarded(&doveblock)? == json!(["mail0", "wan0"]));
    for _ in 0..2 {
        ip(world, "link delete wan0")?;
        ensure!(guarded(&doveblock)? == json!(["mail0"]), "a lost interface counts as guarded");
        doveblock.wait_for(&["ERROR", "wan0", "is gone"])?;
        ip(world, "link add wan0 type veth peer name far0")?;
        doveblock.wait_for(&["wan0", "is back and guarded again"])?;
        ensure!(guarded(&doveblock)? == json!(["mail0", "wan0"]));
    }
    let said = doveblock.whole_log().matches("is gone").count();
    ensure!(said == 2, "said {said} times that it is gone, which it was twice");
    // What an admin takes away stays away.
    doveblock.expect(&["detach"])?;
    doveblock.wait_for(&["ERROR", "detached"])?;
    ensure!(!is_attached(world)? && !world.claim.pins().exists());
    Ok(())
}

fn later(world: &World) -> Result<()> {
    let log = log(world)?;
    // A name that nobody has is a slip of the pen, if nothing else is there to guard.
    let (code, said) = run_to_end(world, &log, &["-i", "wan0"])?;
    ensure!(code == 2 && said.contains("mail0"), "{code}: {said}");
    let mut doveblock = Doveblock::start(world, &log, &["-i", "wan0", "-i", "mail0"])?;
    let said = doveblock.wait_for(&["ERROR", "wan0", "does not exist"])?;
    ensure!(!said.contains("did you mean"), "{said}");
    ensure!(guarded(&doveblock)? == json!(["mail0"]));
    ip(world, "link add wan0 type veth peer name far0")?;
    doveblock.wait_for(&["wan0", "is there now, and guarded"])?;
    ensure!(guarded(&doveblock)? == json!(["mail0", "wan0"]));
    Ok(())
}

fn successor(world: &World) -> Result<()> {
    let log = log(world)?;
    ip(world, "link add wan0 type veth peer name far0")?;
    let mut doveblock = Doveblock::start(world, &log, &["-i", "wan0"])?;
    ip(world, "link set wan0 name wan1")?;
    doveblock.wait_for(&["wan0", "is called wan1 now"])?;
    ip(world, "link add wan0 type veth peer name far1")?;
    doveblock.wait_for(&["wan0", "is back and guarded again"])?;
    ensure!(guarded(&doveblock)? == json!(["wan0", "wan1"]));
    Ok(())
}

/// The pins that it would remove at its end are those of another daemon by now.
fn detached(world: &World) -> Result<()> {
    let log = log(world)?;
    let config = world.claim.dir().join("doveblock.conf");
    fs::write(&config, "[dovecot]\non_stop = detach\n")?;
    let mut first = Doveblock::start(world, &log, &["--config", &config.to_string_lossy()])?;
    first.expect(&["detach"])?;
    first.wait_for(&["ERROR", "detached"])?;
    let _imap = Greeter::start(world, 143)?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    let second = Other::with_pins(world, world.claim.pins(), "mail0", &[])?;
    second.ban(world, attacker.address().to_string())?;
    attacker.shut_out(143)?;
    ensure!(first.stop()? == 0);
    ensure!(is_attached(world)? && world.claim.pins().exists());
    attacker.shut_out(143)?;
    drop(second);
    Ok(())
}

/// Word from the kernel, and not the look every two seconds.
fn at_once(world: &World) -> Result<()> {
    const BOUND: std::time::Duration = std::time::Duration::from_millis(1000);
    let log = log(world)?;
    let doveblock = Doveblock::start(world, &log, &[])?;
    for _ in 0..5 {
        ip(world, "link delete mail0")?;
        ip(world, "link add mail0 type veth peer name far0")?;
        wait::until(
            BOUND,
            "the new mail0 to be guarded",
            || Ok(is_attached(world)?.then_some(())),
        )?;
    }
    drop(doveblock);
    Ok(())
}

/// The wire is made anew, and with it the interface.
fn drops_again(world: &World) -> Result<()> {
    let log = log(world)?;
    ip(world, "link add wan0 type veth peer name far0")?;
    ip(world, "link delete mail0")?;
    let _imap = Greeter::start(world, 143)?;
    let mut doveblock = Doveblock::start(world, &log, &["-i", "wan0", "-i", "mail0"])?;
    doveblock.wait_for(&["ERROR", "mail0", "does not exist"])?;
    let attackers = [Family::V4, Family::V6].map(|family| Client::new(world, ATTACKER, family));
    for attacker in &attackers {
        doveblock.expect(&["ban", &attacker.address().to_string()])?;
    }
    for said in ["is there now, and guarded", "is back and guarded again"] {
        world.connect()?;
        doveblock.wait_for(&["mail0", said])?;
        Client::new(world, USER, Family::V4).probe(143)?;
        for attacker in &attackers {
            attacker.shut_out(143)?;
        }
        ip(world, "link delete mail0")?;
        doveblock.wait_for(&["ERROR", "mail0", "is gone"])?;
    }
    Ok(())
}

/// The address is the bridge's; packets come in by its port.
fn bridge(world: &World) -> Result<()> {
    let log = log(world)?;
    ip(world, "link add br0 type bridge")?;
    ip(world, "link set mail0 master br0")?;
    ip(world, "link set br0 up")?;
    ip(world, "addr flush dev mail0")?;
    ip(world, "addr add 192.0.2.1/24 dev br0")?;
    let _imap = Greeter::start(world, 143)?;
    let attacker = Client::new(world, ATTACKER, Family::V4);

    let (code, said) = run_to_end(world, &log, &["-i", "br0", "--xdp-mode", "native"])?;
    ensure!(code == 2 && said.contains("its driver has none"), "{code}: {said}");
    ensure!(said.contains("in the kernel's words: "), "{said}");
    ensure!(said.contains("its packets come in by mail0"), "{said}");
    // The order on the command line is not the one that the kernel wants.
    let doveblock = Doveblock::start(world, &log, &["-i", "br0", "-i", "mail0"])?;
    ensure!(guarded(&doveblock)? == json!(["br0", "mail0"]));
    ensure!(doveblock.whole_log().contains("not both"), "{}", doveblock.whole_log());
    doveblock.stop()?;
    Doveblock::start(world, &log, &["-i", "br0"])?.stop()?;
    let (code, said) = run_to_end(world, &log, &["-i", "mail0"])?;
    ensure!(code == 2 && said.contains("is a part of br0, which has"), "{code}: {said}");
    blocker_tests::doveblock::verb(world, &["detach"])?;
    for (interface, mode) in [("br0", "generic"), ("mail0", "native")] {
        let mut doveblock = Doveblock::spawn(world, &log, &["-i", interface])?;
        if mode == "generic" {
            doveblock.wait_for(&["WARN", "br0: no native XDP", "its driver has none"])?;
        }
        doveblock.wait_for(&[interface, "attached in", mode])?;
        doveblock.wait_for(&["ready"])?;
        attacker.probe(143)?;
        doveblock.expect(&["ban", &attacker.address().to_string()])?;
        attacker.shut_out(143)?;
        Client::new(world, USER, Family::V4).probe(143)?;
        doveblock.expect(&["detach"])?;
    }
    Ok(())
}

fn jumbo(world: &World) -> Result<()> {
    let log = log(world)?;
    for (namespace, link) in [(&world.server, "mail0"), (&world.client, "net0")] {
        run(namespace.command("ip").args(["link", "set", link, "mtu", "9000"]))?;
    }
    let _imap = Greeter::start(world, 143)?;
    let doveblock = Doveblock::start(world, &log, &["--xdp-mode", "native"])?;
    let attacker = Client::new(world, ATTACKER, Family::V4);
    doveblock.expect(&["ban", &attacker.address().to_string()])?;
    attacker.shut_out(143)?;
    let holder = Holder::listen(world, std::net::Ipv4Addr::UNSPECIFIED.into(), 110)?;
    let mut held = holder.hold(&Client::new(world, USER, Family::V4))?;
    held.expect_transfer(1 << 20)
}

fn renamed(world: &World) -> Result<()> {
    let log = log(world)?;
    ip(world, "link add wan0 type veth peer name far0")?;
    let doveblock = Doveblock::start(world, &log, &["-i", "wan0"])?;
    doveblock.expect(&["ban", "203.0.113.1"])?;
    doveblock.kill()?;
    ip(world, "link set wan0 name wan1")?;
    ip(world, "link property add dev wan1 altname the-internet")?;
    let links = || ["link_wan0", "link_wan1"].map(|name| world.claim.pins().join(name).exists());
    for names in [&["-i", "wan1"][..], &["-i", "the-internet", "-i", "wan1"]] {
        let mut doveblock = Doveblock::spawn(world, &log, names)?;
        doveblock.wait_for(&["wan1", "replaced the attached program"])?;
        doveblock.wait_for(&["ready"])?;
        ensure!(guarded(&doveblock)? == json!(["wan1"]));
        ensure!(doveblock.listed("203.0.113.1")?.is_some());
        ensure!(links() == [false, true], "{:?}", links());
        doveblock.stop()?;
    }
    // The old name given to another interface is another interface.
    ip(world, "link add wan0 type veth peer name far1")?;
    let doveblock = Doveblock::start(world, &log, &["-i", "wan0"])?;
    ensure!(guarded(&doveblock)? == json!(["wan0"]));
    ensure!(links() == [true, false], "{:?}", links());
    Ok(())
}

/// The id of the program on the server's interface.
fn program(world: &World) -> Result<u64> {
    let mut ip = world.server.command("ip");
    let text = run(ip.args(["-json", "link", "show", "dev", "mail0"]))?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    links[0]["xdp"]["prog"]["id"].as_u64().with_context(|| format!("no program in {text}"))
}

fn pins(world: &World) -> Result<Vec<String>> {
    let names = fs::read_dir(world.claim.pins())?;
    let names = names.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn failed_restart(world: &World) -> Result<()> {
    let log = log(world)?;
    let _sieve = Greeter::start(world, 4190)?;
    let doveblock = Doveblock::start(world, &log, &[])?;
    let clients = [Family::V4, Family::V6].map(|family| Client::new(world, ATTACKER, family));
    for client in &clients {
        doveblock.expect(&["ban", &client.address().to_string()])?;
    }
    doveblock.kill()?;
    let before = (dump(world, "ports")?, dump(world, "allow")?, pins(world)?, program(world)?);
    // Another program holds the last interface.
    let others = Other::start(world, "lo", &[])?;
    let options = ["-i", "mail0", "-i", "lo", "--port", "80", "--ipv6-prefix", "48"];
    let (code, said) = run_to_end(world, &log, &options)?;
    ensure!(code == 2 && said.contains("another XDP program"), "{code}: {said}");
    let after = (dump(world, "ports")?, dump(world, "allow")?, pins(world)?, program(world)?);
    ensure!(before == after, "{before:?}\nbecame\n{after:?}");
    for client in &clients {
        client.shut_out(4190)?;
    }
    drop(others);
    Ok(())
}

/// One more descriptor each time, until they are enough.
fn descriptors(world: &World) -> Result<()> {
    let log = log(world)?;
    let mut refused = 0;
    for first in [true, false] {
        if !first {
            Doveblock::start(world, &log, &[])?.stop()?;
        }
        let before = (!first).then(|| Ok::<_, anyhow::Error>((pins(world)?, program(world)?)));
        let before = before.transpose()?;
        for limit in 8..100 {
            let started = with_descriptors(world, &log, limit)?;
            if started {
                break;
            }
            refused += 1;
            match &before {
                None => {
                    ensure!(!world.claim.pins().exists(), "{limit} descriptors leave pins");
                    // The kernel frees a link a moment after its last holder is gone.
                    wait::until(LIMIT, "the interface to be free", || {
                        Ok((!is_attached(world)?).then_some(()))
                    })?;
                }
                Some(before) => {
                    let after = (pins(world)?, program(world)?);
                    ensure!(*before == after, "{limit} descriptors: {before:?} became {after:?}");
                }
            }
        }
        blocker_tests::doveblock::verb(world, &["detach"])?;
    }
    ensure!(refused > 10, "only {refused} starts failed");
    Ok(())
}

/// Whether doveblock starts with so few descriptors.
fn with_descriptors(world: &World, log: &Path, limit: u32) -> Result<bool> {
    let mut command = world.server.command("prlimit");
    command.arg(format!("--nofile={limit}")).arg("--").arg(binary());
    command.args(["run", "-i", "mail0", "--log"]).arg(log);
    command.arg("--pin-dir").arg(world.claim.pins());
    command.arg("--socket").arg(world.claim.dir().join("few.sock"));
    let said = world.claim.dir().join("few.log");
    let mut process = Process::spawn("doveblock", &command, &fs::File::create(&said)?)?;
    wait::until(LIMIT, "doveblock to start or end", || {
        let text = fs::read_to_string(&said)?;
        // Neither a panic, nor advice that would open the interface, nor the verifier's words.
        for wrong in ["panicked", "another XDP program", "Verifier output"] {
            ensure!(!text.contains(wrong), "{limit} descriptors: {text}");
        }
        if process.ended()?.is_some() {
            return Ok(Some(false));
        }
        Ok(text.contains("ready: ").then_some(true))
    })
}

fn in_the_way(world: &World) -> Result<()> {
    let log = log(world)?;
    // By a link, in the other mode.
    let other = Other::start(world, "mail0", &["--xdp-mode", "generic"])?;
    let (code, said) = run_to_end(world, &log, &["--xdp-mode", "native"])?;
    ensure!(code == 2 && said.contains("another XDP program"), "{code}: {said}");
    ensure!(said.contains("by BPF link") && said.contains("bpftool -f link show id"), "{said}");
    drop(other);
    // By netlink, as `ip link` and most tools do.
    let other = Other::start(world, "lo", &[])?;
    let program = other.pins().join("doveblock");
    // No link holds the program any more, its pin does.
    fs::remove_file(other.pins().join("link_lo"))?;
    for (how, off) in [("xdpgeneric", "xdpgeneric off"), ("xdpdrv", "xdpdrv off")] {
        let mut bpftool = world.server.command("bpftool");
        run(bpftool.args(["net", "attach", how, "pinned"]).arg(&program).args(["dev", "mail0"]))?;
        let (code, said) = run_to_end(world, &log, &[])?;
        let advice = format!("ip link set dev mail0 {off}");
        ensure!(code == 2 && said.contains("another XDP program"), "{code}: {said}");
        ensure!(said.contains(&advice), "no {advice:?} in {said}");
        ip(world, &format!("link set dev mail0 {off}"))?;
    }
    Doveblock::start(world, &log, &[])?;
    Ok(())
}

/// One that libxdp did not set up, so that it has no configuration. Where it has,
/// `cargo xtask vm` joins it: not every kernel that this runs on can do that.
fn dispatcher(world: &World) -> Result<()> {
    let log = log(world)?;
    let pins = world.claim.pins().with_file_name(format!("{}-libxdp", world.claim.name()));
    let mut bpftool = world.server.command("bpftool");
    run(bpftool.args(["prog", "loadall", needs::LIBXDP_DISPATCHER]).arg(&pins))?;
    let tried = (|| {
        let mut bpftool = world.server.command("bpftool");
        let program = pins.join("xdp_dispatcher");
        run(bpftool.args(["net", "attach", "xdp", "pinned"]).arg(program).args(["dev", "mail0"]))?;
        run_to_end(world, &log, &[])
    })();
    fs::remove_dir_all(&pins)?;
    let (code, said) = tried?;
    for part in ["libxdp's dispatcher", "version 2 or 3", "xdp-loader unload mail0 --all"] {
        ensure!(code == 2 && said.contains(part), "{code}, no {part:?} in: {said}");
    }
    ensure!(!world.claim.pins().exists(), "it left pins");
    Ok(())
}

fn other_mode(world: &World) -> Result<()> {
    let log = log(world)?;
    Doveblock::start(world, &log, &["--xdp-mode", "native"])?.stop()?;
    let mut doveblock = Doveblock::spawn(world, &log, &["--xdp-mode", "generic"])?;
    let said = doveblock.wait_for(&["WARN", "stays in native mode"])?;
    let pin = world.claim.pins().join("link_mail0");
    ensure!(said.contains(&pin.display().to_string()), "{said}");
    doveblock.wait_for(&["ready"])?;
    doveblock.stop()?;
    // What it says works.
    fs::remove_file(pin)?;
    let mut doveblock = Doveblock::spawn(world, &log, &["--xdp-mode", "generic"])?;
    doveblock.wait_for(&["attached in generic mode"])?;
    Ok(())
}

fn tunnel(world: &World) -> Result<()> {
    let log = log(world)?;
    ip(world, "tuntap add dev tun0 mode tun")?;
    let (code, said) = run_to_end(world, &log, &["-i", "mail0", "-i", "tun0"])?;
    ensure!(code == 2 && said.contains("tun0 is no Ethernet device"), "{code}: {said}");
    ensure!(!is_attached(world)? && !world.claim.pins().exists());
    Ok(())
}
