//! What libxdp's dispatcher is told when it is loaded: a constant of it, which the kernel keeps
//! in a read-only map. Bytes in, slots out, and back. The layout is that of
//! `struct xdp_dispatcher_config`, from libxdp's description of its protocol.

/// How many programs a dispatcher can call.
pub(super) const SLOTS: usize = 10;
const MAGIC: u8 = 236;
/// What a slot answers in which no program is: always goes on with the next one.
const EMPTY_SLOT: u32 = 1 << 31;
const XDP_PASS: u32 = 1 << 2;
/// `BPF_F_XDP_HAS_FRAGS`
const HAS_FRAGS: u32 = 1 << 5;
/// Three arrays of a number a slot, behind four single bytes.
const ARRAYS: usize = 4;
const ARRAY: usize = SLOTS * size_of::<u32>();
/// Behind the arrays, from version 3 on: whether it is bound to a device.
const DEVICE_BOUND: usize = ARRAYS + 3 * ARRAY;

/// The length of version 2, and of version 3.
pub(super) const LENGTHS: [usize; 2] = [DEVICE_BOUND, DEVICE_BOUND + 4];

/// How one program is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    /// A bit for each verdict after which the next program is asked.
    go_on_after: u32,
    /// Programs with a small number run first.
    pub(super) priority: u32,
    flags: u32,
}

impl Slot {
    /// Ours: in front of those without a wish of their own, which have 50, so that nobody spends
    /// time on the packets of the banned.
    pub(super) fn ours(frags: bool) -> Self {
        Self {
            go_on_after: XDP_PASS | EMPTY_SLOT,
            priority: 10,
            flags: if frags { HAS_FRAGS } else { 0 },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    version: u8,
    length: usize,
    pub(super) slots: Vec<Slot>,
}

impl Config {
    /// `None` for what is no configuration of a version that is understood.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[magic, version, enabled, _frags, ..] = bytes else { return None };
        let length = *LENGTHS.get(usize::from(version).checked_sub(2)?)?;
        let bound = bytes.get(DEVICE_BOUND).is_some_and(|bound| *bound != 0);
        if magic != MAGIC || bytes.len() != length || usize::from(enabled) > SLOTS || bound {
            return None;
        }
        let number = |array: usize, slot: usize| {
            let at = ARRAYS + array * ARRAY + slot * size_of::<u32>();
            bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
        };
        let slot = |at| {
            Some(Slot {
                go_on_after: number(0, at)?,
                priority: number(1, at)?,
                flags: number(2, at)?,
            })
        };
        let slots = (0..usize::from(enabled)).map(slot).collect::<Option<_>>()?;
        Some(Self { version, length, slots })
    }

    /// For a dispatcher of the same version that is loaded without the claim to cope with
    /// packets in several buffers, which the next one of libxdp's makes again where all can.
    pub(super) fn with_slots(&self, slots: &[Slot]) -> Vec<u8> {
        let enabled = u8::try_from(slots.len()).unwrap_or(u8::MAX);
        let mut bytes = vec![MAGIC, self.version, enabled, 0];
        for number in [|it: &Slot| it.go_on_after, |it: &Slot| it.priority, |it: &Slot| it.flags] {
            let numbers = slots.iter().map(number).chain(std::iter::repeat(0)).take(SLOTS);
            bytes.extend(numbers.flat_map(u32::to_ne_bytes));
        }
        bytes.resize(self.length, 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, SLOTS, Slot};

    #[test]
    fn both_versions_read_back_what_was_written() {
        for (version, length) in [(2, 124), (3, 128)] {
            let config = Config { version, length, slots: Vec::new() };
            let other = Slot { go_on_after: 0x8000_0004, priority: 50, flags: 0 };
            let slots = vec![Slot::ours(true), other];
            let bytes = config.with_slots(&slots);
            assert_eq!(bytes.len(), length);
            assert_eq!(bytes[..4], [236, version, 2, 0]);
            assert_eq!(bytes[4..8], 0x8000_0004_u32.to_ne_bytes());
            assert_eq!(bytes[44..52], [10_u32.to_ne_bytes(), 50_u32.to_ne_bytes()].concat());
            assert_eq!(Config::parse(&bytes), Some(Config { slots, ..config }));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let config = Config { version: 3, length: 128, slots: Vec::new() };
        let good = config.with_slots(&[Slot::ours(false)]);
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            Config::parse(&bytes)
        };
        assert!(with(0, 236).is_some());
        let too_many = u8::try_from(SLOTS + 1).unwrap();
        for (at, value) in [(0, 1), (1, 1), (1, 2), (1, 4), (2, too_many), (124, 1)] {
            assert_eq!(with(at, value), None, "byte {at} is {value}");
        }
        assert_eq!(Config::parse(&good[..100]), None);
        assert_eq!(Config::parse(&[]), None);
    }
}
