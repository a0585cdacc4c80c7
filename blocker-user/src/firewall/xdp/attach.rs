//! Attaching the program to interfaces, and keeping it there by pinned links.

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use aya::programs::{
    ProgramError, Xdp, XdpMode as KernelMode,
    links::{FdLink, LinkType},
    loaded_links,
    xdp::{XdpError, XdpLink},
};

use super::{XdpMode, link, link::Link, load::Recipe, start::Start};
use crate::firewall::{
    FirewallError,
    dispatcher::{self, Swap},
    interface::{Interface, Kind},
    pins::PinDir,
};

/// A program is attached already: in this mode, in the other one.
const TAKEN: [i32; 2] = [16, 17];
/// What a link answers whose interface is gone.
const ENOLINK: i32 = 67;
/// How drivers say that they cannot: EOPNOTSUPP and ENOTSUPP for those without XDP, the others
/// (EINVAL, ENODEV, ERANGE, ENOSPC, ENOMEM) for an MTU, or a number of queues, that rules it
/// out. Anything else is no answer to the question, and generic mode would hide it.
const NO_NATIVE: [i32; 7] = [95, 524, 22, 19, 34, 28, 12];

/// The interfaces that are to be guarded.
pub(super) struct Wanted {
    pub(super) present: Vec<Interface>,
    /// Names that no interface has yet.
    pub(super) missing: Vec<String>,
}

