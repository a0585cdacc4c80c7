//! What must be there before anything can be tried, and how to get it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use landlock::{AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _};
use rustix::process::geteuid;

use crate::journal::WRITER;

/// Why the world cannot be built here; `None` where it can.
#[must_use]
pub fn missing() -> Option<String> {
    if !geteuid().is_root() {
        return Some("needs root, to make network namespaces".to_owned());
    }
    let tools = [("ip", "iproute2"), ("nsenter", "util-linux"), ("setpriv", "util-linux")];
    tools.into_iter().find_map(|(tool, package)| without(tool, package))
}

/// Why there is no real Dovecot to try; `None` where there is one with ManageSieve.
#[must_use]
pub fn missing_dovecot() -> Option<String> {
    without("dovecot", "dovecot-imapd dovecot-pop3d dovecot-managesieved").or_else(|| {
        let has = |login: &str| Path::new("/usr/lib/dovecot").join(login).exists();
        let missing = [
            ("imap-login", "dovecot-imapd"),
            ("pop3-login", "dovecot-pop3d"),
            ("managesieve-login", "dovecot-managesieved"),
        ];
        let (login, package) = missing.into_iter().find(|(login, _)| !has(login))?;
        Some(install(login, package))
    })
}

/// Why the maps cannot be looked at; `None` where they can.
#[must_use]
pub fn missing_bpftool() -> Option<String> {
    without("bpftool", "bpftool")
}

/// Why the commands of the guides cannot be run; `None` where they can.
#[must_use]
pub fn missing_guides_tools() -> Option<String> {
    let tools = [("curl", "curl"), ("sqlite3", "sqlite3"), ("fail2ban-regex", "fail2ban")];
    tools.into_iter().find_map(|(tool, package)| without(tool, package))
}

/// Why what Prometheus reads cannot be checked; `None` where it can.
#[must_use]
pub fn missing_promtool() -> Option<String> {
    without("promtool", "prometheus")
}

/// Why no browser can show a page; `None` where one can.
#[must_use]
pub fn missing_chromium() -> Option<String> {
    without("chromium", "chromium")
}

/// Why there is no terminal to be had; `None` where there is.
#[must_use]
pub fn missing_script() -> Option<String> {
    without("script", "bsdutils")
}

/// Where Debian has it.
pub const LIBXDP_DISPATCHER: &str = "/usr/lib/x86_64-linux-gnu/bpf/xdp-dispatcher.o";

/// Why there is no dispatcher of libxdp's to meet; `None` where there is one.
#[must_use]
pub fn missing_libxdp() -> Option<String> {
    (!Path::new(LIBXDP_DISPATCHER).is_file()).then(|| install("xdp-dispatcher.o", "xdp-tools"))
}

/// Why there is no journal to read; `None` where one can be written and read.
#[must_use]
pub fn missing_journal() -> Option<String> {
    let writer = || {
        let is_there = Path::new(WRITER).is_file();
        (!is_there).then(|| install("systemd-journal-remote", "systemd-journal-remote"))
    };
    without("journalctl", "systemd").or_else(writer)
}

/// Why there is no file system to mount that does not tell of changes; `None` where there is.
#[must_use]
pub fn missing_bindfs() -> Option<String> {
    let fuse = || {
        let is_there = Path::new("/dev/fuse").exists();
        (!is_there).then(|| "needs /dev/fuse".to_owned())
    };
    without("bindfs", "bindfs").or_else(fuse)
}

fn without(tool: &str, package: &str) -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Where a user's PATH does not lead, and system tools are.
    let places = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = places.into_iter().any(|place| place.join(tool).is_file());
    (!found).then(|| install(tool, package))
}

fn install(tool: &str, package: &str) -> String {
    format!("needs {tool}: apt-get install {package}")
}

/// Whether fail2ban's Python modules can be asked.
#[must_use]
pub fn missing_fail2ban() -> Option<String> {
    let asked = Command::new("/usr/bin/python3").args(["-c", "import fail2ban"]).output();
    let there = asked.is_ok_and(|output| output.status.success());
    (!there).then(|| install("fail2ban", "fail2ban"))
}

/// Where `cargo xtask test` puts the packages, and a Debian to install them in.
#[must_use]
pub fn packages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/package")
}

/// Why there are no packages to try; `None` where there are.
#[must_use]
pub fn missing_packages() -> Option<String> {
    let wanted = ["doveblock.deb", "next.deb", "doveblock.rpm"];
    let missing = wanted.into_iter().find(|name| !packages().join(name).exists())?;
    Some(format!("needs {missing}: cargo xtask test, without a filter or with `package`"))
}

/// Why there is no Debian to install them in; `None` where there is.
#[must_use]
pub fn missing_debian() -> Option<String> {
    (!packages().join("debian.stamp").exists())
        .then(|| "needs a bootstrapped Debian: its servers were not reached".to_owned())
}

/// Why packages and their unit cannot be examined; `None` where they can.
#[must_use]
pub fn missing_judges() -> Option<String> {
    let tools = [("lintian", "lintian"), ("rpm", "rpm"), ("systemd-analyze", "systemd")];
    tools.into_iter().find_map(|(tool, package)| without(tool, package))
}

/// Why a process cannot be confined; `None` where the kernel has Landlock, switched on.
#[must_use]
pub fn missing_landlock() -> Option<String> {
    let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let rules = strict.handle_access(AccessFs::ReadFile).and_then(Ruleset::create);
    rules.err().map(|error| format!("needs Landlock: {error}"))
}
