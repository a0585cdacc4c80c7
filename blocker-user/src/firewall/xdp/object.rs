//! The kernel program as it is loaded. It claims to cope with packets in several buffers
//! (jumbo frames; headers are in the first one), which Linux before 5.18 takes for an unknown
//! flag. aya reads the claim off the name of the program's section.

use std::borrow::Cow;

/// The kernel program, put here by build.rs; empty in a build without one.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/doveblock.bpf.o"));

/// The section's name, in the ELF file's and in the BTF's table of strings.
const WITH_FRAGS: &[u8] = b"xdp.frags\0";
const WITHOUT: &[u8] = b"xdp\0";

/// `false` in a build without the kernel program.
pub(super) fn is_built() -> bool {
    !OBJECT.is_empty()
}

/// The program, with the claim or without; and as an extension of another program, which may
/// not change the size of packets: the kernel refuses that where the other one does not, and
/// libxdp's dispatcher does not.
pub(super) fn bytes(frags: bool, is_extension: bool) -> Cow<'static, [u8]> {
    let mut object: Cow<'static, [u8]> =
        if frags { OBJECT.into() } else { without_frags(OBJECT).into() };
    if is_extension {
        keep_size(object.to_mut());
    }
    object
}

/// Puts a failure in the place of each call of `bpf_xdp_adjust_tail`; that it stands in a branch
/// that is never taken would not be enough for the verifier.
fn keep_size(object: &mut [u8]) {
    /// `call 65`
    const ADJUST_TAIL: [u8; 8] = [0x85, 0, 0, 0, 65, 0, 0, 0];
    /// `r0 = -1`
    const FAILED: [u8; 8] = [0xb7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    // Instructions lie at multiples of their length.
    for instruction in object.as_chunks_mut().0 {
        if *instruction == ADJUST_TAIL {
            instruction.copy_from_slice(&FAILED);
        }
    }
}

/// Strings end where a zero is, so that a shorter one fits into the place of a longer one.
fn without_frags(object: &[u8]) -> Vec<u8> {
    let mut object = object.to_vec();
    let found: Vec<usize> = object
        .windows(WITH_FRAGS.len())
        .enumerate()
        .filter_map(|(at, window)| (window == WITH_FRAGS).then_some(at))
        .collect();
    for at in found {
        if let Some(name) = object.get_mut(at..at + WITHOUT.len()) {
            name.copy_from_slice(WITHOUT);
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::{keep_size, without_frags};

    #[test]
    fn a_call_that_would_change_the_size_fails_instead() {
        let mut object = [[0x85, 0, 0, 0, 65, 0, 0, 0], [0x85, 0, 0, 0, 188, 0, 0, 0]].concat();
        keep_size(&mut object);
        assert_eq!(object[..8], [0xb7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(object[8..], [0x85, 0, 0, 0, 188, 0, 0, 0]);
    }

    #[test]
    fn every_name_of_the_section_is_shortened_in_its_place() {
        let found = without_frags(b"\0.relxdp.frags\0maps\0xdp.frags\0xdp.fragments\0");
        // What follows the new end belongs to no string.
        assert_eq!(found, b"\0.relxdp\0frags\0maps\0xdp\0frags\0xdp.fragments\0");
    }
}
