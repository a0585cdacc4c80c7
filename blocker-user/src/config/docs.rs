//! docs/config.md, written from the table of options.

use std::fmt::Write as _;

use super::{
    options::{Fail2ban, OPTIONS},
    settings::Settings,
    unused::UNUSED,
};

const INTRODUCTION: &str = "\
# Configuration

doveblock reads `/etc/doveblock/doveblock.conf`, then `/etc/doveblock/doveblock.d/*.conf` in the
order of their names; either may be missing. `--config FILE` reads FILE and `*.conf` of the directory
beside it that is called like it but ends in `.d`. With `--fail2ban DIR` fail2ban's own tree is read
instead (jail.conf, jail.d/*.conf, jail.local, jail.d/*.local), and our file only if `--config` names it.
Flags of the command line override files. `doveblock check` says what all of it comes to.

The syntax is fail2ban's: options in `[DEFAULT]` hold unless `[dovecot]` has them too, wherever the two
are written; later files override earlier ones; an indented line continues the value above it; `#` and `;`
begin a comment at the start of a line, and only ` ;` does behind a value. `%(name)s` stands for another
option, `%(known/name)s` for what an earlier file set in the same section, `%(default/name)s` for what
`[DEFAULT]` has, and `%%` for a `%`. `[INCLUDES]` takes `before` and `after`. An option may be written
twice in different files, but not in one. Names of your own are welcome if another value refers to them.

";

/// The whole document.
#[must_use]
pub fn markdown() -> String {
    let defaults = Settings::default();
    let mut text = INTRODUCTION.to_owned();
    text.push_str(
        "| option | takes | default | what it does | in fail2ban |\n|---|---|---|---|---|\n",
    );
    for option in &OPTIONS {
        let default = match option.shown(&defaults) {
            empty if empty.is_empty() => "–".to_owned(),
            value => format!("`{value}`"),
        };
        let fail2ban = match option.fail2ban {
            Fail2ban::Same => "the same",
            Fail2ban::InFilter => "the same, by way of `filter`",
            Fail2ban::Unlike => "not read from its files",
            Fail2ban::Unknown => "doveblock only",
        };
        // Writing to a string cannot fail.
        let _infallible = writeln!(
            text,
            "| `{}` | {} | {default} | {} | {fail2ban} |",
            option.name, option.takes, option.doc
        );
    }
    text.push_str(
        "\n## Options of fail2ban without a use here\n\nThey may be set; doveblock says once that it \
         does not use them.\n\n| options | because |\n|---|---|\n",
    );
    for (names, why) in UNUSED {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let _infallible = writeln!(text, "| {} | {why} |", names.join(", "));
    }
    text
}
