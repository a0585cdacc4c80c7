//! Every command that README.md and docs/*.md show is run, in the order in which a page has them:
//! in a mount namespace with directories of its own and a network namespace with an `eth0`, a real
//! Dovecot and a second host. What cannot be run there is in [`ELSEWHERE`], with the test that
//! runs it. Commands inside of sentences are held against the help of their verb.

mod page;
mod stage;

use std::{collections::HashMap, fs, path::Path, sync::Mutex};

use anyhow::{Context as _, Result, bail, ensure};
use blocker_tests::{doveblock::binary, needs, netns::World, process::command};
use libtest_mimic::Trial;

use crate::trial;
use page::{Command, DIRECTION, Page, Where};
use stage::Stage;

/// Pages that begin with nothing: they start their own daemons.
const FROM_NOTHING: [&str; 1] = ["docs/getting-started.md"];

/// What is run by another test, or by nobody, and why: how such commands begin, the file of that
/// test, and what is named there.
const ELSEWHERE: [(&str, &str, &str); 14] = [
    ("cargo xtask run", "tests/tests/e2e/sandbox.rs", "fn trials"),
    ("cargo xtask package", "xtask/src/test.rs", "package::for_tests"),
    ("cargo xtask test", "xtask/src/test.rs", "pub(crate) fn all"),
    // Measures for minutes.
    (
        "cargo run --release -p blocker-user --example restore_bans",
        "blocker-user/examples/restore_bans.rs",
        "fn main",
    ),
    ("dpkg -i target/package/doveblock.deb", "tests/tests/package/life.rs", "doveblock.deb"),
    ("rpm -i target/package/doveblock.rpm", "tests/tests/package/contents.rs", "doveblock.rpm"),
    ("systemctl ", "tests/tests/package/life.rs", "systemctl"),
    ("journalctl -u doveblock", "tests/tests/package/life.rs", "journalctl"),
    (
        "cargo run --release -p blocker-user --example jail_memory",
        "blocker-user/examples/jail_memory.rs",
        "fn main",
    ),
    // A daemon of fail2ban's is not started: its judgement is asked for by line.
    ("fail2ban-client ", "tests/tests/e2e/oracle.rs", "fail2ban"),
    // Changes all of the host for a moment.
    ("sysctl ", "docs/bpftool.md", "kernel.bpf_stats_enabled=0"),
    // Both need the user and the group of the package.
    ("setfacl ", "packaging/deb/postinst", "doveblock"),
    ("adduser ", "packaging/deb/postinst", "adduser"),
    // A screen that waits for a key; a test presses it.
    ("doveblock top", "tests/tests/e2e/asked.rs", "top"),
];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// README.md and the pages of docs/.
fn pages() -> Result<Vec<Page>> {
    let mut names = vec!["README.md".to_owned()];
    for entry in fs::read_dir(root().join("docs"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.sort();
    names.into_iter().map(|name| Page::read(root(), &name)).collect()
}

const NEEDS: &[fn() -> Option<String>] =
    &[needs::missing_dovecot, needs::missing_bpftool, needs::missing_guides_tools];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("guides_name_no_flag_and_no_verb_that_there_is_not", &[], inline),
        trial("guides_are_linked_and_their_exceptions_are_tested", &[], links),
    ];
    let shown = |page: &Page| !page.commands.is_empty();
    for page in pages().unwrap_or_default().into_iter().filter(shown) {
        let stem = page.name.trim_end_matches(".md").replace("docs/", "");
        trials.push(crate::trial_of(
            &format!("guides_commands_of_{stem}_work"),
            NEEDS,
            move |world| walk(world, &page),
        ));
    }
    trials
}

fn walk(world: &World, page: &Page) -> Result<()> {
    let mut stage = Stage::set(world)?;
    if !FROM_NOTHING.contains(&page.name.as_str()) {
        stage.start("doveblock run -i eth0 --log /var/log/mail.log --mode aggressive")?;
        stage.run("doveblock ban 198.51.100.7 --for 1h", Where::Server)?;
    }
    for Command { line, text, place } in &page.commands {
        if ELSEWHERE.iter().any(|(start, ..)| text.starts_with(start)) {
            continue;
        }
        let done = match text.strip_prefix(DIRECTION) {
            Some(direction) => stage.act(direction),
            None if is_daemon(text) => stage.start(text),
            None => stage.run(text, *place),
        };
        done.with_context(|| format!("{}:{line}: {text}", page.name))?;
    }
    Ok(())
}

