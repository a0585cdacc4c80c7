//! Whether packets of mail clients pass by the program at all.

use super::item::Item;
use crate::control::api::Status;

pub(super) fn seen(status: &Status) -> Item {
    const CHECK: &str = "traffic";
    let counters = &status.counters;
    let judged = counters
        .passed_clean
        .saturating_add(counters.passed_expired)
        .saturating_add(counters.passed_allowed)
        .saturating_add(counters.dropped_packets);
    if judged > 0 {
        return Item::ok(
            CHECK,
            format!(
                "{judged} packets to guarded ports since it was first attached, of which {} were \
                 dropped",
                counters.dropped_packets
            ),
        );
    }
    let other = counters.passed_port.saturating_add(counters.passed_other);
    // Not the total, which outlives reboots.
    match status.currently_failed {
        0 => Item::ok(
            CHECK,
            format!("no packet to a guarded port yet ({other} others), and no failure either"),
        ),
        failed => Item::warning(
            CHECK,
            format!(
                "{failed} clients fail, and no packet to a guarded port has come by: mail clients \
                 come in by another interface, or the lines are of before it was attached"
            ),
            "where that goes on, name the interface that they come in by (docs/interfaces.md)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::item::Verdict, seen};
    use crate::control::api::Status;

    #[test]
    fn failures_without_packets_come_in_elsewhere() {
        let mut status = Status::example();
        status.counters.passed_clean = 0;
        status.counters.dropped_packets = 0;
        status.currently_failed = 0;
        assert_eq!(seen(&status).verdict, Verdict::Ok);
        status.currently_failed = 7;
        assert_eq!(seen(&status).verdict, Verdict::Warning);
        status.counters.passed_clean = 1;
        assert_eq!(seen(&status).verdict, Verdict::Ok);
    }
}
