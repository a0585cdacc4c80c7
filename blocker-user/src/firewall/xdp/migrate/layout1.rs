//! What the first version pinned, byte by byte. Its `ports` has no number of a layout yet and is
//! known by its size, as are its other maps.

use blocker_common::abi::{Ban, Counters, PortRange, Ports};

use crate::firewall::clock::Clock;

pub(super) type BanV1 = [u8; 40];
pub(super) type PortsV1 = [u8; 136];
pub(super) type CountersV1 = [u8; 56];

/// The bytes at `at`; zeros behind the end, which the sizes above rule out.
fn bytes<const N: usize>(value: &[u8], at: usize) -> [u8; N] {
    value.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

fn u64_at(value: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes(value, at))
}

fn u32_at(value: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes(value, at))
}

pub(super) fn ban(value: &BanV1) -> Ban {
    Ban {
        dropped_packets: u64_at(value, 8),
        dropped_bytes: u64_at(value, 16),
        expires: Clock::deadline_of_ns(u64_at(value, 0)),
        last_seen: 0,
        banned_at: u32::try_from(u64_at(value, 24)).unwrap_or(u32::MAX),
        attempts: u16::try_from(u32_at(value, 32)).unwrap_or(u16::MAX),
        prefix_len: u8::try_from(u32_at(value, 36)).unwrap_or(128),
        serial: 1,
    }
}

pub(super) fn ports(value: &PortsV1) -> Ports {
    let mut ports =
        Ports { networks: u32_at(value, 128), allowed: u32_at(value, 132), ..Ports::default() };
    let number = |at| u16::from_ne_bytes(bytes(value, at));
    for (range, at) in ports.tcp.iter_mut().zip((0..).step_by(4)) {
        *range = PortRange { first: number(at), last: number(at + 2) };
    }
    ports
}

pub(super) fn counters(value: &CountersV1) -> Counters {
    Counters {
        dropped_packets: u64_at(value, 0),
        dropped_bytes: u64_at(value, 8),
        passed_other: u64_at(value, 16),
        passed_port: u64_at(value, 24),
        passed_clean: u64_at(value, 32),
        passed_expired: u64_at(value, 40),
        passed_allowed: u64_at(value, 48),
        // There was no other reason but for chains of headers, which are rare.
        dropped_tcp: u64_at(value, 0),
        ..Counters::default()
    }
}
