//! `detach`: the emergency exit. It must work with no daemon, and with one that hangs.

use clap::Args;

use super::{PinDirArg, StateDirArg, VerbError, output};
use crate::{firewall, store};

#[derive(Args, Debug)]
pub(super) struct DetachArgs {
    #[command(flatten)]
    pin_dir: PinDirArg,

    #[command(flatten)]
    state_dir: StateDirArg,
}

pub(super) fn run(args: &DetachArgs) -> Result<(), VerbError> {
    let dir = args.pin_dir.pin_dir.display();
    let detached = firewall::detach(&args.pin_dir.pin_dir)?;
    // Also where nothing is pinned, as after a reboot: the next start would enforce them again.
    let forgotten = store::forget_bans(&args.state_dir.state_dir, &args.pin_dir.pin_dir);
    if let Err(error) = forgotten {
        eprintln!(
            "doveblock: the next start would enforce the bans of the database again: {error}"
        );
    }
    let Some(detached) = detached else {
        return output::text_out(&format!("nothing is pinned in {dir}\n"));
    };
    if detached.daemon_running {
        eprintln!(
            "doveblock: a daemon was using these pins; it runs on, but nothing it bans is dropped \
             any more until it is restarted"
        );
    }
    let from = if detached.interfaces.is_empty() {
        String::new()
    } else {
        format!(" from {}", detached.interfaces.join(", "))
    };
    output::text_out(&format!("detached{from}; every ban in {dir} is gone\n"))
}
