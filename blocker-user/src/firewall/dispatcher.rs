//! libxdp's dispatcher: the program that lets several XDP programs share one interface. It calls
//! each of them as a function of its own, which the kernel has replaced (freplace). Who joins
//! makes a new dispatcher of everybody who is there and himself, and has the kernel put it in
//! the place of the old one in one step; the protocol is libxdp's, so that its tools show us and
//! carry us along when they make the next one.
//!
//! In come an interface and a program of ours; nothing here outlives an error: the old
//! dispatcher runs until the new one is complete.

mod config;
mod place;

use std::{
    error::Error,
    fs, io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, MapInfo},
    programs::{Extension, ProgramFd, ProgramInfo, Xdp, links::FdLink, loaded_programs},
};
use blocker_common::abi::PROGRAM;

use super::{FirewallError, interface::Interface, pins};
use config::{Config, LENGTHS, SLOTS, Slot};

/// What libxdp's dispatcher is called, and its constant.
const DISPATCHER: &str = "xdp_dispatcher";
const CONFIG: &str = "conf";

/// Where all of libxdp's dispatchers have their pins.
pub(super) fn pins() -> PathBuf {
    place::root()
}

/// Whatever was in the way of a new dispatcher.
type Why = Box<dyn Error + Send + Sync>;

/// The dispatcher that runs on an interface.
struct Dispatcher<'a> {
    interface: &'a Interface,
    generic: bool,
    id: u32,
    fd: ProgramFd,
    config: Config,
    directory: PathBuf,
    /// In the order in which they run.
    components: Vec<Component>,
}

/// A program that a dispatcher calls.
struct Component {
    name: String,
    maps: Vec<u32>,
}

impl Component {
    /// Whether it reads one of `maps`.
    fn uses(&self, maps: &[u32]) -> bool {
        self.maps.iter().any(|map| maps.contains(map))
    }
}

/// What a new dispatcher is to call.
enum Member<'a> {
    /// What the old one calls there.
    Component(usize),
    Ours(Slot, &'a mut Extension),
}

/// A new dispatcher in the place of another, which is kept for the way back.
pub(super) struct Swap {
    interface: Interface,
    generic: bool,
    old: (ProgramFd, PathBuf),
    new: (ProgramFd, PathBuf),
}

impl Swap {
    /// The old one is not needed any more.
    pub(super) fn keep(self) {
        place::remove(&self.old.1);
    }

    pub(super) fn undo(self) -> Result<(), FirewallError> {
        let Self { interface, generic, old, new } = self;
        interface.replace_program(Some(old.0.as_fd()), new.0.as_fd(), generic).map_err(
            FirewallError::io(format!("give {} its earlier dispatcher back", interface.name)),
        )?;
        place::remove(&new.1);
        Ok(())
    }
}

/// Has the dispatcher of `interface` call our program, in the place of an earlier one over the
/// maps in `pin_dir` where there is one. `None` where the interface has no dispatcher.
pub(super) fn join(
    interface: &Interface,
    pin_dir: &Path,
    frags: bool,
    load: &dyn Fn() -> Result<Ebpf, FirewallError>,
) -> Result<Option<Swap>, FirewallError> {
    let Some(now) = Interface::with_index(interface.index) else { return Ok(None) };
    let Some(found) = Dispatcher::on(&now)? else { return Ok(None) };
    let _lock = place::lock().map_err(|error| found.refuse(error.to_string()))?;
    // It may have been another before there was the lock.
    let Some(now) = Interface::with_index(interface.index) else { return Ok(None) };
    let Some(old) = Dispatcher::on(&now)? else { return Ok(None) };
    let mut object = load()?;
    let ours: &mut Extension = extension(&mut object)?;
    let slot = Slot::ours(frags);
    let maps = maps_in(pin_dir)?;
    let mut members = old.members(|component| !component.uses(&maps));
    if members.iter().any(|it| old.rank(it).1 == PROGRAM) {
        tracing::warn!(
            "{}: another doveblock, with pins in another directory, is in the dispatcher as well; if \
             it is a remnant, `xdp-loader unload {} --id ID` takes it out",
            interface.name,
            interface.name
        );
    }
    // Of the same priority, libxdp calls by name.
    let behind = members.partition_point(|it| old.rank(it) < (slot.priority, PROGRAM));
    members.insert(behind, Member::Ours(slot, ours));
    old.replace(members).map(Some)
}

