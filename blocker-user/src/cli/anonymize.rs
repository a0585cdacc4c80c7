//! `anonymize`: logs that can be shown to others.

use std::{
    io::{self, BufWriter, Write as _},
    path::PathBuf,
};

use clap::Args;
use jiff::tz::TimeZone;

use super::{
    VerbError,
    reading::{self, Clerk, Log, Rest},
    regex::fail2ban::time_zone,
};
use crate::{
    anonymize::{Anonymizer, Done, Key},
    daemon::wall_clock,
    dovecot::{Judge, Mode, SessionCheck, Settings},
    source::by_log,
    time::LogTime,
};

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(super) struct AnonymizeArgs {
    /// Logs to write without names, or - for standard input
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<PathBuf>,

    /// Replace by these words: logs and reports of the same words can be compared [default: by
    /// chance]
    #[arg(long, value_name = "WORDS")]
    key: Option<String>,

    /// Zone of the timestamps that name none, such as Europe/Berlin [default: the system's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
}

const HELP: &str = "\
Lines that the rules count, and logins, are written with others in place of addresses, users, host \
names and whatever else is no word of Dovecot's: the same for the same, so that `simulate` says of \
the written log what it says of the one that was read, ignoreip aside. Two addresses of one network \
stay two of one network. Of all other lines the time is left.

Times are not replaced. Look at what you give away.

  doveblock anonymize /var/log/mail.log* > excerpt.log";

pub(super) fn run(args: &AnonymizeArgs) -> Result<(), VerbError> {
    let zone = match &args.timezone {
        Some(name) => time_zone(name)?,
        None => TimeZone::system(),
    };
    let is_stdin = |log: &&PathBuf| log.as_os_str() == "-";
    let files = reading::distinct(args.logs.iter().filter(|log| !is_stdin(log)));
    let families = by_log(files);
    if families.len() > 1 {
        eprintln!(
            "doveblock: these are {} logs, written one behind the other; `simulate` merges logs by \
             time, so for the same result give them one at a time",
            families.len()
        );
    }
    let mut logs: Vec<Log> = families.into_iter().flatten().map(Log::File).collect();
    logs.extend(args.logs.iter().find(is_stdin).map(|_| Log::Stdin));
    let inputs = reading::check(logs)?;

    let key = args.key.as_deref().map_or_else(Key::random, Key::of_words);
    let hire = |_| Writer::new(&key, &zone);
    let mut out = BufWriter::new(io::stdout().lock());
    let progress = reading::for_reading(&inputs, true);
    let judged = reading::judge(inputs, &progress, 1, hire, |page: &mut Vec<u8>, _| {
        out.write_all(page)?;
        page.clear();
        Ok(())
    });
    progress.finish_and_clear();
    let written = judged.and_then(|judged| {
        out.flush()?;
        Ok(judged)
    });
    match written {
        // Nobody reads on, as with `| head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(VerbError::failed(format!("the log cannot be written: {error}"))),
        Ok(judged) => {
            let unsure: u64 = judged.clerks.iter().map(|clerk| clerk.unsure).sum();
            if unsure > 0 {
                eprintln!(
                    "doveblock: {unsure} lines would be judged otherwise with others in place of \
                     what they name, so only their times were written"
                );
            }
            if judged.troubles.is_empty() {
                Ok(())
            } else {
                Err(VerbError::Failed(judged.troubles.join("\ndoveblock: ")))
            }
        }
    }
}

struct Writer {
    anonymizer: Anonymizer,
    now: LogTime,
    unsure: u64,
}

impl Writer {
    fn new(key: &Key, zone: &TimeZone) -> Self {
        let (mode, session_check) = (Mode::Aggressive, SessionCheck::Tolerant);
        let judge = || Judge::new(Settings { mode, zone: zone.clone(), session_check });
        let anonymizer = Anonymizer::new(key.clone(), judge(), judge());
        Self { anonymizer, now: wall_clock(), unsure: 0 }
    }
}

impl Clerk for Writer {
    type Page = Vec<u8>;

    fn block(&mut self, block: &[u8], _: u64, page: &mut Vec<u8>) -> io::Result<Option<Rest>> {
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let done = self.anonymizer.line(line, self.now, page);
            self.unsure += u64::from(done == Done::Unsure);
            page.push(b'\n');
        }
        Ok(None)
    }
}
