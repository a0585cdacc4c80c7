//! The kernel program, loaded over the pinned maps.

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::MapError,
    programs::{self, ProgramError},
};
use blocker_common::abi::{PROGRAM, global, map};

use super::{Options, capacity::Capacity, link::is_exhausted, object};
use crate::firewall::{FirewallError, features::Features, pins::PinDir, trace::Tracer};

/// What an object is made with.
#[derive(Clone, Copy)]
pub(super) struct Recipe<'a> {
    pub(super) options: &'a Options,
    pub(super) features: Features,
    pub(super) capacity: Capacity,
    pub(super) pins: &'a PinDir,
    pub(super) tracer: &'a Tracer,
}

impl Recipe<'_> {
    /// The program, to be attached to interfaces. Maps that are not pinned yet are made.
    pub(super) fn program(&self) -> Result<Ebpf, FirewallError> {
        self.load(None)
    }

    /// The program over the same maps, to be called by another program. Its trace is followed.
    pub(super) fn extension(&self) -> Result<Ebpf, FirewallError> {
        let mut object = self.load(Some(PROGRAM))?;
        self.follow(&mut object)?;
        Ok(object)
    }

    /// Shows the trace of `object` in the log, where that is wanted.
    pub(super) fn follow(&self, object: &mut Ebpf) -> Result<(), FirewallError> {
        if self.options.trace { self.tracer.follow(object) } else { Ok(()) }
    }

    fn load(&self, extension: Option<&'static str>) -> Result<Ebpf, FirewallError> {
        let Self { options, features, capacity, pins, tracer: _ } = *self;
        let v6_mask = v6_mask(options.ipv6_prefix);
        let coarse_clock = u8::from(features.coarse_clock);
        let frags = u8::from(features.frags);
        let trace = u8::from(options.trace);
        let mut loader = EbpfLoader::new();
        loader
            .default_map_pin_directory(pins.path())
            .override_global(global::V6_MASK, &v6_mask, true)
            .override_global(global::COARSE_CLOCK, &coarse_clock, true)
            .override_global(global::FRAGS, &frags, true)
            .override_global(global::TRACE, &trace, true)
            .map_max_entries(map::BANS_V4, capacity.v4)
            .map_max_entries(map::BANS_V6, capacity.v6);
        for (name, pin) in pins.elsewhere() {
            loader.map_pin_path(name, pin);
        }
        if !options.trace {
            crate::firewall::trace::shrink_buffer(&mut loader);
        }
        if let Some(name) = extension {
            loader.extension(name);
        }
        loader.load(&object::bytes(features.frags)).map_err(|error| match error {
            EbpfError::MapError(error @ MapError::IncompatiblePinnedMap { .. }) => {
                FirewallError::IncompatiblePins {
                    dir: pins.path().to_owned(),
                    reason: error.to_string(),
                }
            }
            error => FirewallError::bpf("load the kernel program")(error),
        })
    }
}

pub(super) fn program(object: &mut Ebpf) -> Result<&mut programs::Xdp, FirewallError> {
    object
        .program_mut(PROGRAM)
        .and_then(|program| program.try_into().ok())
        .ok_or(FirewallError::NoProgram)
}

/// What the verifier has to say is of interest only where it refuses.
pub(super) fn verify(program: &mut programs::Xdp) -> Result<(), FirewallError> {
    program.load().map_err(|error| match error {
        ProgramError::LoadError { io_error, .. } if is_exhausted(&io_error) => {
            FirewallError::io("load the kernel program")(io_error)
        }
        error => FirewallError::bpf("verify the kernel program")(error),
    })
}

/// The mask of the first `prefix` bits, as the kernel side reads it (`abi::global::V6_MASK`).
fn v6_mask(prefix: u8) -> [u64; 2] {
    let bits = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
    let bytes = bits.to_be_bytes();
    let half = |at: usize| {
        bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |half| u64::from_ne_bytes(*half))
    };
    [half(0), half(8)]
}

#[cfg(test)]
mod tests {
    use super::v6_mask;

    #[test]
    fn the_mask_covers_the_first_bits_in_memory_order() {
        let bytes = |prefix| {
            let [first, second] = v6_mask(prefix);
            [first.to_ne_bytes(), second.to_ne_bytes()].concat()
        };
        assert_eq!(bytes(64), [[0xff; 8], [0; 8]].concat());
        assert_eq!(bytes(128), [0xff; 16]);
        assert_eq!(bytes(0), [0; 16]);
        assert_eq!(bytes(12), [vec![0xff, 0xf0], vec![0; 14]].concat());
    }
}
