//! Word from the kernel that something about an interface has changed: it came, went, was
//! renamed. What it was does not matter, whoever hears of it looks for himself.

use std::{io, os::fd::OwnedFd, sync::Arc};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink, recv,
        socket_with,
    },
};

/// `RTMGRP_LINK`: the group that hears of interfaces.
const LINKS: u32 = 1;

/// Those of this network namespace.
pub(super) struct Notices {
    socket: Arc<OwnedFd>,
}

impl Notices {
    pub(super) fn subscribe() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Without a number, it is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, LINKS))?;
        Ok(Self { socket: Arc::new(socket) })
    }

    /// Readable when there is word.
    pub(super) fn descriptor(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.socket)
    }

    /// Whether there was word since the last time.
    pub(super) fn any(&self) -> bool {
        let mut any = false;
        loop {
            // No room is needed: what does not fit is cut off.
            match recv(&*self.socket, &mut [0_u8; 1], RecvFlags::empty()) {
                Ok(_) => any = true,
                Err(Errno::INTR) => {}
                // More has happened than the socket could hold.
                Err(Errno::NOBUFS) => any = true,
                Err(_) => return any,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Notices;

    #[test]
    fn silence_is_no_word() {
        let notices = Notices::subscribe().unwrap();
        // Of what happened on this host meanwhile.
        let _any = notices.any();
        assert!(!notices.any());
    }
}
