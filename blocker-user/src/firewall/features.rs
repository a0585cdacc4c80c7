//! What this kernel can do, by asking it and not by its version, which distributions leave
//! alone when they add to a kernel. Whatever is missing is said in the log, with what that
//! costs.

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported, is_map_supported},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::FirewallError;

/// What the program is built from that not every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    /// `bpf_ktime_get_coarse_ns`, since Linux 5.11.
    pub(super) coarse_clock: bool,
    /// Programs may take packets in several buffers, since Linux 5.18.
    pub(super) frags: bool,
}

impl Features {
    /// An error where something is missing that nothing can stand in for.
    pub(super) fn detect() -> Result<Self, FirewallError> {
        // Links are younger (5.9) and cannot be asked for; attaching finds out about them.
        if matches!(is_map_supported(MapType::RingBuf), Ok(false)) {
            return Err(FirewallError::KernelTooOld("BPF ring buffers"));
        }
        let coarse_clock = has_helper(BpfHelper::BPF_FUNC_ktime_get_coarse_ns);
        if !coarse_clock {
            tracing::warn!(
                "this kernel has no coarse clock for BPF (Linux 5.11 and later have): bans end \
                 on time all the same, and a dropped packet costs some 15 ns more"
            );
            // The two came with the same version, and this one cannot be asked for.
            raise_locked_memory();
        }
        // A flag cannot be asked for; a helper that came with it can.
        let frags = has_helper(BpfHelper::BPF_FUNC_xdp_get_buff_len);
        if !frags {
            tracing::debug!(
                "this kernel has no XDP for packets in several buffers (Linux 5.18 and later \
                 have): with jumbo frames native mode may be refused"
            );
        }
        Ok(Self { coarse_clock, frags })
    }
}

/// Before 5.11 maps count as locked memory, whole and from the start, and the usual limit is
/// a small part of them.
fn raise_locked_memory() {
    let unlimited = Rlimit { current: None, maximum: None };
    if getrlimit(Resource::Memlock) == unlimited {
        return;
    }
    if let Err(error) = setrlimit(Resource::Memlock, unlimited) {
        tracing::warn!(
            "this kernel counts BPF maps as locked memory, and the limit cannot be raised \
             ({error}): if loading fails, start doveblock with LimitMEMLOCK=infinity (systemd), \
             after `ulimit -l unlimited`, or with CAP_SYS_RESOURCE"
        );
    }
}

/// A probe that fails is a no: what is used instead works everywhere.
fn has_helper(helper: BpfHelper) -> bool {
    is_helper_supported(ProgramType::Xdp, helper).unwrap_or_else(|error| {
        tracing::debug!("asking the kernel for {helper:?}: {error}");
        false
    })
}
