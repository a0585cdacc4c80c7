//! Wrong flags and wrong places: one clear sentence, the right exit code, nothing attached.

use anyhow::{Result, ensure};
use blocker_tests::{
    doveblock::{Doveblock, is_attached, run_to_end},
    netns::World,
    process::run,
    recording::Recording,
};
use libtest_mimic::Trial;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("wrong_flags_are_named", &[], flags),
        trial("an_unknown_interface_is_named_and_nothing_is_pinned", &[], interface),
        trial("a_second_daemon_on_the_same_pins_is_refused", &[], second),
        trial("a_foreign_xdp_program_is_not_replaced", &[], foreign),
        trial("without_capabilities_it_says_which", &[], capabilities),
    ]
}

/// Expects `doveblock run` to end with `code`, one line of `words`, and no trace of itself.
fn refused(world: &World, options: &[&str], code: i32, words: &[&str]) -> Result<()> {
    let (found, said) = run_to_end(world, &world.claim.dir().join("mail.log"), options)?;
    ensure!(found == code, "{options:?}: exit code {found}, expected {code}: {said}");
    for word in words {
        ensure!(said.contains(word), "{options:?}: no {word:?} in {said}");
    }
    ensure!(!is_attached(world)? && !world.claim.pins().exists(), "{options:?} left a trace");
    Ok(())
}

fn flags(world: &World) -> Result<()> {
    let cases: [(&[&str], &[&str]); 11] = [
        (&["--findtime", "soon"], &["--findtime", "soon", "10m"]),
        (&["--bantime", "0"], &["--bantime", "-1"]),
        (&["--maxretry", "0"], &["--maxretry"]),
        (&["--mode", "extra"], &["--mode", "aggressive"]),
        (&["--ignoreip", "10.0.0.0/8 300.1.1.1"], &["--ignoreip", "300.1.1.1"]),
        (&["--port", "http"], &["--port", "http"]),
        (&["--ipv6-prefix", "129"], &["--ipv6-prefix", "129"]),
        (&["--nonsense"], &["--nonsense"]),
        (&["--log", "journal:"], &["neither a directory", "nor a unit"]),
        (&["--log", "/"], &["directory"]),
        (&["--log", "/dev/null"], &["a device", "--log - < /dev/null"]),
    ];
    cases.into_iter().try_for_each(|(options, words)| refused(world, options, 2, words))
}

fn interface(world: &World) -> Result<()> {
    refused(world, &["-i", "nope0"], 2, &["nope0", "mail0"])?;
    // In this world there is no default route.
    let mut command = world.server.command(&blocker_tests::doveblock::binary().to_string_lossy());
    let output = command.args(["run", "--log", "/nowhere"]).output()?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    ensure!(String::from_utf8_lossy(&output.stderr).contains("-i"), "{output:?}");
    Ok(())
}

fn second(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    Recording::new(&log).append("")?;
    let first = Doveblock::start(world, &log, &[])?;
    let (code, said) = run_to_end(world, &log, &[])?;
    ensure!(code == 2 && said.contains("another doveblock"), "{code}: {said}");
    // The same with another socket, so that only the pins collide.
    let other = world.claim.dir().join("other.sock");
    let options = ["--socket", &other.to_string_lossy()];
    let (code, said) = run_to_end(world, &log, &options)?;
    ensure!(code == 2, "{code}: {said}");
    first.expect(&["ban", "203.0.113.1"])?;
    ensure!(is_attached(world)?, "the second daemon detached the first");
    Ok(())
}

fn foreign(world: &World) -> Result<()> {
    let log = world.claim.dir().join("mail.log");
    Recording::new(&log).append("")?;
    let _first = Doveblock::start(world, &log, &[])?;
    let pins = world.claim.pins().with_extension("other").to_string_lossy().replace('.', "-");
    let socket = world.claim.dir().join("other.sock");
    let options = ["--pin-dir", &pins, "--socket", &socket.to_string_lossy()];
    let mut command = world.server.command(&blocker_tests::doveblock::binary().to_string_lossy());
    let output = command.args(["run", "-i", "mail0", "--log"]).arg(&log).args(options).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2), "{said}");
    ensure!(said.contains("another XDP program") && said.contains("mail0"), "{said}");
    ensure!(!std::path::Path::new(&pins).exists(), "pins of the refused start are left");
    Ok(())
}

fn capabilities(world: &World) -> Result<()> {
    let socket = world.claim.dir().join("x.sock").display().to_string();
    let root_without = ["--bounding-set=-all", "--inh-caps=-all"];
    let nobody = ["--reuid=65534", "--clear-groups"];
    // Somebody else could not bind the usual socket either; that is not the cause to tell.
    for (who, places) in [(root_without, &["--socket", &socket][..]), (nobody, &[])] {
        let mut command = world.server.command("setpriv");
        command.args(who).arg("--").arg(blocker_tests::doveblock::binary());
        command.args(["run", "-i", "mail0", "--log", "/nowhere", "--pin-dir"]);
        let output = command.arg(world.claim.pins()).args(places).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
        ensure!(said.contains("CAP_BPF") && said.contains("CAP_NET_ADMIN"), "{said}");
    }
    // The same flags with capabilities work as far as the interface goes.
    run(world.server.command("ip").args(["link", "show", "mail0"])).map(drop)
}
