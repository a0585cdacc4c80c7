//! Many entries of a hash map in one system call, which aya 0.16 has no way to make. This is
//! the only file of the daemon with `unsafe` in it, see ARCHITECTURE.md.
//!
//! Kernels before 5.6 know no such calls. Whatever a call leaves undone the caller does entry
//! by entry, so that no error has to be understood here.
#![expect(unsafe_code, reason = "a system call that no safe crate makes")]

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
    ptr,
};

use aya::{
    Pod,
    maps::{MapData, MapType},
};

use super::super::FirewallError;

/// `BPF_MAP_LOOKUP_BATCH` and `BPF_MAP_UPDATE_BATCH` of linux/bpf.h.
const LOOKUP_BATCH: libc::c_int = 24;
const UPDATE_BATCH: libc::c_int = 26;
/// Entries of one call: a few megabytes, and a system call that takes some milliseconds.
const CHUNK: u32 = 1 << 15;

/// The part of `union bpf_attr` for these calls.
#[derive(Default)]
#[repr(C)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// A hash map whose keys and values are as large as `K` and `V`.
pub(super) struct Bulk<K, V> {
    map: MapData,
    types: PhantomData<(K, V)>,
}

impl<K: Pod, V: Pod> Bulk<K, V> {
    pub(super) fn open(pin: &Path) -> Result<Self, FirewallError> {
        let failed = || format!("open the pinned map {}", pin.display());
        let map = MapData::from_pin(pin).map_err(FirewallError::bpf(failed()))?;
        let info = map.info().map_err(FirewallError::bpf(failed()))?;
        let sizes = (usize::try_from(info.key_size()), usize::try_from(info.value_size()));
        let is_hash = matches!(info.map_type(), Ok(MapType::Hash));
        // The kernel reads and writes as much as the map says: `update` and `entries` rely on
        // this.
        if !is_hash || sizes != (Ok(size_of::<K>()), Ok(size_of::<V>())) {
            let found = io::Error::other("it is no hash map with such keys and values");
            return Err(FirewallError::io(failed())(found));
        }
        Ok(Self { map, types: PhantomData })
    }

    /// Sets `keys` to `values` and returns how many of them are set, from the first one on.
    pub(super) fn update(&self, keys: &[K], values: &[V]) -> usize {
        let chunk = usize::try_from(CHUNK).unwrap_or(usize::MAX);
        let mut done = 0;
        for (keys, values) in keys.chunks(chunk).zip(values.chunks(chunk)) {
            let count = keys.len().min(values.len());
            let mut attributes = Attributes {
                keys: address(keys.as_ptr()),
                values: address(values.as_ptr()),
                count: u32::try_from(count).unwrap_or(0),
                ..self.attributes()
            };
            // SAFETY: the kernel reads `count` keys and values, which is what the slices hold:
            // the map's sizes are those of `K` and `V`, as `open` found.
            match unsafe { call(UPDATE_BATCH, &mut attributes) } {
                Ok(()) => done += count,
                Err(error) => {
                    tracing::debug!("{count} bans at once: {error}; going on one by one");
                    let set = usize::try_from(attributes.count).unwrap_or(count);
                    // A call that was refused as a whole leaves the number as it was.
                    return done + if set == count { 0 } else { set };
                }
            }
        }
        done
    }

    /// Every entry, each once; `None` where the kernel cannot, or there is no end to it.
    pub(super) fn entries(&self) -> Option<Vec<(K, V)>> {
        self.read(usize::MAX)
    }

    /// Where the kernel cannot tell at once, it is taken for granted.
    pub(super) fn has_more_than(&self, few: usize) -> bool {
        self.read(few).is_none_or(|entries| entries.len() > few)
    }

    /// As [`Bulk::entries`], but ends when there are more than `enough`.
    fn read(&self, enough: usize) -> Option<Vec<(K, V)>> {
        const ENOENT: i32 = 2;
        const ENOSPC: i32 = 28;
        let mut entries = Vec::new();
        let mut room = CHUNK;
        // Where a call goes on after the one before: for a hash map the number of a bucket.
        let (mut from, mut to) = (None::<u32>, 0_u32);
        loop {
            let many = usize::try_from(room).ok()?;
            let mut keys = Vec::<K>::with_capacity(many);
            let mut values = Vec::<V>::with_capacity(many);
            let mut attributes = Attributes {
                in_batch: from.as_ref().map_or(0, |from| address(ptr::from_ref(from))),
                out_batch: address(ptr::from_mut(&mut to)),
                keys: address(keys.as_mut_ptr()),
                values: address(values.as_mut_ptr()),
                count: room,
                ..self.attributes()
            };
            // SAFETY: the kernel writes at most `count` keys and values, for which there is
            // room, since the map's sizes are those of `K` and `V`; and four bytes to `to`.
            let result = unsafe { call(LOOKUP_BATCH, &mut attributes) };
            let errno = result.as_ref().err().and_then(io::Error::raw_os_error);
            if errno == Some(ENOSPC) && room < 1 << 24 {
                // One bucket has more than this.
                room *= 2;
                continue;
            }
            if result.is_err() && errno != Some(ENOENT) {
                tracing::debug!("many bans at once cannot be read: {result:?}");
                return None;
            }
            let read = usize::try_from(attributes.count).ok()?.min(many);
            // SAFETY: the kernel has written so many of each, and any bytes are a `Pod` value.
            unsafe {
                keys.set_len(read);
                values.set_len(read);
            }
            entries.extend(keys.into_iter().zip(values));
            if errno == Some(ENOENT) || entries.len() > enough {
                return Some(entries);
            }
            from = Some(to);
        }
    }

    fn attributes(&self) -> Attributes {
        let map_fd = u32::try_from(self.map.fd().as_fd().as_raw_fd()).unwrap_or(u32::MAX);
        Attributes { map_fd, ..Attributes::default() }
    }
}

fn address<T>(pointer: *const T) -> u64 {
    // A `usize` has no more than 64 bits on any machine with BPF.
    u64::try_from(pointer.expose_provenance()).unwrap_or(0)
}

/// # Safety
///
/// The pointers in `attributes` must be good for what `command` reads and writes there.
unsafe fn call(command: libc::c_int, attributes: &mut Attributes) -> io::Result<()> {
    // SAFETY: the attributes live through the call and have the size that is told; what they
    // point to is the caller's promise.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, ptr::from_mut(attributes), size_of::<Attributes>())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
