//! Every developer task of doveblock: `cargo xtask --help`.
//!
//! Compiles with any stable Rust from 1.85 on, because it is what installs the pinned
//! compiler that the rest needs. It relies on rustup and a C linker, nothing else.
mod bench;
mod build;
mod cmd;
mod fuzz;
mod layout;
mod lint;
mod package;
mod packages;
mod report;
mod run;
mod setup;
mod test;
mod tidy;
mod vm;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the other tasks need: the pinned Rust, bpf-linker, and (as root, on
    /// Debian) what the end-to-end tests drive
    Setup,
    /// Build the kernel half and the user half: target/release/doveblock
    Build,
    /// Build, then try it in a sandbox of network namespaces; with arguments, run doveblock
    ///
    /// Without arguments: a sandbox with a real Dovecot where one is installed, else with a
    /// sample log. It needs root and leaves the host's interfaces alone.
    ///
    /// With arguments: `doveblock run ARGS...`, for example
    /// `cargo xtask run -- -i eth0 --log /var/log/mail.log`.
    #[command(override_usage = "cargo xtask run [-- ARGS...]")]
    Run {
        /// Handed to `doveblock run` as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build the .deb and the .rpm, of a static program: target/package
    Package,
    /// Build, then run every test and the lints; the last line is the count
    Test {
        /// Only tests whose name contains this; the lints are left out
        filter: Option<String>,
        /// Fail when a test was skipped, as CI does
        #[arg(long)]
        deny_skipped: bool,
    },
    /// Measure doveblock beside the programs that its users know, and write the tables
    Bench {
        #[command(subcommand)]
        bench: bench::Bench,
    },
    /// Build, then boot Debian's kernels under QEMU and run doveblock there
    ///
    /// The loader, the packet tests and a drop of real packets, on each kernel of the matrix.
    /// Kernels and consoles are kept in target/vm.
    Vm {
        /// Only this one: 5.10, 6.1, 6.12 or newest
        kernel: Option<String>,
    },
    /// Feed the packet classifier whatever libFuzzer thinks of (needs a C++ compiler)
    ///
    /// What it learns is kept in fuzz/corpus, and what it finds in fuzz/artifacts.
    Fuzz {
        /// How long, if nothing is found
        #[arg(default_value_t = 60)]
        seconds: u32,
    },
    /// Check formatting, clippy for both halves, and the rules of the house
    Lint,
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Setup => setup::everything().map(|()| ExitCode::SUCCESS),
        Task::Build => build::both_halves().map(|binary| {
            println!("built {}", binary.display());
            ExitCode::SUCCESS
        }),
        Task::Run { args } if args.is_empty() => run::sandbox(),
        Task::Run { args } => run::doveblock(&args),
        Task::Package => package::task(),
        Task::Test { filter, deny_skipped } => test::all(filter.as_deref(), deny_skipped),
        Task::Bench { bench } => bench::run(&bench),
        Task::Vm { kernel } => vm::task(kernel.as_deref()),
        Task::Fuzz { seconds } => fuzz::packet(seconds).map(|()| ExitCode::SUCCESS),
        Task::Lint => lint::task(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run_args(line: &[&str]) -> Vec<OsString> {
        match Args::try_parse_from(["cargo xtask", "run"].iter().chain(line)).unwrap().task {
            Task::Run { args } => args,
            _ => unreachable!("the line says run"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn doveblocks_arguments_arrive_as_typed_with_and_without_the_dashes() {
        let typed = ["-i", "eth0", "--log", "x", "--", "-"];
        assert_eq!(run_args(&typed), typed);
        assert_eq!(run_args(&["--", "-i", "eth0", "--help"]), ["-i", "eth0", "--help"]);
    }

    #[test]
    fn run_alone_has_no_arguments_and_keeps_its_own_help() {
        assert!(run_args(&[]).is_empty());
        assert!(run_args(&["--"]).is_empty());
        assert!(Args::try_parse_from(["cargo xtask", "run", "--help"]).is_err());
    }
}