/// Whether the dispatcher of `interface` calls a program over the maps in `pin_dir`.
pub(super) fn serves(interface: &Interface, pin_dir: &Path) -> bool {
    maps_in(pin_dir).is_ok_and(|maps| calls_with(interface, &maps))
}

/// Whether that is so of a program over one of `maps`.
fn calls_with(interface: &Interface, maps: &[u32]) -> bool {
    let found = Dispatcher::on(interface).ok().flatten();
    found.is_some_and(|found| found.components.iter().any(|it| it.uses(maps)))
}

/// The interfaces of this network namespace for which [`serves`] holds.
pub(super) fn served(pin_dir: &Path) -> Result<Vec<Interface>, FirewallError> {
    let maps = maps_in(pin_dir)?;
    let mut indices: Vec<u32> = place::directories().into_iter().map(|(index, ..)| index).collect();
    indices.sort_unstable();
    indices.dedup();
    let interfaces = indices.into_iter().filter_map(Interface::with_index);
    Ok(interfaces.filter(|interface| calls_with(interface, &maps)).collect())
}

/// Takes our program off the dispatcher of `interface`, and leaves the others where they are.
pub(super) fn leave(interface: &Interface, pin_dir: &Path) -> Result<(), FirewallError> {
    let action = || format!("leave the dispatcher of {}", interface.name);
    let _lock = place::lock().map_err(FirewallError::io(action()))?;
    let Some(now) = Interface::with_index(interface.index) else { return Ok(()) };
    let Some(old) = Dispatcher::on(&now)? else { return Ok(()) };
    let maps = maps_in(pin_dir)?;
    let others = old.members(|component| !component.uses(&maps));
    if others.is_empty() {
        let detached = interface.replace_program(None, old.fd.as_fd(), old.generic);
        detached.map_err(FirewallError::io(action()))?;
        place::remove(&old.directory);
        return Ok(());
    }
    old.replace(others).map(Swap::keep)
}

/// Ends what our program does in any dispatcher of this host, and says where that was. Where
/// the dispatcher cannot be replaced, because its interface is in another network namespace or
/// gone, our place in it is emptied; it goes on with the next program then.
pub(super) fn leave_all(pin_dir: &Path) -> Vec<String> {
    let maps = maps_in(pin_dir).unwrap_or_else(|error| {
        tracing::error!("dispatchers of libxdp may go on calling doveblock: {error}");
        Vec::new()
    });
    let mut left = Vec::new();
    for (index, program, directory) in place::directories() {
        let uses = |slot: &usize| {
            let found = ProgramInfo::from_pin(place::program_pin(&directory, *slot));
            found.is_ok_and(|info| maps_of(&info).iter().any(|map| maps.contains(map)))
        };
        let Some(slot) = (0..SLOTS).find(uses) else { continue };
        let interface = Interface::with_index(index)
            .filter(|interface| interface.xdp.is_some_and(|xdp| xdp.program == program));
        match interface.map(|interface| leave(&interface, pin_dir).map(|()| interface.name)) {
            Some(Ok(name)) => left.push(name),
            other => {
                if let Some(Err(error)) = other {
                    tracing::warn!("{error}; its place is emptied instead");
                }
                for pin in [place::link_pin(&directory, slot), place::program_pin(&directory, slot)]
                {
                    if let Err(error) = fs::remove_file(&pin) {
                        tracing::error!("remove {}: {error}", pin.display());
                    }
                }
                left.push(directory.display().to_string());
            }
        }
    }
    left
}

