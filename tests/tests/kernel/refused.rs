//! A kernel that refuses commands of bpf(2): an older one that has not got them, or one that has
//! no memory left.

use std::{collections::BTreeMap, thread};

use anyhow::{Result, anyhow};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// Commands of linux/bpf.h.
pub(crate) const MAP_CREATE: u64 = 0;
pub(crate) const PROG_LOAD: u64 = 5;
pub(crate) const OBJ_GET: u64 = 7;
pub(crate) const MAP_LOOKUP_BATCH: u64 = 24;
pub(crate) const MAP_UPDATE_BATCH: u64 = 26;

pub(crate) const EINVAL: u32 = 22;
pub(crate) const ENOMEM: u32 = 12;
pub(crate) const EMFILE: u32 = 24;

/// Runs `inside` on a thread for which every command of `commands` fails with `errno` from when
/// the function that it is given is called.
pub(crate) fn with<T: Send>(
    commands: &[u64],
    errno: u32,
    inside: impl FnOnce(&dyn Fn() -> Result<()>) -> Result<T> + Send,
) -> Result<T> {
    let refuse = || -> Result<()> {
        let rules = commands
            .iter()
            .map(|&command| {
                let is_it =
                    SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, command)?;
                SeccompRule::new(vec![is_it])
            })
            .collect::<Result<Vec<_>, _>>()?;
        let filter = SeccompFilter::new(
            BTreeMap::from([(libc::SYS_bpf, rules)]),
            SeccompAction::Allow,
            SeccompAction::Errno(errno),
            TargetArch::try_from(std::env::consts::ARCH)?,
        )?;
        Ok(apply_filter(&BpfProgram::try_from(filter)?)?)
    };
    // A filter stays for as long as its thread lives.
    thread::scope(|scope| scope.spawn(|| inside(&refuse)).join())
        .map_err(|_| anyhow!("the thread broke off"))?
}