/// The interfaces of these names and altnames, each once. One that comes later, like that of a
/// tunnel, is waited for; but if there is none at all, then the names are wrong.
pub(super) fn resolve(names: &[String]) -> Result<Wanted, FirewallError> {
    let mut seen = BTreeSet::new();
    let mut wanted = Wanted { present: Vec::new(), missing: Vec::new() };
    let mut unknown = None;
    for name in names {
        let interface = match Interface::named(name) {
            Ok(interface) => interface,
            Err(error @ FirewallError::UnknownInterface { .. }) => {
                wanted.missing.push(name.clone());
                unknown.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        interface.require_ethernet()?;
        if seen.insert(interface.index) {
            wanted.present.push(interface);
        }
    }
    // The kernel takes no program below a device that has one, but the other way round it does.
    wanted.present.sort_by_key(|interface| matches!(interface.layer, Kind::Bridge | Kind::Bond));
    match unknown {
        Some(error) if wanted.present.is_empty() => Err(error),
        _ => Ok(wanted),
    }
}

/// Puts `program` on every interface of `wanted`, in the place of an earlier one where there
/// is a link of ours. What this changes is noted in `start`, also where it fails halfway.
pub(super) fn attach_all(
    program: &mut Xdp,
    wanted: &[Interface],
    recipe: &Recipe<'_>,
    start: &mut Start,
) -> Result<(), FirewallError> {
    let pins = recipe.pins;
    let mut links = link::all(pins.path())?;
    for one in &mut links {
        start.renamed.extend(follow_rename(one, pins));
    }
    for interface in wanted {
        let name = &interface.name;
        let found = links.iter().position(|link| link.is_on(interface.index));
        if let Some(at) = found {
            let link = links.swap_remove(at);
            warn_of_other_mode(&link, recipe.options.mode);
            if let Some(link) = adopt(program, link)? {
                start.adopted.push(link);
                tracing::info!("{name}: replaced the attached program, bans stay in force");
                continue;
            }
        }
        match attach(program, interface, recipe)? {
            Place::Own => start.attached.push(pins.link(name)),
            Place::Dispatcher(swap) => start.joined.push(swap),
        }
    }
    Ok(())
}

/// Where a program has taken the place of the one before it.
#[derive(Default)]
pub(super) struct Replaced {
    /// Held open for the way back, which must not need a descriptor.
    links: Vec<XdpLink>,
    pub(super) joined: Vec<Swap>,
}

impl Replaced {
    /// Puts `program` everywhere where the one with the id `before` runs: on links, and in the
    /// dispatchers that are `served` with it. What was done by an error is noted all the same.
    pub(super) fn replace(
        &mut self,
        program: &mut Xdp,
        before: u32,
        served: &[Interface],
        recipe: &Recipe<'_>,
    ) -> Result<(), FirewallError> {
        for link in link::all(recipe.pins.path())? {
            if link.program == before {
                self.links.extend(adopt(program, link)?);
            }
        }
        for interface in served {
            self.joined.extend(join(interface, recipe)?);
        }
        Ok(())
    }

    /// Goes on past whatever cannot be put back.
    pub(super) fn take_back(self, before: &mut Xdp) {
        let mut failed = Vec::new();
        for link in self.links {
            failed.extend(before.attach_to_link(link).err().map(|error| error.to_string()));
        }
        for swap in self.joined.into_iter().rev() {
            failed.extend(swap.undo().err().map(|error| error.to_string()));
        }
        for failure in failed {
            tracing::warn!("putting the program back that ran before: {failure}");
        }
    }
}

/// `None` where `interface` has no dispatcher.
fn join(interface: &Interface, recipe: &Recipe<'_>) -> Result<Option<Swap>, FirewallError> {
    dispatcher::join(interface, recipe.pins.path(), recipe.features.frags, &|| recipe.extension())
}

/// Where the program has come to be.
pub(super) enum Place {
    /// Attached by a link of ours, which is pinned.
    Own,
    /// Called by libxdp's dispatcher.
    Dispatcher(Swap),
}

/// Ends what earlier daemons have left on interfaces that are not `wanted`.
pub(super) fn detach_others(wanted: &[Interface], pins: &PinDir) -> Result<(), FirewallError> {
    for interface in dispatcher::served(pins.path())? {
        if wanted.iter().all(|one| one.index != interface.index) {
            dispatcher::leave(&interface, pins.path())?;
            tracing::warn!("{}: no longer guarded, it is not among those given", interface.name);
        }
    }
    for link in link::all(pins.path())? {
        if wanted.iter().any(|interface| link.is_on(interface.index)) {
            continue;
        }
        let name = link.interface.as_ref().map_or(&link.named, |interface| &interface.name);
        fs::remove_file(&link.pin).map_err(FirewallError::io(format!("detach from {name}")))?;
        if !link.gone {
            tracing::warn!("{name}: no longer guarded, it is not among the interfaces given");
        }
    }
    Ok(())
}

/// The pin of a link is to bear the name that its interface has now. Where it had another, both
/// pins, from and to.
pub(super) fn follow_rename(link: &mut Link, pins: &PinDir) -> Option<(PathBuf, PathBuf)> {
    let interface = link.interface.as_ref()?;
    let pin = pins.link(&interface.name);
    // Where two interfaces have changed names the other's pin is in the way. It does no harm:
    // a link is found by its interface.
    if pin == link.pin || pin.exists() || fs::rename(&link.pin, &pin).is_err() {
        return None;
    }
    tracing::info!("{}: was called {} before", interface.name, link.named);
    Some((std::mem::replace(&mut link.pin, pin.clone()), pin))
}

/// Changing the mode would leave the interface open for a moment, and perhaps for good.
fn warn_of_other_mode(link: &Link, mode: XdpMode) {
    let Some(interface) = &link.interface else { return };
    let generic = interface.xdp.is_some_and(|xdp| xdp.generic);
    if (generic && mode == XdpMode::Native) || (!generic && mode == XdpMode::Generic) {
        tracing::warn!(
            "{}: stays in {} mode, in which it is attached; to change that stop doveblock, remove \
             {}, which opens the interface and keeps the bans, and start again",
            interface.name,
            label(generic),
            link.pin.display()
        );
    }
}

/// Puts `program` in the place of the one an earlier daemon left; `None` where the interface
/// is gone by now.
fn adopt(program: &mut Xdp, link: Link) -> Result<Option<XdpLink>, FirewallError> {
    let failed = || FirewallError::bpf(format!("replace the program of {}", link.named));
    let failed = (failed(), failed());
    match program.attach_to_link(link.into_xdp()?) {
        Ok(id) => Ok(Some(program.take_link(id).map_err(failed.0)?)),
        Err(error) if errno(&error) == Some(ENOLINK) => Ok(None),
        Err(error) => Err(failed.1(error)),
    }
}

/// Attaches `program` to `interface`, and pins the link over that of an interface that had
/// the name before. Where libxdp's dispatcher is in the way, that is joined.
pub(super) fn attach(
    program: &mut Xdp,
    interface: &Interface,
    recipe: &Recipe<'_>,
) -> Result<Place, FirewallError> {
    let (mode, pins) = (recipe.options.mode, recipe.pins);
    let name = &interface.name;
    if let Some(swap) = join(interface, recipe)? {
        tracing::info!(
            "{name}: joined the dispatcher of libxdp, which runs in {} mode; see `xdp-loader status \
             {name}`",
            label(interface.xdp.is_some_and(|xdp| xdp.generic))
        );
        return Ok(Place::Dispatcher(swap));
    }
    let pin = pins.link(name);
    require_free(&pin, pins)?;
    let mut in_mode = match mode {
        XdpMode::Generic => KernelMode::Skb,
        XdpMode::Native | XdpMode::Auto => KernelMode::Driver,
    };
    let mut result = program.attach(interface.index, in_mode);
    if let (XdpMode::Auto, Err(error)) = (mode, &result)
        && errno(error).is_some_and(|code| NO_NATIVE.contains(&code))
    {
        tracing::warn!(
            "{name}: no native XDP ({}), falling back to generic: drops cost more there",
            reason(error, interface, program)
        );
        in_mode = KernelMode::Skb;
        result = program.attach(interface.index, in_mode);
    }
    let id = result.map_err(|error| match errno(&error) {
        Some(code) if TAKEN.contains(&code) => in_use(interface, error),
        Some(code) if mode == XdpMode::Native && NO_NATIVE.contains(&code) => {
            FirewallError::NoNativeMode {
                interface: name.clone(),
                reason: reason(&error, interface, program),
            }
        }
        _ => FirewallError::bpf(format!("attach to {name}"))(error),
    })?;
    let action = || format!("pin the link of {name}");
    let link = program.take_link(id).map_err(FirewallError::bpf(action()))?;
    // Before Linux 5.9 there was another way to attach, which no pin can hold.
    let link = FdLink::try_from(link)
        .map_err(|_| FirewallError::KernelTooOld("BPF links for XDP programs"))?;
    match fs::remove_file(&pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(FirewallError::io(action())(error));
        }
        _ => {}
    }
    // The pin holds the link from here on; the descriptor is closed.
    drop(link.pin(&pin).map_err(FirewallError::bpf(action()))?);
    tracing::info!("{name}: attached in {} mode", label(in_mode == KernelMode::Skb));
    Ok(Place::Own)
}

/// A link whose interface is gone may be replaced; one that is in force elsewhere may not.
fn require_free(pin: &Path, pins: &PinDir) -> Result<(), FirewallError> {
    let taken = link::all(pins.path())?.into_iter().any(|link| link.pin == pin && !link.gone);
    if taken { Err(FirewallError::LinkElsewhere(pin.to_owned())) } else { Ok(()) }
}

/// Who is in the way, and how to get it out of there.
fn in_use(interface: &Interface, error: ProgramError) -> FirewallError {
    let name = interface.name.clone();
    let now = Interface::with_index(interface.index);
    let Some(attached) = now.and_then(|now| now.xdp) else {
        let above = interface.controller.and_then(Interface::with_index);
        if let Some((above, xdp)) = above.and_then(|above| Some((above.name, above.xdp?))) {
            return FirewallError::Below { interface: name, above, program: xdp.program };
        }
        return FirewallError::bpf(format!("attach to {name}"))(error);
    };
    let program = attached.program;
    let mut links = loaded_links().filter_map(Result::ok);
    let holds = |link: &aya::programs::links::LinkInfo| {
        link.program_id() == program && link.link_type().is_ok_and(|kind| kind == LinkType::Xdp)
    };
    match links.find(holds) {
        Some(link) => FirewallError::InterfaceLinked { interface: name, program, link: link.id() },
        None => {
            let mode = if attached.generic { "xdpgeneric" } else { "xdpdrv" };
            FirewallError::InterfaceInUse { interface: name, program, mode }
        }
    }
}

fn label(generic: bool) -> &'static str {
    if generic { "generic" } else { "native" }
}

