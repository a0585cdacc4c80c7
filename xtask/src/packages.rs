//! The programs that the end-to-end tests, the sandbox and the benchmarks drive: from the distribution, and
//! only as root. Missing ones never stop a task: the tests that need them say so and skip.
use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use anyhow::Result;

use crate::cmd::{self, command};

/// A Debian package and a file that shows it is there, on other distributions too.
struct Package {
    name: &'static str,
    program: &'static str,
    uses: &'static [Use],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Tests,
    Sandbox,
    /// `bench kernel`
    Bench,
    /// `package`
    Packaging,
}

use Use::{Bench, Packaging, Sandbox, Tests};

const fn package(name: &'static str, program: &'static str, uses: &'static [Use]) -> Package {
    Package { name, program, uses }
}

const PACKAGES: [Package; 24] = [
    package("dovecot-core", "dovecot", &[Tests, Sandbox]),
    package("dovecot-imapd", "imap-login", &[Tests, Sandbox]),
    package("dovecot-pop3d", "pop3-login", &[Tests, Sandbox]),
    package("dovecot-managesieved", "managesieve-login", &[Tests, Sandbox]),
    package("iproute2", "ip", &[Tests, Sandbox, Bench]),
    package("bpftool", "bpftool", &[Tests]),
    // What the guides look into the socket and the database with, and what tells a daemon's
    // database that it was down for longer than it was.
    package("curl", "curl", &[Tests]),
    package("sqlite3", "sqlite3", &[Tests]),
    // Boot the kernels of the matrix, and sort their modules.
    package("qemu-system-x86", "qemu-system-x86_64", &[Tests]),
    package("kmod", "modprobe", &[Tests]),
    // Puts another program onto the interface, with a dispatcher to join; and xdp-filter.
    package("xdp-tools", "xdp-loader", &[Tests, Bench]),
    // Judges the same log lines as doveblock.
    package("fail2ban", "fail2ban-regex", &[Tests]),
    // Read a journal, and write one where no systemd runs.
    package("systemd", "journalctl", &[Tests]),
    package("systemd-journal-remote", "systemd-journal-remote", &[Tests]),
    // A file system that does not tell of changes.
    package("bindfs", "bindfs", &[Tests]),
    // Shows the page of a report.
    package("chromium", "chromium", &[Tests]),
    // Compiles what is C in a static program.
    package("musl-tools", "musl-gcc", &[Tests, Packaging]),
    // Look at packages, and at the unit in them, and install them.
    package("lintian", "lintian", &[Tests]),
    package("rpm", "rpm", &[Tests]),
    package("debootstrap", "debootstrap", &[Tests]),
    // Drop the same packets as doveblock.
    package("nftables", "nft", &[Bench]),
    package("iptables", "iptables", &[Bench]),
    package("ipset", "ipset", &[Bench]),
    // Tells a veth how to receive, and what it dropped.
    package("ethtool", "ethtool", &[Bench]),
];

/// Where programs are that an ordinary PATH does not name.
const BESIDE_THE_PATH: [&str; 6] = [
    "/usr/sbin",
    "/sbin",
    "/usr/lib/dovecot",
    "/usr/libexec/dovecot",
    "/usr/local/sbin",
    "/lib/systemd",
];

/// Asks dpkg's maintainer scripts to leave the services alone that they would start, by the
/// file that they look for; it is gone again when the command ends, or is interrupted. A file
/// that is there already is the machine's own policy and stays.
const WITHOUT_STARTING_SERVICES: &str = r#"
policy=/usr/sbin/policy-rc.d
if (set -C; printf '#!/bin/sh\nexit 101\n' >$policy) 2>/dev/null; then
    trap 'rm -f $policy' EXIT
    trap 'exit 130' INT TERM HUP
    chmod 755 $policy
fi
"$@"
"#;

/// Installs what the tests want, where that can be done without asking. Says whether
/// everything is there.
pub(crate) fn install() -> bool {
    install_for(Tests, "the end-to-end tests")
}

/// Likewise for the firewalls that doveblock is measured beside.
pub(crate) fn install_for_bench() -> bool {
    install_for(Bench, "the benchmark")
}

/// Likewise for making packages.
pub(crate) fn install_for_packaging() -> bool {
    install_for(Packaging, "making packages")
}

fn install_for(wanted: Use, who: &str) -> bool {
    let missing = missing(wanted);
    if missing.is_empty() {
        return true;
    }
    let apt = cmd::find("apt-get", &[]).is_some();
    if !apt || !is_root() {
        eprintln!("==> more is wanted for {who} than is installed. {}", by_hand(&missing));
        return false;
    }
    eprintln!(
        "==> installing for {who}: {}. No service is started now; systemd starts those that \
         belong to them at the next boot, unless you `systemctl disable` them",
        missing.join(" ")
    );
    if let Err(error) = apt_install(&missing) {
        eprintln!("warning: {error:#}. {}", by_hand(&missing));
    }
    self::missing(wanted).is_empty()
}

/// The sandbox shows more with these, but installing a mail server is not its business.
pub(crate) fn advise_for_sandbox() {
    let missing = missing(Sandbox);
    if !missing.is_empty() {
        eprintln!("==> for the sandbox with a real Dovecot: {}", by_hand(&missing));
    }
}

fn missing(wanted: Use) -> Vec<&'static str> {
    let beside = BESIDE_THE_PATH.map(PathBuf::from);
    PACKAGES
        .iter()
        .filter(|package| package.uses.contains(&wanted))
        .filter(|package| cmd::find(package.program, &beside).is_none())
        .map(|package| package.name)
        .collect()
}

fn by_hand(missing: &[&str]) -> String {
    format!(
        "Install by hand: `apt-get install --no-install-recommends {}` as root on Debian or \
         Ubuntu, or the packages of your distribution that have the same programs",
        missing.join(" ")
    )
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let install = || apt_get(&[&["install", "-y", "--no-install-recommends"], packages].concat());
    if install().is_ok() {
        return Ok(());
    }
    // No or old package lists are the usual reason, and fetching them takes long enough to
    // do it only then.
    eprintln!("==> that failed: again with new package lists");
    apt_get(&["update"])?;
    install()
}

fn apt_get(args: &[&str]) -> Result<()> {
    let mut apt = command("sh");
    apt.args(["-c", WITHOUT_STARTING_SERVICES, "sh", "apt-get"])
        .args(["-o", "DPkg::Lock::Timeout=60"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive");
    cmd::run_as(&mut apt, &format!("apt-get {}", args.join(" ")))
}

/// By the owner of this process's own entry in /proc: std has no other way to ask.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        let advice = by_hand(&["dovecot-core", "iproute2"]);
        assert!(advice.contains("apt-get install --no-install-recommends dovecot-core iproute2"));
    }

    #[test]
    fn the_wrapper_runs_its_arguments_and_gives_their_exit_code() {
        // Not as root on a machine without such a policy: the test must not make one.
        let script = WITHOUT_STARTING_SERVICES.replace("/usr/sbin", &scratch().to_string_lossy());
        let status = Command::new("sh")
            .args(["-c", &script, "sh", "sh", "-c"])
            .arg(format!("test -x {}/policy-rc.d && exit 7", scratch().display()))
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(7));
        assert_eq!(fs::read_dir(scratch()).unwrap().count(), 0, "the policy is gone again");
        fs::remove_dir(scratch()).unwrap();
    }

    fn scratch() -> PathBuf {
        let directory = env::temp_dir().join(format!("xtask-policy-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }
}
