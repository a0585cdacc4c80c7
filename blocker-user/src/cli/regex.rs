//! `regex`: try the rules on logs without a daemon, as admins do with `fail2ban-regex`.
//! The lines go through the same judge as in `run`.

mod criteria;
pub(super) mod fail2ban;
mod filter;
mod judge;
mod lines;
mod report;
mod tally;
mod words;

use std::{
    ffi::OsString,
    io::{self, BufWriter, Write as _},
    path::PathBuf,
};

use clap::Args;

use super::{Format, VerbError, config::ConfigArgs, reading};
use crate::daemon::wall_clock;

use criteria::Criteria;
use lines::{Printing, Task};
use words::Words;

#[derive(Args, Debug)]
#[command(
    // As `fail2ban-regex` has it.
    version,
    override_usage = "doveblock regex [OPTIONS] LOG... [FILTER [IGNOREREGEX]]",
    after_help = HELP
)]
pub(super) struct RegexArgs {
    /// Logs, then the filter, then what to ignore; see below
    #[arg(value_name = "LOG", required = true)]
    words: Vec<OsString>,

    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Print every line that matched (text)
    #[arg(long)]
    print_all_matched: bool,

    /// Print every line that did not match (text); without this, up to 20 are printed
    #[arg(long, conflicts_with = "print_no_missed")]
    print_all_missed: bool,

    /// Print every line that IGNOREREGEX ignored (text); without this, up to 20 are printed
    #[arg(long, conflicts_with = "print_no_ignored")]
    print_all_ignored: bool,

    /// Print no missed line, however few there are (text)
    #[arg(long)]
    print_no_missed: bool,

    /// Print no ignored line, however few there are (text)
    #[arg(long)]
    print_no_ignored: bool,

    /// Name every address, and the rules and date formats without a hit too (text)
    #[arg(short, long, visible_alias = "verbose-date", alias = "VD", action = clap::ArgAction::Count)]
    verbose: u8,

    /// Zone of the timestamps that name none, such as Europe/Berlin [default: the system's]
    #[arg(long, visible_alias = "TZ", value_name = "ZONE")]
    timezone: Option<String>,

    /// How many threads judge; 1 also reads and prints on the same one [default: one a core]
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// Without FILTER, judge as `run` would by this configuration: by its failregex,
    /// ignoreregex, mode and session_check
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The same by the jail dovecot of a fail2ban tree
    #[arg(long, value_name = "DIR")]
    fail2ban: Option<PathBuf>,

    #[command(flatten)]
    habits: fail2ban::Options,
}

const HELP: &str = "\
LOG is a file, `-` for standard input, or a line in quotes. What a file is packed with (gzip, zstd, \
xz, bzip2) is told by its content. The files of one rotated log are read oldest first, whatever \
order they are given in; their names say which that is: mail.log-20261101.gz (by date), then \
mail.log.3.gz, mail.log.2.gz, mail.log.1 (by number), then mail.log. Different logs are read in the \
order given. Of a packed file that is cut short or damaged, the lines before the damage are \
judged, and the exit code is 1.

FILTER is fail2ban's name for the rules: dovecot, which is the default, or \
dovecot[mode=aggressive]. In place of the rules it can be a failregex in fail2ban's notation, with \
<HOST>, <ADDR> or their kind in it. IGNOREREGEX is in the same notation; lines that it matches are \
counted as ignored and nothing else. No file of /etc is read unless --config or --fail2ban names it.

  doveblock regex /var/log/mail.log* 'dovecot[mode=aggressive]'
  doveblock regex /var/log/mail.log '^Disconnected: .* rip=<HOST>,' 'user=<bob>'
  doveblock regex /var/log/mail.log --config /etc/doveblock/doveblock.conf
  journalctl -u dovecot -o json | doveblock regex - dovecot";

pub(super) fn run(args: &RegexArgs) -> Result<(), VerbError> {
    let is_verbose = args.habits.check()? || args.verbose > 0;
    let words = Words::parse(&args.words)?;
    let config = ConfigArgs { config: args.config.clone(), fail2ban: args.fail2ban.clone() };
    let criteria = Criteria::of(words.filter, words.ignore, &config)?;
    let zone = match &args.timezone {
        Some(name) => fail2ban::time_zone(name)?,
        None => jiff::tz::TimeZone::system(),
    };
    let printing = Printing {
        format: args.format,
        all_matched: args.print_all_matched,
        all_missed: args.print_all_missed,
        all_ignored: args.print_all_ignored,
        some_missed: !args.print_no_missed,
        some_ignored: !args.print_no_ignored,
    };
    let task = Task { criteria, zone, now: wall_clock(), printing };

    let inputs = reading::check(words.logs)?;
    let progress = reading::for_reading(&inputs, printing.prints_lines());
    let threads = args.threads.map_or_else(|| reading::threads_for(&inputs), usize::from);
    let mut out = BufWriter::new(io::stdout().lock());
    let names: Vec<String> = inputs.iter().map(ToString::to_string).collect();
    let judged = judge::judge(inputs, &progress, &task, threads, &mut out);
    progress.finish_and_clear();
    let printed = judged.and_then(|judged| {
        if args.format == Format::Text {
            report::print(&mut out, &task, &names, &judged.tally, is_verbose)?;
        }
        out.flush()?;
        Ok(judged.troubles)
    });
    match printed {
        // Nobody reads on, as with `| head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(VerbError::Failed(format!("the result cannot be written: {error}"))),
        Ok(troubles) if troubles.is_empty() => Ok(()),
        Ok(troubles) => Err(VerbError::Failed(troubles.join("\ndoveblock: "))),
    }
}