fn is_daemon(text: &str) -> bool {
    text.starts_with("doveblock run ") && !text.contains("--help")
}

/// `doveblock verb --flag` anywhere, not only where it is run.
fn inline(_world: &World) -> Result<()> {
    let mut faults = Vec::new();
    for page in pages()? {
        for (line, text) in &page.mentions {
            if let Err(error) = parses(text) {
                faults.push(format!("{}:{line}: `{text}`: {error}", page.name));
            }
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    // It must be able to fail.
    for wrong in
        ["doveblock sta", "doveblock list --colour", "doveblock check --life", "cargo xtask fly"]
    {
        ensure!(parses(wrong).is_err(), "{wrong} is taken for a command");
    }
    Ok(())
}

/// Whether its verb is one, and its flags are of this verb.
fn parses(text: &str) -> Result<()> {
    if let Some(task) = text.strip_prefix("cargo xtask") {
        return is_task(task.split_whitespace().next().unwrap_or("help"));
    }
    let mut words = text.split_whitespace().skip(1);
    let Some(verb) = words.next().map(|word| word.trim_end_matches([',', '.', ';', ':'])) else {
        return Ok(());
    };
    if verb.starts_with('-') || verb == "help" {
        return Ok(());
    }
    let help = help_of(verb)?;
    // Flags of what it is piped to are not its own.
    let own = words.take_while(|word| !["|", "||", "&&", ";"].contains(word));
    for flag in own.filter(|word| word.starts_with("--")) {
        let name: String =
            flag.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
        let is_one = help.split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)));
        ensure!(name == "--" || is_one.into_iter().any(|word| word == name), "has no {name}");
    }
    Ok(())
}

/// Whether `cargo xtask` has it: its tasks are the variants of an enum.
fn is_task(name: &str) -> Result<()> {
    let source = fs::read_to_string(root().join("xtask/src/main.rs"))?;
    let (_, tasks) = source.split_once("enum Task {").context("no tasks")?;
    let is_variant = |line: &str| {
        let variant = line.trim().trim_end_matches([' ', '{', ',']);
        variant.eq_ignore_ascii_case(name) && variant.starts_with(char::is_uppercase)
    };
    ensure!(tasks.lines().any(is_variant), "cargo xtask has no {name}");
    Ok(())
}

/// Each verb is asked once.
fn help_of(verb: &str) -> Result<String> {
    static KNOWN: Mutex<Option<HashMap<String, String>>> = Mutex::new(None);
    let mut known = KNOWN.lock().map_err(|error| anyhow::anyhow!("{error}"))?;
    let known = known.get_or_insert_default();
    if let Some(help) = known.get(verb) {
        return Ok(help.clone());
    }
    let asked = command(&binary().to_string_lossy()).args([verb, "--help"]).output()?;
    if !asked.status.success() {
        bail!("{}", String::from_utf8_lossy(&asked.stderr).lines().next().unwrap_or_default());
    }
    let help = String::from_utf8_lossy(&asked.stdout).into_owned();
    known.insert(verb.to_owned(), help.clone());
    Ok(help)
}

fn links(_world: &World) -> Result<()> {
    let pages = pages()?;
    let readme = pages.iter().find(|page| page.name == "README.md").context("no README.md")?;
    for page in &pages {
        let is_linked =
            page.name == "README.md" || readme.text.contains(&format!("({}", page.name));
        ensure!(is_linked, "README.md has no link to {}", page.name);
        for (line, target) in page.links() {
            let directory = Path::new(&page.name).parent().unwrap_or(Path::new(""));
            let file = root().join(directory).join(&target);
            ensure!(file.exists(), "{}:{line}: there is no {target}", page.name);
        }
    }
    for (start, file, word) in ELSEWHERE {
        let text = fs::read_to_string(root().join(file)).with_context(|| file.to_owned())?;
        ensure!(text.contains(word), "{file} does not run {start}: it has no {word:?}");
        let is_shown = |page: &Page| page.commands.iter().any(|it| it.text.starts_with(start));
        ensure!(pages.iter().any(is_shown), "no page has {start:?} any more: take it off the list");
    }
    Ok(())
}
