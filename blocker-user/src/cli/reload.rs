//! `reload`: the daemon reads its configuration again.

use clap::Args;
use serde_json::json;

use super::{Format, SocketArg, VerbError, output};
use crate::control::{Client, api::Reloaded};

#[derive(Args, Debug)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    socket: SocketArg,
    /// How to print what was done
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &ReloadArgs) -> Result<(), VerbError> {
    let reloaded: Reloaded = Client::new(&args.socket.socket).post("/v1/reload", &json!({}))?;
    if args.format == Format::Json {
        return output::json(&reloaded);
    }
    output::text_out("the configuration was read again, and is in force\n")?;
    if !reloaded.at_restart.is_empty() {
        eprintln!(
            "doveblock: takes effect at the next start only: {}",
            reloaded.at_restart.join(", ")
        );
    }
    Ok(())
}
