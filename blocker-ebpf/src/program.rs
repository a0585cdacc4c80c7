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
    helpers::{bpf_xdp_adjust_tail, generated::bpf_xdp_get_buff_len},
    macros::xdp,
    programs::XdpContext,
};
use aya_log_ebpf::debug;
use blocker_common::{
    abi::{
        ACTION_RESET, Counters, DropEvent, EVENT_BUDGET, Guarded, VERDICT_ALLOWED, VERDICT_BANNED,
        VERDICT_CLEAN,
    },
    packet::{
        Family, PROTO_UDP, Packet, Source, To, classify_v4, classify_v6, network_layer,
        reset::{self, BytesMut as _},
    },
};

use crate::{
    frame::Frame,
    maps::{FRAGS, TRACE, counters, event_budget, events, guarded},
    verdict,
};

#[xdp(frags)]
#[expect(clippy::needless_pass_by_value, reason = "the signature that the attribute demands")]
fn doveblock(ctx: XdpContext) -> u32 {
    let frame = Frame::of(&ctx);
    let Some(count) = counters.get_ptr_mut(0) else { return XDP_PASS };
    // SAFETY: the pointer is to this CPU's own slot, which nothing else writes while the
    // program runs, and it stays valid for as long as the map does.
    let count = unsafe { &mut *count };

    let bytes = length(&ctx, &frame);
    // The compiler writes down what follows once for each family, which it knows there.
    let verdict = match network_layer(&frame) {
        Some((Family::V4, offset)) => {
            classify_v4(&frame, offset).map(|packet| judge(&ctx, packet, bytes, count))
        }
        Some((Family::V6, offset)) => {
            classify_v6(&frame, offset).map(|packet| judge(&ctx, packet, bytes, count))
        }
        None => None,
    };
    verdict.unwrap_or_else(|| {
        count.passed_other += 1;
        XDP_PASS
    })
}

/// The length of the whole packet. Of one in several buffers the frame is the first; no other
/// packet is larger than an Ethernet frame with two tags, so that none of those asks.
#[inline(always)]
fn length(ctx: &XdpContext, frame: &Frame) -> u64 {
    const LARGEST_WITHOUT: usize = 1500 + 14 + 2 * 4;
    if FRAGS.load() != 0 && frame.size() > LARGEST_WITHOUT {
        core::hint::cold_path();
        // SAFETY: the helper gets the context that this program was given.
        return unsafe { bpf_xdp_get_buff_len(ctx.as_ptr().cast()) };
    }
    frame.size() as u64
}

#[inline(always)]
fn judge(ctx: &XdpContext, packet: Packet, bytes: u64, count: &mut Counters) -> u32 {
    let Some(settings) = guarded.get(0) else { return XDP_PASS };
    if !is_judged(packet, settings) {
        count.passed_port += 1;
        return XDP_PASS;
    }
    let Some(judged) = verdict::of(packet.source, settings, bytes) else { return XDP_PASS };
    if judged.verdict != VERDICT_BANNED {
        match judged.verdict {
            VERDICT_CLEAN => count.passed_clean += 1,
            VERDICT_ALLOWED => {
                count.passed_allowed += 1;
                trace(ctx, packet, 0);
            }
            _ => {
                count.passed_expired += 1;
                trace(ctx, packet, 1);
            }
        }
        return XDP_PASS;
    }
    count.dropped_packets += 1;
    count.dropped_bytes += bytes;
    if let Some((at_ns, prefix_len)) = judged.first {
        report(packet, at_ns, prefix_len, count);
    }
    if packet.to == To::Tcp {
        count.dropped_tcp += 1;
        if settings.action == ACTION_RESET {
            // SAFETY: the context is the one this program was given.
            let verdict = unsafe { answer(ctx.as_ptr().cast()) };
            count.answered_reset += u64::from(verdict == XDP_TX);
            trace(ctx, packet, 2);
            return verdict;
        }
    } else {
        // Sums and no branches: from those the compiler makes an index that the verifier
        // cannot see the bounds of.
        count.dropped_udp += u64::from(packet.to == To::Udp);
        count.dropped_fragment += u64::from(packet.to == To::Fragment);
        count.dropped_hidden += u64::from(packet.to == To::Hidden);
    }
    trace(ctx, packet, 3);
    XDP_DROP
}

/// Whether the source decides what happens to a packet.
#[inline(always)]
fn is_judged(packet: Packet, settings: &Guarded) -> bool {
    match packet.to {
        To::Tcp => settings.tcp(packet.port),
        To::Udp => settings.udp(packet.port),
        // A fragment of a datagram may be for a guarded port only if there are such.
        To::Fragment => {
            let may_be_guarded = packet.protocol != PROTO_UDP || settings.guards_udp != 0;
            settings.drop_fragments != 0 && may_be_guarded
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
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "no packet is that long, and the verifier wants no branch that asks"
)]
unsafe fn answer(context: *mut xdp_md) -> u32 {
    let mut frame = Frame::of(&XdpContext::new(context));
    let len = frame.size();
    let Some(end) = reset::answer(&mut frame) else { return XDP_DROP };
    let surplus = end as i32 - len as i32;
    // SAFETY: the helper gets the context it wants.
    if unsafe { bpf_xdp_adjust_tail(context, surplus) } == 0 { XDP_TX } else { XDP_DROP }
}

/// Tells user space of the first packet of a ban, as far as the budget of this CPU goes.
#[inline(always)]
fn report(packet: Packet, at_ns: u64, prefix_len: u8, count: &mut Counters) {
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

/// One line to the daemon's log through aya-log. While `TRACE` is 0 the verifier sees a
/// constant condition and removes the call.
#[inline(always)]
fn trace(ctx: &XdpContext, packet: Packet, what: u8) {
    if TRACE.load() != 0 {
        let [first, second] = packet.source.words;
        let rest = u32::from(packet.port) | u32::from(what) << 16;
        // SAFETY: the context is the one this program was given.
        unsafe { log(ctx.as_ptr().cast(), first, second, packet.source.family as u8, rest) };
    }
}

/// # Safety
///
/// `context` must be the one that the program was given.
#[inline(never)]
unsafe fn log(context: *mut xdp_md, first: u64, second: u64, family: u8, rest: u32) {
    let ctx = XdpContext::new(context);
    let verdict = match rest >> 16 {
        0 => "pass: on the allow list",
        1 => "pass: the ban has ended",
        2 => "drop, and answer where that is possible",
        _ => "drop",
    };
    let port = (rest & 0xffff) as u16;
    let family = if family == Family::V4 as u8 { Family::V4 } else { Family::V6 };
    let source = Source { family, words: [first, second] };
    let [a, b, c, d, ..] = source.addr();
    match family {
        Family::V4 => {
            let addr = u32::from_be_bytes([a, b, c, d]);
            debug!(&ctx, "{:i} to port {}: {}", addr, port, verdict);
        }
        Family::V6 => {
            debug!(&ctx, "{:i} to port {}: {}", source.addr(), port, verdict);
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
