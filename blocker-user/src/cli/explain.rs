//! `explain`: why an address is banned, or why it is not, in plain words.

use std::fmt::Write as _;

use clap::Args;

use super::{Format, SocketArg, VerbError, output};
use crate::control::{
    Client,
    api::{BanInForce, Explained, Line},
    encode_query,
};

#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// Address or network
    #[arg(value_name = "IP|CIDR")]
    subject: String,
    #[command(flatten)]
    socket: SocketArg,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &ExplainArgs) -> Result<(), VerbError> {
    let path = format!("/v1/explain?ip={}", encode_query(&args.subject));
    let explained: Explained = Client::new(&args.socket.socket).get(&path)?;
    match args.format {
        Format::Json => output::json(&explained),
        Format::Text => output::text_out(&text(&explained)),
    }
}

fn text(of: &Explained) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _infallible = write(&mut text, of);
    text
}

fn write(text: &mut String, of: &Explained) -> std::fmt::Result {
    let whose = if of.ip == of.subject {
        of.ip.clone()
    } else {
        format!("{} (counted and banned as {})", of.ip, of.subject)
    };
    match &of.ban {
        Some(ban) => {
            writeln!(text, "{whose} is banned.")?;
            write_ban(text, ban)?;
            if let Some(network) = &of.covered_by {
                writeln!(text, "  It is also inside {network}, which is banned as well.")?;
            }
        }
        None => {
            writeln!(text, "{whose} is not banned:")?;
            for why in &of.why_not {
                writeln!(text, "  - {}", output::visible(why))?;
            }
        }
    }
    match of.earlier_bans {
        0 => writeln!(text, "  No earlier ban is remembered.")?,
        1 => writeln!(text, "  It was banned once before.")?,
        bans => writeln!(text, "  It was banned {bans} times before.")?,
    }
    if let (Some(ended), true) = (&of.last_ended, of.ban.is_some()) {
        writeln!(text, "  The last of these ended at {}: {}.", ended.at, ended.how)?;
    }
    if let Some(failures) = &of.failures {
        writeln!(
            text,
            "  Failures within findtime ({} s): {} of the {} that make a ban, from {} to {}.",
            of.findtime_secs, failures.count, failures.maxretry, failures.first, failures.last
        )?;
    }
    if let Some(line) = of.login.as_ref().and_then(|login| login.line.as_ref()) {
        writeln!(text, "The last login from there:\n  {}", output::visible(line))?;
    }
    if !of.lines.is_empty() {
        writeln!(text, "What led here:")?;
    }
    of.lines.iter().try_for_each(|line| write_line(text, line))
}

fn write_ban(text: &mut String, ban: &BanInForce) -> std::fmt::Result {
    let end =
        ban.expires_at.as_ref().map_or("It has no end".to_owned(), |at| format!("It ends at {at}"));
    let cause = match ban.cause.as_str() {
        "by hand" => "set by hand".to_owned(),
        rule => format!("because of {}", output::visible(rule)),
    };
    writeln!(text, "  Since {}, {cause}. {end}.", ban.banned_at)?;
    match ban.attempts {
        0 => {}
        1 => writeln!(text, "  One failure made the ban.")?,
        attempts => writeln!(text, "  {attempts} failures made the ban.")?,
    }
    match (ban.dropped_packets, &ban.last_seen) {
        (0, _) => writeln!(text, "  None of its packets was dropped since."),
        (1, Some(at)) => {
            writeln!(text, "  One packet ({} bytes) was dropped since, at {at}.", ban.dropped_bytes)
        }
        (packets, at) => {
            let last = at.as_ref().map(|at| format!(", the last one at {at}")).unwrap_or_default();
            let bytes = ban.dropped_bytes;
            writeln!(text, "  {packets} packets ({bytes} bytes) were dropped since{last}.")
        }
    }
}

fn write_line(text: &mut String, line: &Line) -> std::fmt::Result {
    let Line { at, ip, rule, verdict, line } = line;
    writeln!(text, "  {at}  {ip}  {rule}: {}", output::visible(verdict))?;
    if line.is_empty() { Ok(()) } else { writeln!(text, "      {}", output::visible(line)) }
}

#[cfg(test)]
mod tests {
    use super::{BanInForce, Explained, Line, text};

    fn explained(ban: Option<BanInForce>) -> Explained {
        Explained {
            ip: "2001:db8::7".to_owned(),
            subject: "2001:db8::/64".to_owned(),
            ban,
            covered_by: None,
            earlier_bans: 2,
            last_ended: None,
            failures: None,
            findtime_secs: 600,
            login: None,
            never_banned: None,
            why_not: vec!["too few failures: 1 within findtime, and 5 make a ban".to_owned()],
            lines: vec![Line {
                at: "2026-11-25T06:25:01Z".to_owned(),
                ip: "2001:db8::7".to_owned(),
                rule: "auth-failed".to_owned(),
                verdict: "banned".to_owned(),
                line: "imap-login: user=<\x1b]0;pwned\x07\u{9b}31m\u{202e}>".to_owned(),
            }],
        }
    }

    #[test]
    fn says_in_plain_words_what_is_so() {
        let said = text(&explained(Some(BanInForce {
            banned_at: "2026-11-25T06:25:01Z".to_owned(),
            expires_at: None,
            attempts: 5,
            cause: "auth-failed".to_owned(),
            dropped_packets: 3,
            dropped_bytes: 180,
            last_seen: Some("2026-11-25T06:26:00Z".to_owned()),
        })));
        for part in [
            "2001:db8::7 (counted and banned as 2001:db8::/64) is banned.",
            "because of auth-failed. It has no end.",
            "5 failures made the ban.",
            "3 packets (180 bytes) were dropped since, the last one at 2026-11-25T06:26:00Z.",
            "It was banned 2 times before.",
        ] {
            assert!(said.contains(part), "no {part:?} in\n{said}");
        }
        assert!(text(&explained(None)).contains("is not banned:\n  - too few failures"));
    }

    #[test]
    fn a_terminal_gets_no_command_from_a_client() {
        let said = text(&explained(None));
        let is_command = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!said.contains(is_command), "{said:?}");
        assert!(said.contains(r"user=<\u{1b}]0;pwned\u{7}"), "{said}");
    }
}
