//! `regex`: try the rules on a log without a daemon, as admins do with `fail2ban-regex`.
//! The lines go through the same judge as in `run`.

mod filter;
mod report;

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write as _},
};

use clap::Args;

use super::{Format, VerbError};
use crate::{
    daemon::wall_clock,
    dovecot::{Judge, SessionCheck, Settings},
    source::LineBuffer,
};

use filter::Filter;
use report::{JsonLines, Report, TextSummary};

const CHUNK: usize = 256 * 1024;

#[derive(Args, Debug)]
pub(super) struct RegexArgs {
    /// Log to judge, `-` for standard input
    #[arg(value_name = "LOG")]
    log: String,

    /// The filter, as fail2ban names it: dovecot, or dovecot[mode=aggressive]
    #[arg(value_name = "FILTER", default_value = "dovecot")]
    filter: Filter,

    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Print every line that matched (text)
    #[arg(long)]
    print_all_matched: bool,

    /// Print every line that did not match (text)
    #[arg(long)]
    print_all_missed: bool,
}

pub(super) fn run(args: &RegexArgs) -> Result<(), VerbError> {
    let input: Box<dyn Read> = match args.log.as_str() {
        "-" => Box::new(io::stdin().lock()),
        path => {
            let open = || -> io::Result<File> {
                let file = File::open(path)?;
                match file.metadata()?.is_dir() {
                    true => Err(io::ErrorKind::IsADirectory.into()),
                    false => Ok(file),
                }
            };
            let unreadable = |error| {
                VerbError::Usage(format!(
                    "{path} cannot be read ({error}); the log comes first, then the filter"
                ))
            };
            Box::new(open().map_err(unreadable)?)
        }
    };
    let mode = args.filter.mode;
    let zone = jiff::tz::TimeZone::system();
    let mut judge = Judge::new(Settings { mode, zone, session_check: SessionCheck::default() });
    let mut out = BufWriter::new(io::stdout().lock());
    let mut report: Box<dyn Report> = match args.format {
        Format::Json => Box::new(JsonLines::new(mode)),
        Format::Text => {
            Box::new(TextSummary::new(mode, args.print_all_matched, args.print_all_missed))
        }
    };

    let now = wall_clock();
    let judged = each_line(input, |line| {
        let judgement = judge.judge(line, now);
        report.line(&mut out, line, &judgement)
    });
    match judged.and_then(|()| report.end(&mut out)).and_then(|()| out.flush()) {
        // Nobody reads on, as with `| head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(VerbError::failed),
    }
}

/// Hands every line of `input` to `each`; the last one may lack its newline.
fn each_line(
    mut input: Box<dyn Read>,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut lines = LineBuffer::default();
    let mut result = Ok(());
    let mut until_error = |line: &[u8]| {
        if result.is_ok() {
            result = each(line);
        }
    };
    loop {
        match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(len) => lines.feed(chunk.get(..len).unwrap_or(&chunk), &mut until_error),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    lines.finish(&mut until_error);
    result
}
