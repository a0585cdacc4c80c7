//! The options: one table, from which parsing, `check`, the hints in errors and
//! docs/config.md come. An option is added here, in `Settings`, and nowhere else.

use super::{
    Invalid, logs, parse_ignore_list, parse_listen, parse_ports,
    settings::{OnStop, Protocol, Regexes, Settings},
    text::Text,
    values::{
        self, boolean, name_of, number, one_of, parse_findtime, show_bantime, show_span, span,
    },
};
use crate::{
    dovecot::SessionCheck,
    firewall::{Action, XdpMode},
    jail::Count,
};

/// What fail2ban makes of an option of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fail2ban {
    Same,
    /// The same, but only within a jail's `filter`.
    InFilter,
    /// It has the name, for something that has no use here. Not read from its files.
    Unlike,
    /// It has no such option, and reads over it.
    Unknown,
}

pub struct Opt {
    pub name: &'static str,
    /// What its value is, and the unit.
    pub takes: &'static str,
    pub doc: &'static str,
    pub fail2ban: Fail2ban,
    pub(super) set: fn(&mut Settings, &Text) -> Result<(), Invalid>,
    show: fn(&Settings) -> String,
}

impl Opt {
    /// Its value in `settings`, as one would write it; empty if it is not set.
    #[must_use]
    pub fn shown(&self, settings: &Settings) -> String {
        (self.show)(settings)
    }
}

const MODES: &str = "normal or aggressive";
const TIME: &str = "a time: seconds, or with units (10m, 1h, 1d 12h)";
const BOOLEAN: &str = "true or false (yes, no, on, off, 1, 0)";
const REGEXES: &str = "regular expressions, one a line";

const COUNTS: [(&str, Count); 2] = [("attempts", Count::Attempts), ("lines", Count::Lines)];
const CHECKS: [(&str, SessionCheck); 2] =
    [("normal", SessionCheck::Tolerant), ("strict", SessionCheck::Strict)];
const STOPS: [(&str, OnStop); 2] = [("keep", OnStop::Keep), ("detach", OnStop::Detach)];
const PROTOCOLS: [(&str, Protocol); 3] =
    [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("all", Protocol::All)];
const ACTIONS: [(&str, Action); 2] = [("drop", Action::Drop), ("reset", Action::Reset)];
const XDP_MODES: [(&str, XdpMode); 3] =
    [("auto", XdpMode::Auto), ("native", XdpMode::Native), ("generic", XdpMode::Generic)];

