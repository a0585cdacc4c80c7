//! Which file systems keep from the kernel what others do to their files.
//!
//! On these an inotify watch can be set and tells of this host's own writes only. Their numbers
//! are the kernel's (`linux/magic.h`, and each file system's source).

use std::path::Path;

use rustix::fs::statfs;

const SILENT: [(u32, &str); 18] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "FhGFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x786f_4256, "VirtualBox's shared folders"),
    (0xbacb_acbc, "VMware's shared folders"),
    (0x564c, "NCP"),
];

/// The name of the file system that `path` is on, if it is one of these.
pub(super) fn silent(path: &Path) -> Option<&'static str> {
    // As on some machines it is signed, and wider than the number.
    let magic = statfs(path).ok()?.f_type;
    name(i128::from(magic))
}

fn name(magic: i128) -> Option<&'static str> {
    let magic = magic & i128::from(u32::MAX);
    SILENT.iter().find(|(number, _)| i128::from(*number) == magic).map(|&(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::{name, silent};

    #[test]
    fn file_systems_of_others_are_known_by_their_number() {
        assert_eq!(name(0x6969), Some("NFS"));
        assert_eq!(name(i128::from(0xff53_4d42_u32.cast_signed())), Some("CIFS"));
        // ext4, tmpfs, overlayfs.
        for local in [0xef53, 0x0102_1994, 0x794c_7630] {
            assert_eq!(name(local), None);
        }
    }

    #[test]
    fn those_of_this_host_are_watched() {
        assert_eq!(silent(tempfile::tempdir().unwrap().path()), None);
        assert_eq!(silent("/proc".as_ref()), None);
        assert_eq!(silent("/nowhere".as_ref()), None);
    }
}
