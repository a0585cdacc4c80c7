//! Devices that lie on others, where the kernel has them: VLANs and bonds. What is said of them
//! in docs/interfaces.md is shown here.

use anyhow::{Context as _, Result, ensure};
use blocker_tests::{
    client::Client,
    doveblock::{Doveblock, verb},
    greeter::Greeter,
    netns::{ATTACKER, Family, SECOND, SERVER, SERVER_LINK, World},
    process::run,
};
use rustix::system::uname;

use crate::drop::MAIL;

/// Has `ip` do one thing a line in the server's namespace.
fn server(world: &World, lines: &[&str]) -> Result<()> {
    lines.iter().try_for_each(|line| {
        run(world.server.command("ip").args(line.split_whitespace())).map(drop)
    })
}

/// A ban on `interface` holds, and the log says so: `mode` is the one it is attached in.
fn guards(world: &World, interface: &str, mode: &str) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    let mut doveblock = Doveblock::spawn(world, &log, &["-i", interface])?;
    doveblock.wait_for(&[interface, "attached in", mode])?;
    doveblock.wait_for(&["ready"])?;
    let [attacker, other] = [ATTACKER, SECOND].map(|host| Client::new(world, host, Family::V4));
    attacker.probe(MAIL)?;
    doveblock.expect(&["ban", &attacker.address().to_string()])?;
    attacker.shut_out(MAIL).with_context(|| format!("guarding {interface}"))?;
    other.probe(MAIL)?;
    ensure!(doveblock.stop()? == 0, "it does not stop well");
    attacker.shut_out(MAIL)?;
    let detached = verb(world, &["detach"])?;
    ensure!(detached.status.success(), "detach: {}", String::from_utf8_lossy(&detached.stderr));
    attacker.probe(MAIL).map(drop)
}

/// The addresses are in the VLAN; the parent guards it as well as the sub-interface does.
pub(crate) fn vlan() -> Result<String> {
    let world = World::new()?;
    let _mail = Greeter::start(&world, MAIL)?;
    server(
        &world,
        &[
            "link add link mail0 name mail0.5 type vlan id 5",
            "addr flush dev mail0",
            &format!("addr add {}/24 dev mail0.5", SERVER.v4),
            "link set mail0.5 up",
        ],
    )?;
    let mut lines = vec![
        "link add link net0 name net0.5 type vlan id 5".to_owned(),
        "addr flush dev net0".to_owned(),
        "link set net0.5 up".to_owned(),
    ];
    lines.extend([ATTACKER, SECOND].map(|host| format!("addr add {}/24 dev net0.5", host.v4)));
    for line in lines {
        run(world.client.command("ip").args(line.split_whitespace()))?;
    }
    guards(&world, SERVER_LINK, "native")?;
    guards(&world, "mail0.5", "generic")?;
    Ok("a ban holds in a VLAN by its parent (native) and by its sub-interface (generic)".to_owned())
}

/// From Linux 5.15 on a bond has its members run the program.
pub(crate) fn bond() -> Result<String> {
    let release = uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next(), numbers.next());
    let mode = if version >= (Some(5), Some(15)) { "native" } else { "generic" };
    let world = World::new()?;
    let _mail = Greeter::start(&world, MAIL)?;
    server(
        &world,
        &[
            "link set mail0 down",
            "link add bond9 type bond mode active-backup miimon 100",
            "link set mail0 master bond9",
            &format!("addr add {}/24 dev bond9", SERVER.v4),
            "link set bond9 up",
            "addr flush dev mail0",
        ],
    )?;
    guards(&world, "bond9", mode)?;
    let log = world.claim.dir().join("mail.log");
    let doveblock = Doveblock::start(&world, &log, &["-i", "bond9"])?;
    if mode == "native" {
        let (code, said) =
            blocker_tests::doveblock::run_to_end(&world, &log, &["-i", SERVER_LINK])?;
        ensure!(code == 2, "{code}: {said}");
    }
    drop(doveblock);
    Ok(format!("a ban holds on a bond, in {mode} mode"))
}