fn errno(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::XdpError(XdpError::NetlinkError(error)) => error.raw_os_error(),
        _ => None,
    }
}

/// What can be told from the number, and the kernel's or the driver's own words where there are.
fn reason(error: &ProgramError, interface: &Interface, program: &Xdp) -> String {
    let Some(code) = errno(error) else { return error.to_string() };
    let guess = refusal(code, interface.mtu);
    let said = program.fd().ok().and_then(|program| interface.objection(program.as_fd()));
    match said {
        Some(said) => format!("{guess}; in the kernel's words: {said}"),
        None => guess,
    }
}

/// What a driver means by its refusal, as far as that can be told from the number, and the
/// kernel's own word for it.
fn refusal(code: i32, mtu: u32) -> String {
    const EOPNOTSUPP: i32 = 95;
    const ENOTSUPP: i32 = 524;
    const ERANGE: i32 = 34;
    const EINVAL: i32 = 22;
    const ENOSPC: i32 = 28;
    const ENOMEM: i32 = 12;
    /// What every driver with native mode takes.
    const ETHERNET_MTU: u32 = 1500;
    let said = io::Error::from_raw_os_error(code);
    match code {
        EOPNOTSUPP | ENOTSUPP => {
            format!("its driver has none, or not with the offloads that are on: {said}")
        }
        ERANGE => format!("its driver has none for an MTU as large as {mtu}: {said}"),
        EINVAL if mtu > ETHERNET_MTU => {
            format!("its driver has none for an MTU as large as {mtu}, or for its settings: {said}")
        }
        ENOSPC | ENOMEM => {
            format!("its driver has too few queues left, see `ethtool -l`: {said}")
        }
        _ => format!("its driver refuses, see `dmesg` and `ethtool -k`: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn a_refusal_says_what_is_in_the_way() {
        assert!(refusal(95, 1500).starts_with("its driver has none"));
        assert!(refusal(34, 9000).contains("an MTU as large as 9000"));
        assert!(refusal(22, 9000).contains("an MTU as large as 9000"));
        assert!(!refusal(22, 1500).contains("MTU"));
        assert!(refusal(28, 1500).contains("too few queues"));
    }
}
