//! The packet in the driver's buffer, as the classifier reads it.

use core::ptr::read_volatile;

use aya_ebpf::programs::XdpContext;
use blocker_common::packet::{Bytes, reset::BytesMut};

pub(crate) struct Frame {
    start: usize,
    end: usize,
    len: usize,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn of(ctx: &XdpContext) -> Self {
        // SAFETY: the context is there for as long as the program runs.
        let context = unsafe { &*ctx.ctx };
        // Read for itself, so that the compiler does not derive from a look at the length what
        // the verifier wants to see compared with the end.
        // SAFETY: two fields of it.
        let len = unsafe {
            read_volatile(&raw const context.data_end) - read_volatile(&raw const context.data)
        };
        Self { start: ctx.data(), end: ctx.data_end(), len: len as usize }
    }

    /// Where `N` bytes at `offset` are, if they are all in the packet.
    #[inline(always)]
    fn place<const N: usize>(&self, offset: usize) -> Option<usize> {
        let at = self.start + offset;
        (at + N <= self.end).then_some(at)
    }
}

impl Bytes for Frame {
    #[inline(always)]
    fn get<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = self.place::<N>(offset)?;
        // SAFETY: `at .. at + N` lies inside the packet, as just checked; the verifier
        // demands the same check. A byte array has no alignment to violate.
        Some(unsafe { *(at as *const [u8; N]) })
    }
}

impl BytesMut for Frame {
    #[inline(always)]
    fn set<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()> {
        let at = self.place::<N>(offset)?;
        // SAFETY: as in `get`; the packet is this program's alone until it returns.
        unsafe { *(at as *mut [u8; N]) = bytes };
        Some(())
    }

    #[inline(always)]
    fn size(&self) -> usize {
        self.len
    }
}
