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

/// The program, with the claim or without.
pub(super) fn bytes(frags: bool) -> Cow<'static, [u8]> {
    if frags { OBJECT.into() } else { without_frags(OBJECT).into() }
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
    use super::without_frags;

    #[test]
    fn every_name_of_the_section_is_shortened_in_its_place() {
        let found = without_frags(b"\0.relxdp.frags\0maps\0xdp.frags\0xdp.fragments\0");
        // What follows the new end belongs to no string.
        assert_eq!(found, b"\0.relxdp\0frags\0maps\0xdp\0frags\0xdp.fragments\0");
    }
}
