use std::io::{self, Read, Write as _};

use super::{Archive, unpacked};

type Pack = fn(&[u8]) -> Vec<u8>;

const KINDS: [(&str, Pack); 4] = [(".gz", gzip), (".zst", zstd), (".xz", xz), (".bz2", bzip2)];

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
}

fn xz(text: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut packer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

fn bzip2(text: &[u8]) -> Vec<u8> {
    let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

/// Text that hardly repeats itself, so that its archive has a middle to be cut in.
fn text(lines: u32) -> Vec<u8> {
    let line = |number: u32| format!("{number} {:08x}\n", number.wrapping_mul(0x9e37_79b9));
    (0..lines).map(line).collect::<String>().into_bytes()
}

/// What can be read of a file, and why no more.
fn read(bytes: &[u8], name: &str) -> (Vec<u8>, Option<io::Error>) {
    let mut found = Vec::new();
    let read = unpacked(io::Cursor::new(bytes.to_vec()), Archive::by_name(name))
        .and_then(|mut text| text.read_to_end(&mut found));
    (found, read.err())
}

#[test]
fn every_format_is_known_by_its_content_whatever_the_name() {
    let text = text(50_000);
    for (ending, pack) in KINDS {
        for name in [format!("mail.log{ending}"), "mail.log".to_owned()] {
            let (found, error) = read(&pack(&text), &name);
            assert!(found == text && error.is_none(), "{ending} called {name}: {error:?}");
        }
    }
    for name in ["mail.log", "mail.log.gz"] {
        assert_eq!(read(&text, name).0, text, "a plain log called {name}");
    }
}

#[test]
fn archives_put_together_are_read_to_the_end() {
    for (ending, pack) in KINDS {
        let together = [pack(b"one\n"), pack(b""), pack(b"two\n")].concat();
        let (found, error) = read(&together, ending);
        assert!(error.is_none(), "{ending}: {error:?}");
        assert_eq!(found, b"one\ntwo\n", "{ending}");
    }
    let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9], &zstd(b"one\n")[..]].concat();
    assert_eq!(read(&skipped, "").0, b"one\n");
}

#[test]
fn an_archive_cut_short_gives_its_beginning_and_an_error() {
    let text = text(200_000);
    for (ending, pack) in KINDS {
        let whole = pack(&text);
        for keep in [whole.len() / 2, whole.len() - 1, whole.len() - 5] {
            let (found, error) = read(&whole[..keep], ending);
            assert!(error.is_some(), "{ending}: {keep} of {} bytes end quietly", whole.len());
            assert!(text.starts_with(&found), "{ending}");
            assert!(found.len() > text.len() / 8, "{ending}: only {} bytes", found.len());
        }
    }
}

#[test]
fn a_damaged_archive_is_an_error() {
    let text = text(50_000);
    for (ending, pack) in KINDS {
        let mut damaged = pack(&text);
        let middle = damaged.len() / 2;
        damaged[middle..middle + 8].fill(0x55);
        assert!(read(&damaged, ending).1.is_some(), "{ending}");
    }
}

#[test]
fn no_archive_makes_it_take_more_memory_than_it_may() {
    // Headers that ask for a dictionary or a window of gigabytes.
    let mut asks_for_4_gib = xz(b"x");
    // The dictionary size of LZMA2, and the checksum of the block's header.
    let header = 12..12 + 12;
    let property = header.start + 4;
    assert_eq!(asks_for_4_gib[header.start + 2], 0x21);
    asks_for_4_gib[property] = 40;
    let checksum = crc32(&asks_for_4_gib[header.start..header.end - 4]);
    asks_for_4_gib[header.end - 4..header.end].copy_from_slice(&checksum.to_le_bytes());
    let error = read(&asks_for_4_gib, "").1.unwrap().to_string();
    assert!(error.contains("mem"), "{error}");

    let window_of_2_gib = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0];
    let error = read(&window_of_2_gib, "").1.unwrap().to_string();
    assert!(error.to_lowercase().contains("window"), "{error}");
}

/// As every archive format has it.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn what_is_not_unpacked_here_is_named() {
    assert!(read(&[0x1f, 0x9d, 0x90, 1], "mail.log.Z").1.unwrap().to_string().contains("compress"));
    assert!(read(b"PK\x03\x04\x14\0\0\0", "").1.unwrap().to_string().contains("zip"));
    let error = read(b"\0\0\0\0garbage", "mail.log.2.gz").1.unwrap().to_string();
    assert!(error.contains("does not begin as a .gz file"), "{error}");
    assert!(read(b"", "mail.log.2.gz").1.is_some());
    assert!(read(b"", "mail.log").1.is_none());
}
