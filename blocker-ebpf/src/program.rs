//! One XDP entry point: packet in, verdict out. Policy lives in user space; this reads the
//! maps and never decides who is banned.
//!
//! Order of the questions, cheapest and most telling first: is it for a guarded port? is
//! the source banned? has the ban ended? is the source on the allow list? Whatever is not
//! understood, and whatever a failing helper leaves open, passes.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        xdp_action::{XDP_DROP, XDP_PASS, XDP_TX},
        xdp_md,
    },
    helpers::bpf_xdp_adjust_tail,
    macros::xdp,
    programs::XdpContext,
};
use aya_log_ebpf::debug;
use blocker_common::{
    abi::{
        ACTION_RESET, Counters, DropEvent, EVENT_BUDGET, Guarded, Ports, REASON_FRAGMENT,
        REASON_HIDDEN, REASON_TCP, REASON_UDP, VERDICT_ALLOWED, VERDICT_BANNED, VERDICT_CLEAN,
    },
    packet::{
        PROTO_TCP, PROTO_UDP, Packet, To, classify,
        reset::{self, BytesMut as _},
    },
};

use crate::{
    frame::Frame,
    maps::{TRACE, counters, event_budget, events, guarded, ports},
    verdict::{self, Address},
};

#[xdp(frags)]
#[expect(clippy::needless_pass_by_value, reason = "the signature that the attribute demands")]
fn doveblock(ctx: XdpContext) -> u32 {
    let frame = Frame::of(&ctx);
    let Some(count) = counters.get_ptr_mut(0) else { return XDP_PASS };
    // SAFETY: the pointer is to this CPU's own slot, which nothing else writes while the
    // program runs, and it stays valid for as long as the map does.
    let count = unsafe { &mut *count };

    let Some(packet) = classify(&frame) else {
        count.passed_other += 1;
        return XDP_PASS;
    };
    let (Some(bits), Some(settings)) = (guarded.get(0), ports.get(0)) else { return XDP_PASS };
    if !is_judged(packet.to, bits, settings) {
        count.passed_port += 1;
        return XDP_PASS;
    }
    let source = Address::of(&packet.source);
    let bytes = frame.len() as u64;
    let Some(judged) = verdict::of(&source, settings, bytes) else { return XDP_PASS };
    if judged.verdict != VERDICT_BANNED {
        match judged.verdict {
            VERDICT_CLEAN => count.passed_clean += 1,
            VERDICT_ALLOWED => {
                count.passed_allowed += 1;
                trace(&ctx, &packet, "pass: on the allow list");
            }
            _ => {
                count.passed_expired += 1;
                trace(&ctx, &packet, "pass: the ban has ended");
            }
        }
        return XDP_PASS;
    }
    count.dropped_packets += 1;
    count.dropped_bytes += bytes;
    match packet.to {
        To::Tcp(_) => count.dropped_tcp += 1,
        To::Udp(_) => count.dropped_udp += 1,
        To::Fragment(_) => count.dropped_fragment += 1,
        To::Hidden => count.dropped_hidden += 1,
    }
    if let Some((at_ns, prefix_len)) = judged.first {
        report(&source, &packet, at_ns, prefix_len, count);
    }
    if settings.action == ACTION_RESET && matches!(packet.to, To::Tcp(_)) {
        // SAFETY: the context is the one this program was given.
        let verdict = unsafe { answer(ctx.as_ptr().cast()) };
        if verdict == XDP_TX {
            count.answered_reset += 1;
            trace(&ctx, &packet, "reset");
        }
        return verdict;
    }
    trace(&ctx, &packet, "drop");
    XDP_DROP
}

/// Whether the source decides what happens to a packet.
#[inline(always)]
fn is_judged(to: To, bits: &Guarded, settings: &Ports) -> bool {
    match to {
        To::Tcp(port) => bits.tcp(port),
        To::Udp(port) => bits.udp(port),
        // A fragment of a datagram may be for a guarded port only if there are such.
        To::Fragment(protocol) => {
            settings.drop_fragments != 0 && (protocol != PROTO_UDP || settings.udp[0].first != 0)
        }
        // Whoever hides the port is judged as if it were guarded.
        To::Hidden => true,
    }
}

/// Sends the packet back as a reset if it can be answered. A function of its own, for the
/// stack has no room for both.
///
/// # Safety
///
/// `context` must be the one that the program was given.
#[inline(never)]
unsafe fn answer(context: *mut xdp_md) -> u32 {
    let mut frame = Frame::of(&XdpContext::new(context));
    let len = frame.len();
    let Some(end) = reset::answer(&mut frame) else { return XDP_DROP };
    let surplus = end as i32 - len as i32;
    // SAFETY: the helper gets the context it wants.
    if unsafe { bpf_xdp_adjust_tail(context, surplus) } == 0 { XDP_TX } else { XDP_DROP }
}

/// Tells user space of the first packet of a ban, as far as the budget of this CPU goes.
#[inline(always)]
fn report(
    source: &Address,
    packet: &Packet,
    at_ns: u64,
    prefix_len: u8,
    count: &mut Counters,
) {
    /// 2^30 ns is about a second.
    const PERIOD: u32 = 30;
    let Some(budget) = event_budget.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's own slot, as for the counters.
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
    let (reason, protocol, port) = match packet.to {
        To::Tcp(port) => (REASON_TCP, PROTO_TCP, port),
        To::Udp(port) => (REASON_UDP, PROTO_UDP, port),
        To::Fragment(protocol) => (REASON_FRAGMENT, protocol, 0),
        To::Hidden => (REASON_HIDDEN, 0, 0),
    };
    let event = DropEvent {
        at_ns,
        addr: source.bytes(),
        family: u16::from(source.family),
        prefix_len: u16::from(prefix_len),
        port,
        protocol,
        reason,
    };
    if events.output(&event, 0).is_err() {
        count.events_lost += 1;
    }
}

/// One line to the daemon's log through aya-log. While `TRACE` is 0 the verifier sees a
/// constant condition and removes the call.
#[inline(always)]
fn trace(ctx: &XdpContext, packet: &Packet, verdict: &str) {
    use blocker_common::packet::Source;

    if TRACE.load() == 0 {
        return;
    }
    let port = match packet.to {
        To::Tcp(port) | To::Udp(port) => port,
        To::Fragment(_) | To::Hidden => 0,
    };
    match packet.source {
        Source::V4(addr) => {
            debug!(ctx, "{:i} to port {}: {}", u32::from_be_bytes(addr), port, verdict);
        }
        Source::V6(addr) => {
            debug!(ctx, "{:i} to port {}: {}", addr, port, verdict);
        }
    }
}

/// Makes the GPL-only helpers available, and says how the program may be used.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The verifier proves that a BPF program does not panic; the compiler wants one anyway.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: the verifier rejects a program in which this could be reached.
    unsafe { core::hint::unreachable_unchecked() }
}
