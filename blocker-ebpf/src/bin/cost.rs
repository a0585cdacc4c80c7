//! What `cargo xtask bench kernel` measures doveblock with: an object of its own, so that
//! nothing of it is in the one that ships.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{
        Global, bindings::xdp_action::XDP_DROP, helpers::bpf_redirect, macros::xdp,
        programs::XdpContext,
    };

    /// The interface that frames are sent out of.
    #[unsafe(no_mangle)]
    static INTERFACE: Global<u32> = Global::new(0);

    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the signature that the attribute demands")]
    fn floor(_ctx: XdpContext) -> u32 {
        XDP_DROP
    }

    #[xdp]
    #[expect(clippy::needless_pass_by_value, reason = "the signature that the attribute demands")]
    fn send(_ctx: XdpContext) -> u32 {
        // SAFETY: a helper that takes numbers.
        unsafe { bpf_redirect(INTERFACE.load(), 0) as u32 }
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        // SAFETY: the verifier rejects a program in which this could be reached.
        unsafe { core::hint::unreachable_unchecked() }
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
