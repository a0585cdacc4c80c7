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
    helpers::generated::bpf_xdp_get_buff_len,
    macros::xdp,
    programs::XdpContext,
};
use blocker_common::{
    abi::{ACTION_RESET, Counters, Guarded, VERDICT_ALLOWED, VERDICT_BANNED, VERDICT_CLEAN},
    packet::{
        Family, PROTO_UDP, Packet, To, classify_v4, classify_v6, network_layer,
        reset::{self, BytesMut as _},
    },
};

use crate::{
    frame::Frame,
    maps::{FRAGS, counters, guarded},
    tell::{What, first_drop, trace},
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
                trace(ctx, packet, What::Allowed);
            }
            _ => {
                count.passed_expired += 1;
                trace(ctx, packet, What::Ended);
            }
        }
        return XDP_PASS;
    }
    count.dropped_packets += 1;
    count.dropped_bytes += bytes;
    if let Some((at_ns, prefix_len)) = judged.first {
        first_drop(packet, at_ns, prefix_len, count);
    }
    if packet.to == To::Tcp {
        count.dropped_tcp += 1;
        if settings.action == ACTION_RESET {
            // SAFETY: the context is the one this program was given.
            let verdict = unsafe { answer(ctx.as_ptr().cast()) };
            if verdict == XDP_TX {
                count.answered_reset += 1;
                trace(ctx, packet, What::Answered);
                return XDP_TX;
            }
        }
    } else {
        // Sums and no branches: from those the compiler makes an index that the verifier
        // cannot see the bounds of.
        count.dropped_udp += u64::from(packet.to == To::Udp);
        count.dropped_fragment += u64::from(packet.to == To::Fragment);
        count.dropped_hidden += u64::from(packet.to == To::Hidden);
    }
    trace(ctx, packet, What::Dropped);
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
unsafe fn answer(context: *mut xdp_md) -> u32 {
    let mut frame = Frame::of(&XdpContext::new(context));
    if reset::answer(&mut frame).is_some() { XDP_TX } else { XDP_DROP }
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
