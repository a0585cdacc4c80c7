//! How many bans the hash maps have room for. A map takes the memory of all its entries when it
//! is made, so the first ones are small, and each that is full is replaced by a larger one, up
//! to `max_bans`.

use std::num::NonZeroU32;

use blocker_common::abi::{FIRST_BANS, map};

/// A map that is full is replaced by one this many times as large: what it costs to copy the
/// bans is spread over three times as many new ones.
const FACTOR: u32 = 4;
/// A start goes on with a map that is at most this many times as large as one that would do.
/// What a flood has left is given back so, and a map that would soon grow again is not made
/// smaller.
const TOO_LARGE: u32 = 16;

/// Entries of the two hash maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capacity {
    pub(super) v4: u32,
    pub(super) v6: u32,
}

impl Capacity {
    /// The maps that are to be replaced to get from this to `other`.
    pub(super) fn differences(self, other: Self) -> Vec<&'static str> {
        let v4 = (self.v4 != other.v4).then_some(map::BANS_V4);
        v4.into_iter().chain((self.v6 != other.v6).then_some(map::BANS_V6)).collect()
    }
}

/// Entries of a map that is to hold `bans`: as few as the steps of growing allow.
pub(super) fn room_for(bans: usize, max_bans: NonZeroU32) -> u32 {
    let mut room = u32::try_from(FIRST_BANS).unwrap_or(u32::MAX);
    while usize::try_from(room).is_ok_and(|room| room < bans) && room < max_bans.get() {
        room = room.saturating_mul(FACTOR);
    }
    room.min(max_bans.get())
}

/// The most bans that leave a map of `capacity` entries too large for them.
pub(super) fn too_few_for(capacity: u32) -> usize {
    let first = u32::try_from(FIRST_BANS).unwrap_or(u32::MAX);
    let few = capacity / TOO_LARGE;
    if few < first { 0 } else { usize::try_from(few).unwrap_or(usize::MAX) }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::{Capacity, room_for, too_few_for};

    #[test]
    fn maps_grow_by_steps_up_to_max_bans() {
        let max = |max_bans| NonZeroU32::new(max_bans).unwrap();
        let steps = [0, 4096, 4097, 16_385, 262_144, 262_145, 2_000_000];
        let rooms = steps.map(|bans| room_for(bans, max(1 << 20)));
        assert_eq!(rooms, [4096, 4096, 16_384, 65_536, 262_144, 1 << 20, 1 << 20]);
        assert_eq!([0, 3, 100].map(|bans| room_for(bans, max(3))), [3; 3]);
        assert_eq!([4096, 4097, 5001].map(|bans| room_for(bans, max(5000))), [4096, 5000, 5000]);
        assert_eq!(room_for(usize::MAX, NonZeroU32::MAX), u32::MAX);
    }

    #[test]
    fn the_smallest_maps_and_those_in_use_are_not_too_large() {
        let few = [1, 4096, 16_384, 65_536, 262_144, 1 << 20].map(too_few_for);
        assert_eq!(few, [0, 0, 0, 4096, 16_384, 65_536]);
    }

    #[test]
    fn only_what_differs_is_replaced() {
        let small = Capacity { v4: 4096, v6: 4096 };
        assert!(small.differences(small).is_empty());
        assert_eq!(small.differences(Capacity { v6: 16_384, ..small }), ["bans_v6"]);
        assert_eq!(small.differences(Capacity { v4: 1, v6: 1 }), ["bans_v4", "bans_v6"]);
    }
}
