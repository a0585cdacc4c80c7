//! What must be there before anything can be tried, and how to get it.

use std::{env, path::Path, process::Command};

use rustix::process::geteuid;

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

/// Why what Prometheus reads cannot be checked; `None` where it can.
#[must_use]
pub fn missing_promtool() -> Option<String> {
    without("promtool", "prometheus")
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
