//! Packed logs: whatever `logrotate` makes of a log comes in, its text goes out.
//!
//! What a file is packed with is told by its first bytes; a name is only asked where those
//! say nothing. Memory stays bounded whatever a file claims to need, and the end of a file
//! that ends early is an error, never a quiet end.

mod zstd;

use std::io::{self, BufReader, Chain, Cursor, Read};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

/// `xz -9` needs 65 MiB to unpack.
const XZ_MAX_MEMORY_KIB: u32 = 128 * 1024;
/// The longest beginning by which a format is told.
const BEGINNING: usize = 10;
/// What the decoders read at a time.
const CHUNK: usize = 128 * 1024;

/// What a file's name says it is packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Archive(&'static str);

impl Archive {
    const ENDINGS: [&'static str; 4] = [".gz", ".zst", ".xz", ".bz2"];

    /// The ending of a packed file's name, if `name` has one.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ENDINGS.into_iter().find(|ending| name.ends_with(ending)).map(Self)
    }

    pub(crate) fn ending(self) -> &'static str {
        self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
    /// Known, but not unpacked here.
    Foreign(&'static str),
}

impl Packing {
    fn by_beginning(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // Text could begin with the first four; not with the digits of pi behind them.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => {
                Some(Self::Bzip2)
            }
            [0x1f, 0x9d, ..] => Some(Self::Foreign("compress")),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Self::Foreign("lz4")),
            [b'P', b'K', 3, 4, ..] => Some(Self::Foreign("zip")),
            [b'7', b'z', 0xbc, 0xaf, ..] => Some(Self::Foreign("7z")),
            _ => None,
        }
    }
}

/// The text in `input`, which may be packed. `name` is what its file is called, where it has
/// a name.
pub(crate) fn unpacked<R: Read + Send + 'static>(
    mut input: R,
    name: Option<Archive>,
) -> io::Result<Box<dyn Read + Send>> {
    let mut beginning = Vec::new();
    input.by_ref().take(BEGINNING as u64).read_to_end(&mut beginning)?;
    let packing = Packing::by_beginning(&beginning);
    let is_text = !beginning.is_empty()
        && beginning.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r'));
    let input = Cursor::new(beginning).chain(input);
    Ok(match packing {
        Some(Packing::Gzip) => Box::new(MultiGzDecoder::new(buffered(input))),
        Some(Packing::Zstd) => Box::new(zstd::Frames::new(buffered(input))),
        Some(Packing::Xz) => {
            Box::new(XzReader::new_mem_limit(buffered(input), true, XZ_MAX_MEMORY_KIB))
        }
        Some(Packing::Bzip2) => Box::new(MultiBzDecoder::new(buffered(input))),
        Some(Packing::Foreign(what)) => {
            let message = format!(
                "it is packed with {what}: unpack it first, for example into a pipe to `-`"
            );
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        // A log that was renamed without being packed is read all the same.
        None => match name {
            Some(archive) if !is_text => {
                let message = format!("it does not begin as a {} file does", archive.ending());
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            _ => Box::new(input),
        },
    })
}

fn buffered<R: Read>(input: Chain<Cursor<Vec<u8>>, R>) -> BufReader<Chain<Cursor<Vec<u8>>, R>> {
    BufReader::with_capacity(CHUNK, input)
}

#[cfg(test)]
mod tests;
