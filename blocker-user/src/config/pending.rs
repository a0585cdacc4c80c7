//! Values that this version reads but does not act on yet. They are said rather than ignored;
//! whoever makes one of them work takes it out of here.

use super::{Fault, Loaded, Origin, settings::Backend};

/// To be asked when flags have been taken into account.
#[must_use]
pub fn pending(loaded: &Loaded) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut add = |option: &'static str, fault: Fault| {
        let fault = fault.option(option);
        faults.push(match loaded.origins.get(option) {
            Some(Origin::File(place)) => fault.at(place),
            _ => fault,
        });
    };
    let logs_by_flag = loaded.origins.get("logpath") == Some(&Origin::Flag);
    if loaded.settings.backend == Backend::Systemd && !logs_by_flag {
        let what = "the journal cannot be read directly in this version";
        let todo = "pipe it in: journalctl --follow --unit dovecot --output json | doveblock \
                    run --log -, or let Dovecot write to a file and set backend = auto";
        add("backend", Fault::error(what, todo));
    }
    faults
}