impl<'a> Dispatcher<'a> {
    /// `None` where there is none; an error where it is none that can be worked with.
    fn on(interface: &'a Interface) -> Result<Option<Self>, FirewallError> {
        let Some(attached) = interface.xdp else { return Ok(None) };
        let Some(info) = program(attached.program)? else { return Ok(None) };
        if info.name_as_str() != Some(DISPATCHER) {
            return Ok(None);
        }
        let id = info.id();
        let directory = place::directory(interface.index, id);
        let refuse = |reason: String| refusal(interface, id, &directory, reason);
        let config = maps_of(&info).into_iter().find_map(config_in).ok_or_else(|| {
            refuse("it is not of version 2 or 3, or bound to a device".to_owned())
        })?;
        let mut components = Vec::new();
        for slot in 0..config.slots.len() {
            let pin = place::program_pin(&directory, slot);
            let info = ProgramInfo::from_pin(&pin)
                .map_err(|error| refuse(format!("{}: {error}", pin.display())))?;
            components.push(Component {
                name: String::from_utf8_lossy(info.name()).into_owned(),
                maps: maps_of(&info),
            });
        }
        let fd = info.fd().map_err(|error| refuse(error.to_string()))?;
        let generic = attached.generic;
        Ok(Some(Self { interface, generic, id, fd, config, directory, components }))
    }

    fn members(&self, wanted: impl Fn(&Component) -> bool) -> Vec<Member<'_>> {
        let numbered = self.components.iter().enumerate();
        numbered.filter(|(_, it)| wanted(it)).map(|(at, _)| Member::Component(at)).collect()
    }

    fn slot(&self, member: &Member<'_>) -> Slot {
        match member {
            Member::Component(at) => self.config.slots.get(*at).copied().unwrap_or_default(),
            Member::Ours(slot, _) => *slot,
        }
    }

    fn rank(&self, member: &Member<'_>) -> (u32, &str) {
        let name = match member {
            Member::Component(at) => self.components.get(*at).map_or("", |it| &it.name),
            Member::Ours(..) => PROGRAM,
        };
        (self.slot(member).priority, name)
    }

    /// Puts a dispatcher that calls `members` in the place of this one.
    fn replace(&self, members: Vec<Member<'_>>) -> Result<Swap, FirewallError> {
        self.try_replace(members).map_err(|why| self.refuse(super::all_causes(why.as_ref())))
    }

    fn try_replace(&self, members: Vec<Member<'_>>) -> Result<Swap, Why> {
        if members.len() > SLOTS {
            return Err(format!("all its {SLOTS} places are taken").into());
        }
        let slots: Vec<Slot> = members.iter().map(|member| self.slot(member)).collect();
        let (id, fd) = load(&self.config.with_slots(&slots))?;
        let old = (self.fd.try_clone()?, self.directory.clone());
        let directory = place::directory(self.interface.index, id);
        let done = self.fill(&directory, &fd, members).and_then(|()| {
            let replaced =
                self.interface.replace_program(Some(fd.as_fd()), self.fd.as_fd(), self.generic);
            replaced.map_err(|error| self.no_other(&error).into())
        });
        if let Err(why) = done {
            place::remove(&directory);
            return Err(why);
        }
        let interface = self.interface.clone();
        Ok(Swap { interface, generic: self.generic, old, new: (fd, directory) })
    }

    /// Has `dispatcher` call `members`, and pins all of it.
    fn fill(
        &self,
        directory: &Path,
        dispatcher: &ProgramFd,
        members: Vec<Member<'_>>,
    ) -> Result<(), Why> {
        fs::create_dir(directory)?;
        for (at, member) in members.into_iter().enumerate() {
            let function = format!("prog{at}");
            let mut theirs;
            let (program, link) = match member {
                Member::Component(old) => {
                    theirs = Extension::from_pin(place::program_pin(&self.directory, old))?;
                    let link = theirs.attach_to_program(dispatcher, &function)?;
                    (&mut theirs, link)
                }
                Member::Ours(_, program) => {
                    program.load(dispatcher.try_clone()?, &function)?;
                    let link = program.attach()?;
                    (program, link)
                }
            };
            program.pin(place::program_pin(directory, at))?;
            FdLink::from(program.take_link(link)?).pin(place::link_pin(directory, at))?;
        }
        Ok(())
    }

    /// Why the kernel does not put another in the place of this one.
    fn no_other(&self, error: &io::Error) -> String {
        /// What every driver with native mode takes in one buffer.
        const ETHERNET_MTU: u32 = 1500;
        let mtu = self.interface.mtu;
        if self.generic || mtu <= ETHERNET_MTU {
            return format!("put another in its place: {error}");
        }
        format!(
            "put another in its place: {error}; the MTU is {mtu}, and the new dispatcher does not \
             claim to cope with jumbo frames: lower the MTU, or load the dispatcher in generic \
             mode (`xdp-loader load --mode skb`)"
        )
    }

    fn refuse(&self, reason: String) -> FirewallError {
        refusal(self.interface, self.id, &self.directory, reason)
    }
}

