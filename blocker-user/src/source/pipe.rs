//! A pipe, read as far as it is filled and never waited in.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
};

use super::{LineBuffer, Progress};

/// What a pipe holds, unless somebody has changed that.
const CHUNK: usize = 64 * 1024;

pub(super) struct Pipe {
    descriptor: Arc<OwnedFd>,
    lines: LineBuffer,
}

impl Pipe {
    pub(super) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        let flags = fcntl_getfl(&descriptor)?;
        fcntl_setfl(&descriptor, flags | OFlags::NONBLOCK)?;
        Ok(Self { descriptor: Arc::new(descriptor), lines: LineBuffer::default() })
    }

    /// To be waited for.
    pub(super) fn descriptor(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.descriptor)
    }

    /// Reads a chunk and hands its complete lines to `each`. It has ended when nobody has its
    /// other end any more; what was written of a line until then goes, for half a line can name
    /// half an address.
    pub(super) fn read(&mut self, each: &mut dyn FnMut(&[u8])) -> io::Result<Progress> {
        let mut chunk = [0; CHUNK];
        match rustix::io::read(self.descriptor.as_fd(), &mut chunk) {
            Ok(0) => Ok(Progress::Ended),
            Ok(len) => {
                self.lines.feed(chunk.get(..len).unwrap_or(&chunk), each);
                Ok(Progress::More)
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(Progress::Idle),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pipe;
    use crate::source::Progress;

    #[test]
    fn is_read_as_far_as_it_is_filled() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut pipe = Pipe::new(reader).unwrap();
        let mut lines = Vec::new();
        let mut read = |pipe: &mut Pipe| {
            pipe.read(&mut |line| lines.push(String::from_utf8_lossy(line).into_owned())).unwrap()
        };
        assert_eq!(read(&mut pipe), Progress::Idle);
        rustix::io::write(&writer, b"one\ntw").unwrap();
        assert_eq!(read(&mut pipe), Progress::More);
        rustix::io::write(&writer, b"o\nhalf").unwrap();
        drop(writer);
        assert_eq!(read(&mut pipe), Progress::More);
        assert_eq!(read(&mut pipe), Progress::Ended);
        assert_eq!(lines, ["one", "two"]);
    }
}
