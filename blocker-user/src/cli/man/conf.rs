//! doveblock.conf(5), of the same table as docs/config.md, and what pages refer to.

use roff::{Roff, bold, italic, roman};

use crate::config::{Fail2ban, OPTIONS, Settings, UNUSED};

const SYNTAX: [&str; 4] = [
    "doveblock reads /etc/doveblock/doveblock.conf and then /etc/doveblock/doveblock.d/*.conf in the \
     order of their names; either may be missing. `doveblock check` says what all of it comes to, and \
     everything that is wrong with it.",
    "The syntax is that of fail2ban's jail.conf. Options in the section [DEFAULT] hold unless the \
     section [dovecot] has them too, wherever the two are written; later files override earlier ones, \
     and flags of the command line override files.",
    "An indented line continues the value above it. A # or ; begins a comment at the start of a line; \
     behind a value only a ; after a blank does. %(name)s stands for another option, and %% for a %.",
    "Times are seconds, or numbers with units: 10m, 1h, 1d 12h.",
];

pub(super) fn page() -> String {
    let mut roff = Roff::new();
    let source = format!("doveblock {}", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["doveblock.conf", "5", "", &source, super::MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("doveblock.conf - configuration of doveblock")]);
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in SYNTAX {
        roff.control("PP", []);
        roff.text([roman(paragraph)]);
    }
    roff.control("SH", ["OPTIONS"]);
    let defaults = Settings::default();
    for option in &OPTIONS {
        roff.control("TP", []);
        roff.text([bold(option.name)]);
        let default = match option.shown(&defaults) {
            empty if empty.is_empty() => String::new(),
            value => format!(" Default: {value}."),
        };
        let fail2ban = match option.fail2ban {
            Fail2ban::Same => "",
            Fail2ban::InFilter => " In fail2ban it is a part of filter.",
            Fail2ban::Unlike => " It is not read from fail2ban's files.",
            Fail2ban::Unknown => " fail2ban has no such option.",
        };
        let text = format!("{}. Takes {}.{default}{fail2ban}", plain(option.doc), option.takes);
        roff.text([roman(text)]);
    }
    roff.control("SH", ["OPTIONS OF FAIL2BAN WITHOUT A USE HERE"]);
    for (names, why) in UNUSED {
        roff.control("TP", []);
        roff.text([bold(names.join(", "))]);
        roff.text([roman(format!("{}.", plain(why)))]);
    }
    roff.control("SH", ["FILES"]);
    for (file, what) in [
        ("/etc/doveblock/doveblock.conf", "the configuration"),
        ("/etc/doveblock/doveblock.d/*.conf", "what overrides it"),
    ] {
        roff.control("TP", []);
        roff.text([italic(file)]);
        roff.text([roman(what)]);
    }
    refer(&mut roff, &["doveblock(8)", "doveblock-check(8)"]);
    roff.to_roff()
}

/// Adds what else to read to the page of a verb.
pub(super) fn see_also(text: &mut Vec<u8>, name: &str) {
    let mut roff = Roff::new();
    match name {
        "doveblock" => refer(&mut roff, &["doveblock-run(8)", "doveblock.conf(5)"]),
        _ => refer(&mut roff, &["doveblock(8)", "doveblock.conf(5)"]),
    }
    text.extend(roff.to_roff().bytes());
}

fn refer(roff: &mut Roff, pages: &[&str]) {
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(pages.join(", "))]);
}

/// The table is written for Markdown.
fn plain(text: &str) -> String {
    text.replace('`', "").replace("\\|", "|")
}
