//! What `cargo xtask bench kernel` measures doveblock with: an object of its own, so that
//! nothing of it is in the one that ships.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{
        Global,
        bindings::xdp_action::{XDP_ABORTED, XDP_DROP},
        btf_maps::ProgramArray,
        helpers::{bpf_get_prandom_u32, bpf_redirect},
        macros::{btf_map, xdp},
        programs::XdpContext,
    };

    /// The interface that frames are sent out of.
    #[unsafe(no_mangle)]
    static INTERFACE: Global<u32> = Global::new(0);
    /// How many sources the packets come from, [`FIRST_SOURCE`] and those after it. With one
    /// the packet stays as it is.
    #[unsafe(no_mangle)]
    static SOURCES: Global<u32> = Global::new(1);
    /// The first of them, as a number.
    #[unsafe(no_mangle)]
    static FIRST_SOURCE: Global<u32> = Global::new(0);

    /// The program that `scatter` goes on to.
    #[btf_map]
    static NEXT: ProgramArray<1> = ProgramArray::new();

    /// Of an IPv4 header without options behind an Ethernet header without tags.
    const CHECKSUM: usize = 14 + 10;
    const SOURCE: usize = 14 + 12;

    #[xdp(frags)]
    fn floor(_ctx: XdpContext) -> u32 {
        XDP_DROP
    }

    /// Gives the packet a source by chance, then lets the program in `NEXT` judge it.
    #[xdp(frags)]
    #[expect(clippy::needless_pass_by_value, reason = "the signature that the attribute demands")]
    fn scatter(ctx: XdpContext) -> u32 {
        change_source(&ctx);
        // SAFETY: the map holds programs of this type, or nothing and then the call returns.
        unsafe { NEXT.tail_call(&ctx, 0) };
        XDP_ABORTED
    }

    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the signature that the attribute demands")]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a verdict, as the helper gives it"
    )]
    fn send(ctx: XdpContext) -> u32 {
        if SOURCES.load() > 1 {
            change_source(&ctx);
        }
        // SAFETY: a helper that takes numbers.
        unsafe { bpf_redirect(INTERFACE.load(), 0) as u32 }
    }

    /// And the header's checksum, by RFC 1624: IP looks at it before any rule does.
    #[inline(always)]
    fn change_source(ctx: &XdpContext) {
        let start = ctx.data();
        if start + SOURCE + 4 > ctx.data_end() {
            return;
        }
        // SAFETY: a helper without arguments.
        let random = u64::from(unsafe { bpf_get_prandom_u32() });
        // Every source is as likely as the next, within one part in thousands.
        let number = (random * u64::from(SOURCES.load())) >> 32;
        let source = (FIRST_SOURCE.load() + (number & 0xffff_ffff) as u32).to_be();
        let (sum_at, source_at) = ((start + CHECKSUM) as *mut u16, (start + SOURCE) as *mut u32);
        // SAFETY: both lie inside the packet, as just checked.
        unsafe {
            let before = source_at.read_unaligned();
            let mut sum = u64::from(!sum_at.read_unaligned());
            sum += u64::from(!before & 0xffff) + u64::from(!before >> 16);
            sum += u64::from(source & 0xffff) + u64::from(source >> 16);
            sum = (sum & 0xffff) + (sum >> 16);
            sum = (sum & 0xffff) + (sum >> 16);
            source_at.write_unaligned(source);
            sum_at.write_unaligned(!((sum & 0xffff) as u16));
        }
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        // SAFETY: the verifier rejects a program in which this could be reached.
        unsafe { core::hint::unreachable_unchecked() }
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
