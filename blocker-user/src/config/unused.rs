//! Options of fail2ban's that have no use here. They are no mistake: they are said once.

/// The reason not to use `name`; `None` if fail2ban has no such option either.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    UNUSED.iter().find(|(names, _)| names.contains(&name)).map(|&(_, why)| why)
}

/// Every name of them.
pub fn unused_options() -> impl Iterator<Item = &'static str> {
    UNUSED.iter().flat_map(|(names, _)| names.iter().copied())
}

/// Parts that fail2ban's files put an action together from.
pub(super) fn is_part_of_action(name: &str) -> bool {
    name.starts_with("action_") || name.starts_with("banaction_")
}

const ACTION: &str = "packets of the banned are dropped by the XDP program, on all ports of port";

/// Names, and why.
pub(crate) const UNUSED: &[(&[&str], &str)] = &[
    (&["action", "banaction", "chain", "blocktype"], ACTION),
    (
        &["destemail", "sender", "sendername", "mta", "fail2ban_agent"],
        "no mail is sent and nothing is reported to others",
    ),
    (&["ignorecommand", "ignorecache"], "no command is run; list addresses in ignoreip"),
    (&["usedns"], "no name in a log is ever looked up"),
    (&["maxmatches", "maxlines"], "lines of a ban are not kept, and each is judged by itself"),
    (&["logencoding", "logtimezone", "datepattern"], "every known form of date is recognised"),
    (&["prefregex", "skip_if_nologs"], "the rules and the logs do without it"),
    (&["dbfile", "dbmaxmatches"], "the database is doveblock.sqlite3 in --state-dir"),
    (&["loglevel", "logtarget"], "doveblock writes its log to standard error"),
];
