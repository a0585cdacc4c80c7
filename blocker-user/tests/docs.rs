//! The pages of `docs/` that are made from the program: each is what it would be made to now.

use std::{env, fmt::Write as _, fs, path::Path};

use blocker_user::{
    config::{Fail2ban, OPTIONS, unused_options},
    dovecot::{Mode, Place, RULES, Rule},
};

const HEAD: &str = "\
# The rules

A line counts against an address if one of these rules finds its words. `normal` rules count
in both modes, `aggressive` rules in `mode = aggressive` only. This page is made from the table
that the program judges by; `doveblock rules` prints the same, `--format json` for programs.

Words mean something in one place only: a user name that looks like them counts for nothing.
Where Dovecot 2.4 writes an event code behind its words, the code is believed instead.

Accounts that may not log in do not count: `login disabled`, `user disabled`, `password expired`.
Guesses before them do where 2.4 says how many there were (`1/12 successful auths`, or
`user disabled, 12 attempts`, of which the last was at that account), if they were more than two.
2.3 gives no number there, so whoever ends a connection on an account of a `deny` passdb hides what
he guessed before. Set `auth_verbose = yes`: each wrong password then has a line of its own, and
counts by that.

## What a login takes back

With `count = attempts`, a login takes back the failures for its own name on its connection, three
at most: a typo before the right password, a password database that does not know the user before
one that does. PAM's own lines name no connection; those for that name from that address in the
three minutes before are taken back, unless their connection has ended since. Failures for other
names stay, or whoever has an account could guess at those of others for ever. So these stay too:

- of a name that Dovecot changes on the way, as an alias whose login names the account behind it.
  Only a domain may be added or left out. Where the first of two password databases knows no
  aliases, each login by one leaves an `unknown user` with `auth_verbose = yes`: leave that off,
  or put the database first that knows them;
- of a master whose password 2.4 checks in a worker (PAM, SQL): its lines do not tell that it was
  a master's.
";

fn place(place: Place) -> &'static str {
    match place {
        Place::Reason => "in the parentheses that give a login process's reason, from their start",
        Place::Cause => "in what a login process says of how the connection ended",
        Place::Head => "at the start of a login process's line that gives no reason",
        Place::Verdict => "at the start of what a password database found",
        Place::Pam => "in a PAM module's own line",
    }
}

fn codes(texts: &[&str]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("`{}`", text.trim_end())).collect();
    quoted.join(", ")
}

fn section(rule: &Rule) -> String {
    let mut text = format!("\n## {}\n\n", rule.name);
    let _ = writeln!(text, "- Mode: {}", rule.mode);
    let _ = writeln!(text, "- Words: {}, {}", codes(rule.words), place(rule.place));
    if !rule.codes.is_empty() {
        let _ = writeln!(text, "- Codes of 2.4: {}", codes(rule.codes));
    }
    let _ = writeln!(text, "- Source: {}\n\n```\n{}\n```", rule.source, rule.example);
    text
}

fn rules_page() -> String {
    let of = |mode: Mode| RULES.into_iter().filter(move |rule| rule.mode == mode).map(section);
    HEAD.to_owned() + &of(Mode::Normal).chain(of(Mode::Aggressive)).collect::<String>()
}

#[test]
fn the_page_about_the_rules_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
    let page = rules_page();
    if env::var_os("DOVEBLOCK_WRITE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/rules.md is not what the rules are; DOVEBLOCK_WRITE_DOCS=1 cargo test -p blocker-user --test docs writes it"
    );
}

/// `from-fail2ban.md` says of every option of fail2ban's what becomes of it, and the code agrees.
#[test]
fn the_table_for_those_who_come_from_fail2ban_is_what_the_code_does() {
    let page = include_str!("../../docs/from-fail2ban.md");
    let rows: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some((cells.next()?.trim_end_matches('`'), cells.next()?))
        })
        .collect();
    let said = |name: &str| rows.iter().find(|(option, _)| *option == name).map(|(_, here)| *here);
    for option in OPTIONS.iter().filter(|option| option.fail2ban != Fail2ban::Unknown) {
        let here = said(option.name);
        let expected: &[&str] = match (option.name, option.fail2ban) {
            ("bantime.formula", _) => &["not there"],
            (_, Fail2ban::Unlike) => &["not needed", "not there"],
            _ => &["same", "better"],
        };
        let is_right = here.is_some_and(|here| expected.contains(&here));
        assert!(is_right, "{}: the page says {here:?}, which is one of {expected:?}", option.name);
    }
    for name in unused_options() {
        let here = said(name);
        assert!(matches!(here, Some("not needed" | "not there")), "{name}: {here:?}");
    }
    for (name, _) in &rows {
        let is_ours = OPTIONS.iter().any(|option| option.name == *name);
        let is_unused = unused_options().any(|unused| unused == *name);
        let is_part = name.starts_with("action_") || name.starts_with("banaction_");
        assert!(is_ours || is_unused || is_part, "the code knows nothing of {name}");
    }
    // What a jail of fail2ban 1.0 and 1.1 can have, by its manual.
    for name in JAIL_OPTIONS {
        assert!(said(name).is_some(), "the page does not say what becomes of {name}");
    }
}

const JAIL_OPTIONS: [&str; 40] = [
    "enabled",
    "filter",
    "mode",
    "port",
    "protocol",
    "logpath",
    "backend",
    "journalmatch",
    "maxretry",
    "findtime",
    "bantime",
    "bantime.increment",
    "bantime.rndtime",
    "bantime.maxtime",
    "bantime.factor",
    "bantime.formula",
    "bantime.multipliers",
    "bantime.overalljails",
    "maxmatches",
    "maxlines",
    "usedns",
    "ignoreip",
    "ignoreself",
    "ignorecommand",
    "ignorecache",
    "ignoreregex",
    "failregex",
    "prefregex",
    "datepattern",
    "logencoding",
    "logtimezone",
    "action",
    "banaction",
    "banaction_allports",
    "chain",
    "destemail",
    "sender",
    "mta",
    "fail2ban_agent",
    "skip_if_nologs",
];

/// Every item of `check --live` is explained, and no other.
#[test]
fn the_page_about_trouble_has_every_check_there_is() {
    let page = include_str!("../../docs/troubleshooting.md");
    let start = page.find("| check | what is looked at").unwrap();
    let table = page.get(start..).unwrap().split("\n\n").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut explained: Vec<&str> = rows.collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/check/live");
    let mut checks = Vec::new();
    let mut directories = vec![source];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let named = text.split("const CHECK: &str = \"").skip(1);
            checks.extend(named.filter_map(|rest| Some(rest.split('"').next()?.to_owned())));
        }
    }
    checks.sort();
    checks.dedup();
    explained.sort_unstable();
    assert_eq!(explained, checks);
}
