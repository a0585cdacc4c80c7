//! The command line: one file per verb. Exit codes are the same everywhere: 0 fine, 1 failed,
//! 2 the command line or the configuration is at fault.

mod anonymize;
mod bans;
mod check;
mod completions;
mod config;
mod detach;
mod explain;
mod logs;
mod man;
pub(crate) mod output;
mod reading;
mod regex;
mod reload;
mod report;
mod rules;
mod run;
mod simulate;
mod status;
mod subjects;
mod top;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

pub use output::Format;

/// Keeps abusive mail clients off this host: reads Dovecot's log, and has the kernel drop the
/// packets of addresses that fail too often.
#[derive(Debug, Parser)]
#[command(name = "doveblock", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Read the log and enforce bans until stopped
    Run(Box<run::RunArgs>),
    /// Try the rules on a log: what matches, by which rule, from which address
    Regex(regex::RegexArgs),
    /// Say what a policy would have done on logs: who would be banned, and which real users
    Simulate(Box<simulate::SimulateArgs>),
    /// Write logs with others in place of all addresses and users, so that they can be shown
    Anonymize(anonymize::AnonymizeArgs),
    /// Print the rules: what they are named, what they look for, a line of each
    Rules(rules::RulesArgs),
    /// Show the jail: failures, bans, what the kernel dropped
    Status(status::StatusArgs),
    /// List the bans in force
    List(bans::ListArgs),
    /// Say why an address is banned, or why it is not
    Explain(explain::ExplainArgs),
    /// Report what the daemon did: as text, as JSON, or as a page to look at and to send
    Report(report::ReportArgs),
    /// Watch what is dropped, and bans come and go
    Top(top::TopArgs),
    /// Ban addresses and networks by hand
    Ban(bans::BanArgs),
    /// End bans
    Unban(bans::UnbanArgs),
    /// Have the daemon read its configuration again; bans stay, and no line is lost
    Reload(reload::ReloadArgs),
    /// Check the configuration, and show what it comes to
    Check(check::CheckArgs),
    /// Detach the XDP program and forget every ban; works without a daemon
    Detach(detach::DetachArgs),
    /// Print what a shell needs to complete this command line
    Completions(completions::CompletionsArgs),
    /// Print a page of the manual, for `man -l -`, or write all of them
    Man(man::ManArgs),
}

/// Where the daemon is reached.
#[derive(Args, Clone, Debug)]
pub struct SocketArg {
    /// Control socket of the daemon
    #[arg(long, value_name = "PATH", default_value = "/run/doveblock/doveblock.sock")]
    socket: PathBuf,
}

/// Where the kernel objects are pinned.
#[derive(Args, Clone, Debug)]
pub struct PinDirArg {
    /// Directory of the pins, on a BPF filesystem
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/doveblock")]
    pin_dir: PathBuf,
}

/// Where the daemon keeps what outlives it.
#[derive(Args, Clone, Debug)]
pub struct StateDirArg {
    /// Directory of the database with bans, earlier bans, totals, and how far logs were read
    #[arg(long, value_name = "DIR", default_value = "/var/lib/doveblock")]
    state_dir: PathBuf,
}

/// An error that ends a verb, and whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum VerbError {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
}

impl VerbError {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    fn usage(error: impl std::fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<crate::firewall::FirewallError> for VerbError {
    fn from(error: crate::firewall::FirewallError) -> Self {
        if error.is_usage() { Self::usage(error) } else { Self::failed(error) }
    }
}

impl From<crate::control::SocketError> for VerbError {
    fn from(error: crate::control::SocketError) -> Self {
        if error.is_usage() { Self::usage(error) } else { Self::failed(error) }
    }
}

impl From<crate::control::ClientError> for VerbError {
    fn from(error: crate::control::ClientError) -> Self {
        match error {
            crate::control::ClientError::Invalid(_) => Self::usage(error),
            crate::control::ClientError::Socket(error) => error.into(),
            error => Self::failed(error),
        }
    }
}

/// Carries out the command line and says what the process is to exit with.
#[must_use]
pub fn main(cli: Cli) -> ExitCode {
    let result = match cli.verb {
        Verb::Run(args) => run::run(*args),
        Verb::Regex(args) => regex::run(&args),
        Verb::Simulate(args) => simulate::run(*args),
        Verb::Anonymize(args) => anonymize::run(&args),
        Verb::Rules(args) => rules::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::List(args) => bans::list(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Report(args) => report::run(&args),
        Verb::Top(args) => top::run(&args),
        Verb::Reload(args) => reload::run(&args),
        Verb::Ban(args) => bans::ban(&args),
        Verb::Unban(args) => bans::unban(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Detach(args) => detach::run(&args),
        Verb::Completions(args) => completions::run(&args),
        Verb::Man(args) => man::run(&args),
    };
    let (message, code) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(VerbError::Failed(message)) => (message, 1),
        Err(VerbError::Usage(message)) => (message, 2),
    };
    eprintln!("doveblock: {message}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn every_verb_and_argument_has_its_help() {
        let cli = Cli::command();
        assert!(cli.get_subcommands().count() > 10);
        for verb in cli.get_subcommands() {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
            let silent = verb
                .get_arguments()
                .filter(|argument| argument.get_help().is_none() && !argument.is_hide_set());
            let silent: Vec<String> =
                silent.map(|argument| argument.get_id().to_string()).collect();
            assert!(silent.is_empty(), "{}: {silent:?}", verb.get_name());
        }
    }
}
