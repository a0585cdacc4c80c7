//! `completions`: what a shell needs to complete our command line.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, VerbError, output};

#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell that is to read them
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<(), VerbError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "doveblock", &mut script);
    output::text_out(&String::from_utf8_lossy(&script))
}
