//! Attaching the program to interfaces, and keeping it there by pinned links.

use std::{ffi::CString, fs, io, path::Path};

use aya::programs::{
    ProgramError, Xdp, XdpMode as KernelMode,
    links::{FdLink, LinkError, PinnedLink},
    xdp::XdpLink,
};
use nix::net::if_::{if_nameindex, if_nametoindex};

use super::{Options, XdpMode};
use crate::firewall::{
    FirewallError,
    pins::{PinDir, linked_interfaces},
};

const EBUSY: i32 = 16;
/// What a link answers whose interface is gone.
const ENOLINK: i32 = 67;

/// The interface exists; otherwise the error lists those that do.
pub(super) fn require_interface(name: &str) -> Result<(), FirewallError> {
    if if_nametoindex(name).is_ok() {
        return Ok(());
    }
    let known = if_nameindex()
        .map(|list| list.iter().map(|one| one.name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    Err(FirewallError::UnknownInterface { name: name.to_owned(), known })
}

/// Attaches `program` to every interface of `options`, and detaches an earlier one from all
/// others. On an error the interfaces attached by this call are detached again.
pub(super) fn attach_all(
    program: &mut Xdp,
    options: &Options,
    pins: &PinDir,
) -> Result<(), FirewallError> {
    let mut attached = Vec::new();
    for interface in &options.interfaces {
        let pin = pins.link(interface);
        match adopt(program, &pin, interface) {
            Ok(true) => {
                tracing::info!("{interface}: replaced the attached program, bans stay in force");
                continue;
            }
            Ok(false) => {}
            Err(error) => return Err(take_back(&attached, error)),
        }
        match attach(program, &pin, interface, options.mode) {
            Ok(()) => attached.push(pin),
            Err(error) => return Err(take_back(&attached, error)),
        }
    }
    for interface in linked_interfaces(pins.path()) {
        if !options.interfaces.contains(&interface) {
            fs::remove_file(pins.link(&interface))
                .map_err(FirewallError::io(format!("detach from {interface}")))?;
            tracing::warn!("{interface}: no longer guarded, it is not among the interfaces given");
        }
    }
    Ok(())
}

fn take_back(attached: &[impl AsRef<Path>], error: FirewallError) -> FirewallError {
    for pin in attached {
        let _best_effort = fs::remove_file(pin);
    }
    error
}

/// Puts `program` in the place of the one an earlier daemon left; `false` where there is no
/// link, or its interface is gone.
fn adopt(program: &mut Xdp, pin: &Path, interface: &str) -> Result<bool, FirewallError> {
    let failed = || FirewallError::bpf(format!("replace the program on {interface}"));
    let link = match PinnedLink::from_pin(pin) {
        Ok(link) => FdLink::from(link),
        Err(LinkError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => {
            return Ok(false);
        }
        Err(error) => return Err(failed()(ProgramError::from(error))),
    };
    let link = XdpLink::try_from(link).map_err(|error| failed()(ProgramError::from(error)))?;
    match program.attach_to_link(link) {
        Ok(id) => {
            // Taken and dropped: the pin alone is to hold the link, see `pins`.
            drop(program.take_link(id).map_err(failed())?);
            Ok(true)
        }
        Err(error) if errno(&error) == Some(ENOLINK) => {
            fs::remove_file(pin)
                .map_err(FirewallError::io(format!("remove the stale link of {interface}")))?;
            Ok(false)
        }
        Err(error) => Err(failed()(error)),
    }
}

fn attach(
    program: &mut Xdp,
    pin: &Path,
    interface: &str,
    mode: XdpMode,
) -> Result<(), FirewallError> {
    let name = CString::new(interface)
        .map_err(|error| FirewallError::io("read an interface name")(error.into()))?;
    let mut in_mode = match mode {
        XdpMode::Generic => KernelMode::Skb,
        XdpMode::Native | XdpMode::Auto => KernelMode::Driver,
    };
    let mut result = program.attach(name.as_c_str(), in_mode);
    if let (XdpMode::Auto, Err(error)) = (mode, &result)
        && errno(error) != Some(EBUSY)
    {
        tracing::warn!(
            "{interface}: no native XDP ({}), falling back to generic: drops cost more there",
            reason(error)
        );
        in_mode = KernelMode::Skb;
        result = program.attach(name.as_c_str(), in_mode);
    }
    let id = result.map_err(|error| match errno(&error) {
        Some(EBUSY) => FirewallError::InterfaceInUse(interface.to_owned()),
        _ if mode == XdpMode::Native => {
            FirewallError::NoNativeMode { interface: interface.to_owned(), reason: reason(&error) }
        }
        _ => FirewallError::bpf(format!("attach to {interface}"))(error),
    })?;
    let action = || format!("pin the link of {interface}");
    let link = program.take_link(id).map_err(FirewallError::bpf(action()))?;
    // Before Linux 5.9 there was another way to attach, which no pin can hold.
    let link = FdLink::try_from(link)
        .map_err(|_| FirewallError::KernelTooOld("BPF links for XDP programs"))?;
    // The pin holds the link from here on; the descriptor is closed.
    drop(link.pin(pin).map_err(FirewallError::bpf(action()))?);
    let label = if in_mode == KernelMode::Skb { "generic" } else { "native" };
    tracing::info!("{interface}: attached in {label} mode");
    Ok(())
}

fn errno(error: &ProgramError) -> Option<i32> {
    io_error(error)?.raw_os_error()
}

fn reason(error: &ProgramError) -> String {
    io_error(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn io_error(error: &ProgramError) -> Option<&io::Error> {
    match error {
        ProgramError::SyscallError(error) => Some(&error.io_error),
        _ => None,
    }
}
