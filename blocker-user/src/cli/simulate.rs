//! `simulate`: what a policy would have done on logs of the past.

mod read;
mod text;

use std::{path::PathBuf, thread};

use clap::Args;
use jiff::tz::TimeZone;

use super::{
    Format, VerbError,
    config::{ConfigArgs, filter_of, refuse_errors},
    output::{self, PageFile},
    reading::{self, Input, Log},
    regex::fail2ban::time_zone,
    run::PolicyFlags,
};
use crate::{
    anonymize::{self, Key},
    config::{Ignored, Loaded, Settings, show},
    daemon::wall_clock,
    dovecot::{self, Judge, Mode},
    jail::IgnoreList,
    page,
    simulate::{Plan, Replay},
    source::by_log,
};
use read::Judges;

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(super) struct SimulateArgs {
    /// Logs to replay, or - for standard input
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<PathBuf>,

    /// Try what this configuration says; without it and --fail2ban the defaults, whatever /etc has
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Try the jail dovecot of a fail2ban tree
    #[arg(long, value_name = "DIR")]
    fail2ban: Option<PathBuf>,

    #[command(flatten)]
    policy: PolicyFlags,

    /// Count every line, also those that a ban would have prevented: what the daemon does when it
    /// catches up with that very log
    #[arg(long)]
    as_logged: bool,

    /// Try no other settings: quicker, and without a recommendation
    #[arg(long)]
    no_sweep: bool,

    /// Zone of the timestamps that name none, such as Europe/Berlin [default: the system's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,

    /// How many threads judge [default: one a core]
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Write a page to this file as well, for any browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Name every ban that is known, not only the first ten (text)
    #[arg(long)]
    all_bans: bool,

    /// Replace addresses, users and files, the same by the same, so that the report can be shown
    /// to others
    #[arg(long)]
    anonymize: bool,

    /// Replace by these words, so that reports can be compared, and not by chance
    #[arg(long, value_name = "WORDS", requires = "anonymize")]
    anonymize_key: Option<String>,
}

const HELP: &str = "\
Nothing is banned, and no daemon is needed: the lines go through the rules and the jail of `run`, \
in the time of the log. The files of one rotated log are read oldest first, whatever order they are \
given in, and whatever they are packed with (gzip, zstd, xz, bzip2); different logs are merged by \
time.

A line of a client while it would have been banned, on a connection that it began then, would not \
be there: it counts as prevented, and for no further ban. --as-logged counts it all the same.

  doveblock simulate /var/log/mail.log*
  doveblock simulate /var/log/mail.log* --mode aggressive --maxretry 3 --findtime 1h
  doveblock simulate /var/log/mail.log* --config /etc/doveblock/doveblock.conf --format json";

const DEFAULTS: &str = "Neither --config nor --fail2ban was given: what was tried are the defaults \
    and the options of the command line, whatever /etc has.";

pub(super) fn run(args: SimulateArgs) -> Result<(), VerbError> {
    let SimulateArgs { format, as_logged, no_sweep, all_bans, .. } = args;
    let zone = match &args.timezone {
        Some(name) => time_zone(name)?,
        None => TimeZone::system(),
    };
    let is_configured = args.config.is_some() || args.fail2ban.is_some();
    let settings = settings(args.config, args.fail2ban, args.policy)?;
    let filter = filter_of(&settings)?;
    let families = families(&args.logs)?;
    let html = args.html.as_deref().map(PageFile::open).transpose()?;

    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.map_or(cores, usize::from);
    let readers = match (args.threads, families.as_slice()) {
        (None, [only]) => reading::threads_for(only),
        (_, _) => threads,
    };
    let wall = wall_clock();
    let mut replay = Replay::new(plan(&settings, zone.clone(), as_logged, !no_sweep, threads));
    let progress = reading::for_reading(families.iter().flatten(), false);
    let judge = |mode| {
        let session_check = settings.session_check;
        let judge = Judge::new(dovecot::Settings { mode, zone: zone.clone(), session_check });
        judge.with_filter(filter.clone(), settings.failregex.with_builtin)
    };
    let judges = || Judges {
        judge: judge(Mode::Aggressive),
        normal: (!filter.is_empty()).then(|| judge(Mode::Normal)),
    };
    let (reading, troubles) = read::read(families, readers, &progress, wall, judges, &mut replay);
    progress.finish_and_clear();
    let mut report = replay.finish(reading, wall);
    // Names of files are nobody else's business where the report is anonymized.
    report.notes.extend(troubles.iter().map(|trouble| match args.anonymize {
        true => "A log could not be read, or not to its end.".to_owned(),
        false => format!("{}.", output::visible(trouble)),
    }));
    if !is_configured {
        report.notes.push(DEFAULTS.to_owned());
    }
    if args.anonymize {
        let key = args.anonymize_key.as_deref().map_or_else(Key::random, Key::of_words);
        report = anonymize::anonymized(report, &key);
    }
    if let Some(file) = html {
        file.write(&page::html(&report))?;
    }
    match format {
        Format::Json => output::json(&report)?,
        Format::Text => output::text_out(&text::of(&report, all_bans))?,
    }
    if troubles.is_empty() {
        Ok(())
    } else {
        Err(VerbError::Failed(troubles.join("\ndoveblock: ")))
    }
}

/// What is tried. Reads no file that was not asked for.
fn settings(
    config: Option<PathBuf>,
    fail2ban: Option<PathBuf>,
    flags: PolicyFlags,
) -> Result<Settings, VerbError> {
    let is_configured = config.is_some() || fail2ban.is_some();
    let mut loaded = match is_configured {
        true => ConfigArgs { config, fail2ban }.load(),
        false => Loaded::defaults(),
    };
    flags.apply(&mut loaded);
    refuse_errors(&loaded)?;
    let warnings = show(loaded.warnings());
    if !warnings.is_empty() {
        eprintln!("{warnings}\n");
    }
    Ok(loaded.settings)
}

fn plan(settings: &Settings, zone: TimeZone, as_logged: bool, sweep: bool, threads: usize) -> Plan {
    let nets = settings.ignoreip.iter().filter_map(|ignored| match ignored {
        Ignored::Net(net) => Some(*net),
        // A name's addresses of today say nothing about those of the log.
        Ignored::Name(_) => None,
    });
    Plan {
        mode: settings.mode,
        policy: settings.policy(),
        ignore: IgnoreList::new(nets.collect(), settings.ignoreself),
        ignoreip: settings.ignoreip.iter().map(ToString::to_string).collect(),
        zone,
        as_logged,
        sweep,
        threads,
    }
}

/// The logs, each with its files in the order of time.
fn families(words: &[PathBuf]) -> Result<Vec<Vec<Input>>, VerbError> {
    let is_stdin = |word: &&PathBuf| word.as_os_str() == "-";
    let files = reading::distinct(words.iter().filter(|word| !is_stdin(word)));
    let mut logs: Vec<Vec<Log>> =
        by_log(files).into_iter().map(|log| log.into_iter().map(Log::File).collect()).collect();
    if words.iter().any(|word| is_stdin(&word)) {
        logs.push(vec![Log::Stdin]);
    }
    logs.into_iter().map(reading::check).collect()
}
