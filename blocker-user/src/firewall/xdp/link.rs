//! Pinned links: what they hold, and which interface that is now. A link is known by the
//! interface it is attached to and not by the name of its pin, because interfaces are renamed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::programs::{
    ProgramError,
    links::{FdLink, LinkError, LinkType, PinnedLink},
    xdp::XdpLink,
};

use crate::firewall::{FirewallError, interface::Interface, pins};

/// A link of ours, opened from its pin.
pub(super) struct Link {
    pub(super) pin: PathBuf,
    /// The interface that its pin is named after.
    pub(super) named: String,
    /// The interface it is attached to, as that is called now; `None` where this network
    /// namespace has no such interface.
    pub(super) interface: Option<Interface>,
    /// The interface does not exist any more, in no namespace.
    pub(super) gone: bool,
    /// The id of the program that runs there.
    pub(super) program: u32,
    link: FdLink,
}

impl Link {
    pub(super) fn is_on(&self, index: u32) -> bool {
        self.interface.as_ref().is_some_and(|interface| interface.index == index)
    }

    pub(super) fn into_xdp(self) -> Result<XdpLink, FirewallError> {
        XdpLink::try_from(self.link)
            .map_err(ProgramError::from)
            .map_err(FirewallError::bpf(format!("use the link {}", self.pin.display())))
    }

    /// `None` for what is pinned under a name like ours and is no XDP link. That we could not
    /// look is an error: a link of ours that is not seen would be taken for somebody else's.
    fn open(named: String, pin: PathBuf) -> Result<Option<Self>, FirewallError> {
        let failed = || FirewallError::io(format!("read the link {}", pin.display()));
        let link = match PinnedLink::from_pin(&pin) {
            Ok(link) => FdLink::from(link),
            Err(LinkError::SyscallError(error)) if is_exhausted(&error.io_error) => {
                return Err(failed()(error.io_error));
            }
            Err(_) => return Ok(None),
        };
        let Ok(info) = link.info() else { return Ok(None) };
        if !matches!(info.link_type(), Ok(LinkType::Xdp)) {
            return Ok(None);
        }
        let program = info.program_id();
        let Some(index) = index(info.id()).map_err(failed())? else { return Ok(None) };
        // Another network namespace may have the same index; it does not have the program.
        let interface = Interface::with_index(index)
            .filter(|interface| interface.xdp.is_some_and(|xdp| xdp.program == program));
        Ok(Some(Self { pin, named, interface, gone: index == 0, program, link }))
    }
}

/// This process, or the host, has no descriptor left.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// Every link pinned below `pin_dir`.
pub(super) fn all(pin_dir: &Path) -> Result<Vec<Link>, FirewallError> {
    let pins = pins::links(pin_dir)
        .map_err(FirewallError::io(format!("read the pins in {}", pin_dir.display())))?;
    pins.into_iter().filter_map(|(named, pin)| Link::open(named, pin).transpose()).collect()
}

/// The interface index of the link with that id, which one of our descriptors holds: aya
/// does not tell it, `/proc` does. The kernel writes 0 once the interface is gone.
fn index(link_id: u32) -> io::Result<Option<u32>> {
    for entry in fs::read_dir("/proc/thread-self/fdinfo")? {
        match fs::read_to_string(entry?.path()) {
            Ok(text) => {
                if let Some(index) = index_in(&text, link_id) {
                    return Ok(Some(index));
                }
            }
            // Another thread has closed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Lines of `name:` and a value.
fn index_in(fdinfo: &str, link_id: u32) -> Option<u32> {
    let field = |name: &str| {
        let mut lines = fdinfo.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
    };
    (field("link_id") == Some(link_id)).then(|| field("ifindex"))?
}

#[cfg(test)]
mod tests {
    use super::index_in;

    #[test]
    fn the_kernel_tells_the_interface_of_a_link() {
        let text = "pos:\t0\nflags:\t02000002\nlink_type:\txdp\nlink_id:\t12\nprog_id:\t40\n\
                    ifindex:\t7\n";
        assert_eq!(index_in(text, 12), Some(7));
        assert_eq!(index_in(text, 1), None);
        assert_eq!(index_in("pos:\t0\nlink_type:\tcgroup\nlink_id:\t12\n", 12), None);
    }
}