/// A dispatcher that nothing runs in and that runs nowhere.
fn load(config: &[u8]) -> Result<(u32, ProgramFd), Why> {
    let path = place::object().ok_or("its object xdp-dispatcher.o is not there, install libxdp")?;
    let mut object = EbpfLoader::new().override_global(CONFIG, config, true).load_file(path)?;
    let program: &mut Xdp =
        object.program_mut(DISPATCHER).ok_or("libxdp's object has none")?.try_into()?;
    program.load()?;
    Ok((program.info()?.id(), program.fd()?.try_clone()?))
}

fn extension(object: &mut Ebpf) -> Result<&mut Extension, FirewallError> {
    object
        .program_mut(PROGRAM)
        .and_then(|program| program.try_into().ok())
        .ok_or(FirewallError::NoProgram)
}

fn refusal(interface: &Interface, program: u32, directory: &Path, reason: String) -> FirewallError {
    let names: Vec<String> = (0..SLOTS)
        .map_while(|slot| ProgramInfo::from_pin(place::program_pin(directory, slot)).ok())
        .map(|info| String::from_utf8_lossy(info.name()).into_owned())
        .collect();
    let runs =
        if names.is_empty() { "nothing that is pinned".to_owned() } else { names.join(", ") };
    FirewallError::Dispatcher { interface: interface.name.clone(), program, runs, reason }
}

/// The program with that id. That we could not look is an error: a dispatcher that is not seen
/// would be taken for any program that is in the way.
fn program(id: u32) -> Result<Option<ProgramInfo>, FirewallError> {
    let mut failed = None;
    for info in loaded_programs() {
        match info {
            Ok(info) if info.id() == id => return Ok(Some(info)),
            Ok(_) => {}
            // Others may also have gone meanwhile.
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(None), |error| {
        // The unit's user may not, so that whoever reads this has to know what is in the way.
        Err(FirewallError::bpf(format!(
            "another XDP program (id {id}) is attached, and whether it is libxdp's dispatcher cannot \
             be told without CAP_SYS_ADMIN (see it with `bpftool prog show id {id}`)"
        ))(error))
    })
}

fn maps_of(program: &ProgramInfo) -> Vec<u32> {
    program.map_ids().ok().flatten().unwrap_or_default()
}

/// The maps by which a program of ours is known: one of those that are pinned is enough, for
/// while maps are replaced it reads only some of them. That we could not look is an error: a
/// program of ours that is not known would stay.
fn maps_in(pin_dir: &Path) -> Result<Vec<u32>, FirewallError> {
    let there = pins::maps(pin_dir).filter(|pin| pin.exists());
    let id = |pin: PathBuf| {
        let failed = FirewallError::bpf(format!("look at the map {}", pin.display()));
        MapInfo::from_pin(&pin).map(|info| info.id()).map_err(failed)
    };
    there.map(id).collect()
}

/// A dispatcher's configuration, where that map holds one.
fn config_in(map: u32) -> Option<Config> {
    let bytes = value::<{ LENGTHS[0] }>(map).or_else(|| value::<{ LENGTHS[1] }>(map))?;
    Config::parse(&bytes)
}

fn value<const LENGTH: usize>(map: u32) -> Option<Vec<u8>> {
    let map = Map::Array(MapData::from_id(map).ok()?);
    let array: Array<_, [u8; LENGTH]> = map.try_into().ok()?;
    array.get(&0, 0).ok().map(Vec::from)
}