pub static OPTIONS: [Opt; 39] = [
    Opt {
        name: "enabled",
        takes: BOOLEAN,
        doc: "Whether to run at all. In a fail2ban tree it tells fail2ban, and not doveblock",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.enabled, boolean(&text.joined())),
        show: |of| of.enabled.to_string(),
    },
    Opt {
        name: "mode",
        takes: MODES,
        doc: "Which lines count: failed logins, or silent probes as well",
        fail2ban: Fail2ban::InFilter,
        set: |to, text| put(&mut to.mode, values::mode_of(&text.joined())),
        show: |of| of.mode.to_string(),
    },
    Opt {
        name: "filter",
        takes: "dovecot[mode=normal] or dovecot[mode=aggressive]",
        doc: "fail2ban's way to say the mode. It overrules mode; dovecot alone is normal",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.mode, values::filter(&text.joined())),
        show: |of| format!("dovecot[mode={}]", of.mode),
    },
    Opt {
        name: "port",
        takes: "ports: numbers, ranges (993:995), names of mail services (imap)",
        doc: "What a banned address cannot reach",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.port, parse_ports(&text.joined())),
        show: |of| of.port.to_string(),
    },
    Opt {
        name: "protocol",
        takes: "tcp, udp or all (both)",
        doc: "What the ports of port are ports of",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.protocol, one_of(&text.joined(), &PROTOCOLS)),
        show: |of| name_of(of.protocol, &PROTOCOLS),
    },
    Opt {
        name: "logpath",
        takes: "paths, or patterns of them (*, ?, […]), one a line; also journal, or - for standard input",
        doc: "The logs to read. If not set, it is looked for where Dovecot logs to, see log-sources.md",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.logpath, logs::logpath(text)),
        show: |of| of.logpath.join("\n"),
    },
    Opt {
        name: "backend",
        takes: "auto (also fail2ban's pyinotify), polling, or systemd, which may have [journalpath=DIR], [journalfiles=PATTERN] or [namespace=NAME] behind it",
        doc: "How logs are read: files as soon as they change, or by looking four times a second, or the journal and no logpath",
        fail2ban: Fail2ban::Same,
        set: |to, text| {
            (to.backend, to.journal) = logs::backend(&text.joined())?;
            Ok(())
        },
        show: |of| logs::show_backend(of.backend, &of.journal),
    },
    Opt {
        name: "journalmatch",
        takes: "FIELD=value, several of which must all hold; + between them, or a new line, for \"or\"",
        doc: "Which entries of the journal are Dovecot's",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.journalmatch, logs::journalmatch(text)),
        show: |of| of.journalmatch.to_string(),
    },
    Opt {
        name: "maxretry",
        takes: "a number, from 1 on",
        doc: "Failures that make a ban",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.maxretry, number(&text.joined(), std::num::NonZeroU32::MIN)),
        show: |of| of.maxretry.to_string(),
    },
    Opt {
        name: "maxretry.probe",
        takes: "a number, from 1 on",
        doc: "Silent probes (of the aggressive mode) that make a ban; maxretry if not set",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| {
            put(&mut to.maxretry_probe, number(&text.joined(), std::num::NonZeroU32::MIN).map(Some))
        },
        show: |of| of.maxretry_probe.map(|number| number.to_string()).unwrap_or_default(),
    },
    Opt {
        name: "findtime",
        takes: TIME,
        doc: "The time within which the failures must happen",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.findtime, parse_findtime(&text.joined())),
        show: |of| show_span(of.findtime),
    },
    Opt {
        name: "bantime",
        takes: "a time as in findtime, or -1 for a ban without end",
        doc: "How long a ban lasts",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.bantime, values::bantime(&text.joined())),
        show: |of| show_bantime(of.bantime),
    },
    Opt {
        name: "bantime.increment",
        takes: BOOLEAN,
        doc: "Whether an address that was banned before is banned for longer",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.increment.enabled, boolean(&text.joined())),
        show: |of| of.increment.enabled.to_string(),
    },
    Opt {
        name: "bantime.factor",
        takes: "a number above 0",
        doc: "Multiplies every incremented bantime",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.increment.factor, values::factor(&text.joined())),
        show: |of| of.increment.factor.to_string(),
    },
    Opt {
        name: "bantime.formula",
        takes: "nothing: fail2ban's formulas are Python",
        doc: "Refused. Write the bans' lengths as bantime.multipliers",
        fail2ban: Fail2ban::Same,
        set: |_, text| match text.is_empty() {
            true => Ok(()),
            false => Err(Invalid::new(
                "a formula is Python, which doveblock does not run; write bantime.multipliers \
                 instead, as in 1 2 4 8 16 32 64",
            )),
        },
        show: |_| String::new(),
    },
    Opt {
        name: "bantime.multipliers",
        takes: "whole numbers, separated by blanks",
        doc: "Times bantime for who was banned never, once, twice, … before; the last goes on. Doubling if not set",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.increment.multipliers, values::multipliers(&text.joined())),
        show: |of| {
            let shown: Vec<String> = of.increment.multipliers.iter().map(f64::to_string).collect();
            shown.join(" ")
        },
    },
    Opt {
        name: "bantime.maxtime",
        takes: TIME,
        doc: "What an incremented ban does not exceed; no limit if not set",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.increment.maxtime, optional(text, span)),
        show: |of| of.increment.maxtime.map(show_span).unwrap_or_default(),
    },
    Opt {
        name: "bantime.rndtime",
        takes: TIME,
        doc: "Up to so much is added to an incremented ban at random",
        fail2ban: Fail2ban::Same,
        set: |to, text| {
            put(&mut to.increment.rndtime, optional(text, span).map(Option::unwrap_or_default))
        },
        show: |of| show_span(of.increment.rndtime),
    },
    Opt {
        name: "bantime.overalljails",
        takes: BOOLEAN,
        doc: "Whether bans of other jails count as earlier ones; there is one jail, so both are the same",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.overalljails, boolean(&text.joined())),
        show: |of| of.overalljails.to_string(),
    },
    Opt {
        name: "dbpurgeage",
        takes: TIME,
        doc: "How long a ban is remembered as an earlier one: this, and three times its length",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.dbpurgeage, span(&text.joined())),
        show: |of| show_span(of.dbpurgeage),
    },
    Opt {
        name: "ignoreip",
        takes: "addresses, networks and host names, separated by blanks or commas",
        doc: "Who is never banned",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.ignoreip, parse_ignore_list(&text.joined())),
        show: |of| {
            let shown: Vec<String> = of.ignoreip.iter().map(ToString::to_string).collect();
            shown.join(" ")
        },
    },
    Opt {
        name: "ignoreself",
        takes: BOOLEAN,
        doc: "Never ban this host's own addresses and loopback",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.ignoreself, boolean(&text.joined())),
        show: |of| of.ignoreself.to_string(),
    },
    Opt {
        name: "ipv6_prefix",
        takes: "a number of bits, 1 to 128",
        doc: "Length of the IPv6 prefix that counts, and is banned, as one client",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| match number(&text.joined(), 1_u8)? {
            bits @ ..=128 => put(&mut to.ipv6_prefix, Ok(bits)),
            bits => Err(Invalid::new(format!("an address has 128 bits, and not {bits}"))),
        },
        show: |of| of.ipv6_prefix.to_string(),
    },
    Opt {
        name: "ignore_authenticated",
        takes: "a time as in findtime; 0 for never",
        doc: "How long after a login silent probes from its address are forgiven; it also takes \
              those back that counted before it",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| put(&mut to.ignore_authenticated, span(&text.joined())),
        show: |of| show_span(of.ignore_authenticated),
    },
    Opt {
        name: "count",
        takes: "attempts or lines",
        doc: "What one failure is: a guess, however many lines it wrote, or a line as for fail2ban",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| put(&mut to.count, one_of(&text.joined(), &COUNTS)),
        show: |of| name_of(of.count, &COUNTS),
    },
    Opt {
        name: "session_check",
        takes: "normal or strict",
        doc: "With strict, a line whose session id tells of another address does not count",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| put(&mut to.session_check, one_of(&text.joined(), &CHECKS)),
        show: |of| name_of(of.session_check, &CHECKS),
    },
    Opt {
        name: "max_tracked",
        takes: "a number, from 1 on",
        doc: "Most clients to remember failures of; the oldest are forgotten first",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| {
            put(&mut to.max_tracked, number(&text.joined(), std::num::NonZeroUsize::MIN))
        },
        show: |of| of.max_tracked.to_string(),
    },
    Opt {
        name: "max_bans",
        takes: "a number, from 1 to 16777216",
        doc: "Most bans of IPv4 addresses, and as many of IPv6 prefixes, up to which the kernel's \
              maps grow; when one kind is full, the ban that ends soonest makes room",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| put(&mut to.max_bans, values::max_bans(&text.joined())),
        show: |of| of.max_bans.to_string(),
    },
    Opt {
        name: "failregex",
        takes: REGEXES,
        doc: "Lines that count, with <HOST>. Instead of the built-in rules, or besides them if \
              %(known/failregex)s is among them",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.failregex, Ok(Regexes::of(text))),
        show: |of| show_regexes(&of.failregex),
    },
    Opt {
        name: "ignoreregex",
        takes: REGEXES,
        doc: "Lines that do not count, whatever else matches",
        fail2ban: Fail2ban::Same,
        set: |to, text| put(&mut to.ignoreregex, Ok(Regexes::of(text))),
        show: |of| show_regexes(&of.ignoreregex),
    },
    Opt {
        name: "on_stop",
        takes: "keep or detach",
        doc: "Whether bans stay in force when the daemon is stopped",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| put(&mut to.on_stop, one_of(&text.joined(), &STOPS)),
        show: |of| name_of(of.on_stop, &STOPS),
    },
    Opt {
        name: "close_connections",
        takes: BOOLEAN,
        doc: "Whether connections to port that a client holds are closed when it is banned, in \
              doveblock's own network namespace",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| put(&mut to.close_connections, boolean(&text.joined())),
        show: |of| of.close_connections.to_string(),
    },
    Opt {
        name: "xdp_mode",
        takes: "auto, native or generic",
        doc: "Where the XDP program runs: in the driver, or in the network stack",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| put(&mut to.xdp_mode, one_of(&text.joined(), &XDP_MODES)),
        show: |of| name_of(of.xdp_mode, &XDP_MODES),
    },
    Opt {
        name: "interface",
        takes: "names of interfaces, separated by blanks or commas",
        doc: "What to guard; the interfaces of the default routes if not set",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| put(&mut to.interface, Ok(values::names(&text.joined()))),
        show: |of| of.interface.join(" "),
    },
    Opt {
        name: "action",
        takes: "drop or reset",
        doc: "What happens to packets of the banned: they vanish, or TCP is answered with a reset, so that clients fail at once",
        fail2ban: Fail2ban::Unlike,
        set: |to, text| put(&mut to.action, one_of(&text.joined(), &ACTIONS)),
        show: |of| name_of(of.action, &ACTIONS),
    },
    Opt {
        name: "drop_fragments",
        takes: BOOLEAN,
        doc: "Whether fragments of the banned are dropped that carry no port, because they are not the first of their packet",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| put(&mut to.drop_fragments, boolean(&text.joined())),
        show: |of| of.drop_fragments.to_string(),
    },
    Opt {
        name: "metrics",
        takes: "a loopback address and a port, like 127.0.0.1:9418",
        doc: "Where metrics for Prometheus are served by HTTP, besides the control socket; nowhere if not set",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| put(&mut to.metrics, optional(text, parse_listen)),
        show: |of| of.metrics.map(|address| address.to_string()).unwrap_or_default(),
    },
    Opt {
        name: "socket_group",
        takes: "the name of a group",
        doc: "Whose members may use the control socket besides its owner; the group that doveblock runs as if not set",
        fail2ban: Fail2ban::Unknown,
        set: |to, text| put(&mut to.socket_group, optional(text, values::word)),
        show: |of| of.socket_group.clone().unwrap_or_default(),
    },
    Opt {
        name: "usedns",
        takes: "yes, warn, no or raw",
        doc: "Accepted, and without effect: no name in a log is ever looked up",
        fail2ban: Fail2ban::Unlike,
        set: |_, text| {
            one_of(&text.joined(), &[("yes", ()), ("warn", ()), ("no", ()), ("raw", ())])
        },
        show: |_| "no".to_owned(),
    },
];

/// The option of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|option| option.name == name)
}

/// The name one most likely meant.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    // Two slips, but not most of a short word. Counting them takes the product of the lengths.
    const LONGEST: usize = 40;
    if name.chars().count() > LONGEST {
        return None;
    }
    let slips = |option: &Opt| (strsim::damerau_levenshtein(name, option.name), option.name);
    let (slips, found) = OPTIONS.iter().map(slips).min()?;
    (slips <= 2.min(found.len() / 3)).then_some(found)
}

fn put<T>(field: &mut T, value: Result<T, Invalid>) -> Result<(), Invalid> {
    *field = value?;
    Ok(())
}

fn optional<T>(text: &Text, parse: fn(&str) -> Result<T, Invalid>) -> Result<Option<T>, Invalid> {
    if text.is_empty() { Ok(None) } else { parse(&text.joined()).map(Some) }
}

fn show_regexes(regexes: &Regexes) -> String {
    let lines: Vec<&str> = regexes.lines.iter().map(|line| line.text.as_str()).collect();
    lines.join("\n")
}
