//! `check`: what is wrong with the configuration, or what it comes to.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::{
    Format, VerbError,
    config::{ConfigArgs, refuse_errors},
    output,
};
use crate::config::{Fault, Loaded, OPTIONS, Severity, markdown, pending, show};

#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
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
    let mut loaded = args.config.load();
    let pending = pending(&loaded);
    loaded.faults.extend(pending);
    match args.format {
        Format::Json => {
            output::json(&report(&loaded))?;
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
            output::text_out(&text(&loaded))
        }
    }
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    files: Vec<String>,
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

fn report(loaded: &Loaded) -> Report {
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
        ok: loaded.errors().next().is_none(),
        files: loaded.files.iter().map(|file| file.display().to_string()).collect(),
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

fn text(loaded: &Loaded) -> String {
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
