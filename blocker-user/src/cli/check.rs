//! `check`: what is wrong with the configuration, or what it comes to; with `--live`, what is
//! wrong with the running system.

mod live;

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::{
    Format, PinDirArg, SocketArg, VerbError,
    config::{ConfigArgs, refuse_errors},
    logs::{self, Logs},
    output,
};
use crate::config::{Fault, Loaded, OPTIONS, Severity, markdown, show};

#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Look at the running system: daemon, kernel, log and Dovecot; says what keeps it from banning
    #[arg(long)]
    live: bool,
    /// With --live, say also what would become of this address
    #[arg(value_name = "IP", requires = "live")]
    address: Option<String>,
    #[command(flatten)]
    socket: SocketArg,
    #[command(flatten)]
    pin_dir: PinDirArg,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Print docs/config.md
    #[arg(long, hide = true)]
    print_options: bool,
}

pub(super) fn run(args: &CheckArgs) -> Result<(), VerbError> {
    if args.print_options {
        return output::text_out(&markdown());
    }
    if args.live {
        return live::run(args);
    }
    let loaded = args.config.load();
    let logs = found_logs(&loaded);
    match args.format {
        Format::Json => {
            output::json(&report(&loaded, logs.as_ref().ok().and_then(Option::as_ref)))?;
            logs?;
            match loaded.errors().count() {
                0 => Ok(()),
                errors => Err(VerbError::Usage(format!("{errors} errors in the configuration"))),
            }
        }
        Format::Text => {
            let warnings = show(loaded.warnings());
            if !warnings.is_empty() {
                eprintln!("{warnings}\n");
            }
            refuse_errors(&loaded)?;
            output::text_out(&text(&loaded, logs?.as_ref()))
        }
    }
}

/// What would be read. Where there are errors, this is not the time to ask.
fn found_logs(loaded: &Loaded) -> Result<Option<Logs>, VerbError> {
    let is_good = loaded.errors().next().is_none();
    is_good.then(|| logs::of(loaded)).transpose()
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    files: Vec<String>,
    /// `null` where something is wrong.
    logs: Option<Read>,
    options: Vec<Effective>,
    faults: Vec<Said>,
    unused: Vec<Unused>,
}

#[derive(Serialize)]
struct Effective {
    name: &'static str,
    value: String,
    from: String,
}

/// What is read, and, where nobody has said so, why.
#[derive(Serialize)]
struct Read {
    names: Vec<String>,
    why: Option<String>,
}

impl From<&Logs> for Read {
    fn from(logs: &Logs) -> Self {
        let names = logs.specs.iter().map(ToString::to_string).collect();
        Self { names, why: logs.why.clone() }
    }
}

#[derive(Serialize)]
struct Said {
    severity: &'static str,
    file: Option<String>,
    line: Option<usize>,
    option: Option<String>,
    what: String,
    todo: String,
}

#[derive(Serialize)]
struct Unused {
    name: String,
    from: String,
    why: &'static str,
}

fn report(loaded: &Loaded, logs: Option<&Logs>) -> Report {
    let effective = OPTIONS.iter().map(|option| {
        let (value, from) = loaded.effective(option);
        Effective { name: option.name, value, from: from.to_string() }
    });
    let unused = loaded.unused.iter().map(|unused| Unused {
        name: unused.name.clone(),
        from: unused.place.to_string(),
        why: unused.why,
    });
    Report {
        ok: logs.is_some(),
        files: loaded.files.iter().map(|file| file.display().to_string()).collect(),
        logs: logs.map(Read::from),
        options: effective.collect(),
        faults: loaded.faults.iter().map(said).collect(),
        unused: unused.collect(),
    }
}

fn said(fault: &Fault) -> Said {
    let whole = fault.file.as_ref().map(|file| file.display().to_string());
    Said {
        severity: match fault.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        file: fault.place.as_ref().map(|place| place.path().display().to_string()).or(whole),
        line: fault.place.as_ref().map(|place| place.line),
        option: fault.option.clone(),
        what: fault.what.clone(),
        todo: fault.todo.clone(),
    }
}

fn text(loaded: &Loaded, logs: Option<&Logs>) -> String {
    let mut text = String::new();
    let files: Vec<String> = loaded.files.iter().map(|file| file.display().to_string()).collect();
    let files = if files.is_empty() {
        "no file; these are the defaults".to_owned()
    } else {
        files.join(", ")
    };
    // Writing to a string cannot fail.
    let _infallible = writeln!(text, "read: {files}\n");
    let heading = ["option", "value", "from"].map(str::to_owned);
    let rows = OPTIONS.iter().map(|option| {
        let (value, from) = loaded.effective(option);
        // A terminal obeys control characters.
        let value = value.replace('\n', "  ").replace(char::is_control, " ");
        [option.name.to_owned(), value, from.to_string()]
    });
    text.push_str(&output::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>()));
    if let Some(Read { names, why }) = logs.map(Read::from) {
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        let _infallible = writeln!(text, "\nlogs: {}{why}", names.join(", "));
    }
    if !loaded.unused.is_empty() {
        text.push_str("\nset for fail2ban, and without a use here:\n");
        let rows = loaded
            .unused
            .iter()
            .map(|unused| [unused.name.clone(), unused.place.to_string(), unused.why.to_owned()]);
        text.push_str(&output::table(&rows.collect::<Vec<_>>()));
    }
    text
}
