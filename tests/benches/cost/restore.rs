//! How long it takes to put bans into the kernel, as a daemon does that starts with them.

use std::time::Instant;

use anyhow::{Result, ensure};
use blocker_tests::{leftovers::Claim, wait};
use blocker_user::firewall::{Firewall as _, Xdp};

use crate::{Plan, Row, options, orders, packets};

pub(crate) fn measure(plan: &Plan) -> Result<()> {
    let Some(&bans) = plan.bans.last() else { return Ok(()) };
    let families = [("v4", orders(bans, packets::v4)), ("v6", orders(bans, packets::v6))];
    for round in 1..=plan.rounds {
        eprintln!("==> bans put into the kernel, round {round} of {}", plan.rounds);
        for (what, orders) in &families {
            wait::check()?;
            // Removes its pins, and with them the maps.
            let claim = Claim::new()?;
            let mut firewall = Xdp::open(&options(claim.pins(), Vec::new()))?;
            firewall.commit()?;
            let start = Instant::now();
            firewall.ban_many(orders)?;
            let ns = start.elapsed().as_nanos();
            let found = firewall.view()?.bans()?.len();
            ensure!(found == orders.len(), "{found} of {bans} bans are in the kernel");
            Row { part: "restore", what, bans, sources: 1, round, packets: u64::from(bans), ns }
                .print();
        }
    }
    Ok(())
}
