//! What user space is told of single packets: the first that a ban drops, and, for debugging,
//! every verdict on a banned source.

use aya_ebpf::{EbpfContext as _, bindings::xdp_md, programs::XdpContext};
use aya_log_ebpf::debug;
use blocker_common::{
    abi::{Counters, DropEvent, EVENT_BUDGET},
    packet::{Family, Packet, Source},
};

use crate::maps::{TRACE, event_budget, events};

/// Tells of the first packet of a ban, as far as the budget of this CPU goes.
#[inline(always)]
pub(crate) fn first_drop(packet: Packet, at_ns: u64, prefix_len: u8, count: &mut Counters) {
    /// 2^30 ns is about a second.
    const PERIOD: u32 = 30;
    let Some(budget) = event_budget.get_ptr_mut(0) else { return };
    // SAFETY: the pointer is to this CPU's own slot, which nothing else writes while the
    // program runs, and it stays valid for as long as the map does.
    let budget = unsafe { &mut *budget };
    if budget.period != at_ns >> PERIOD {
        budget.period = at_ns >> PERIOD;
        budget.written = 0;
    }
    if budget.written >= u64::from(EVENT_BUDGET) {
        count.events_held_back += 1;
        return;
    }
    budget.written += 1;
    let event = DropEvent {
        at_ns,
        addr: packet.source.addr(),
        family: packet.source.family as u16,
        prefix_len: u16::from(prefix_len),
        port: packet.port,
        protocol: packet.protocol,
        reason: packet.to as u8,
    };
    if events.output(&event, 0).is_err() {
        count.events_lost += 1;
    }
}

/// What became of a packet from a banned source.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum What {
    Allowed,
    Ended,
    Answered,
    Dropped,
}

/// One line to the daemon's log through aya-log. While `TRACE` is 0 the verifier sees a
/// constant condition and removes the call, and with it the function.
#[inline(always)]
pub(crate) fn trace(ctx: &XdpContext, packet: Packet, what: What) {
    if TRACE.load() != 0 {
        let [first, second] = packet.source.words;
        let [high, low] = packet.port.to_be_bytes();
        let rest = u32::from_be_bytes([packet.source.family as u8, what as u8, high, low]);
        // SAFETY: the context is the one that the program was given.
        unsafe { log(ctx.as_ptr().cast(), first, second, rest) };
    }
}

/// A function of its own, for the stack of the other has no room for the text.
///
/// # Safety
///
/// `context` must be the one that the program was given.
#[inline(never)]
unsafe fn log(context: *mut xdp_md, first: u64, second: u64, rest: u32) {
    const ALLOWED: u8 = What::Allowed as u8;
    const ENDED: u8 = What::Ended as u8;
    const ANSWERED: u8 = What::Answered as u8;
    let ctx = XdpContext::new(context);
    let [family, what, high, low] = rest.to_be_bytes();
    let port = u16::from_be_bytes([high, low]);
    let verdict = match what {
        ALLOWED => "pass: on the allow list",
        ENDED => "pass: the ban has ended",
        ANSWERED => "drop, answered with a reset",
        _ => "drop",
    };
    let family = if family == Family::V4 as u8 { Family::V4 } else { Family::V6 };
    let addr = Source { family, words: [first, second] }.addr();
    match family {
        Family::V4 => {
            let [a, b, c, d, ..] = addr;
            let addr = u32::from_be_bytes([a, b, c, d]);
            debug!(&ctx, "{:i} to port {}: {}", addr, port, verdict);
        }
        Family::V6 => {
            debug!(&ctx, "{:i} to port {}: {}", addr, port, verdict);
        }
    }
}
