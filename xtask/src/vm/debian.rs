//! Debian's own kernels: the name of a kernel in, its image and modules out. apt fetches them
//! from the mirror that this machine is configured with, into a root of its own under
//! `target/vm`, and checks Debian's signatures as always; nothing is installed.
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::machine::tool;
use crate::cmd::{self, command};

/// The suites with the kernels of the matrix, and the two where Debian's newest comes first.
const SUITES: [&str; 5] = ["bullseye", "bookworm", "trixie", "trixie-backports", "sid"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Depends on the kernel that its suite would install on a virtual machine.
const METAPACKAGE: &str = "linux-image-cloud-amd64";
/// What a kernel is made of. Newer ones come in several packages.
const PARTS: [&str; 4] = ["linux-base-", "linux-image-", "linux-binary-", "linux-modules-"];

/// In a kernel's directory: its packages, until they are unpacked, and then its version.
const DEBS: &str = "debs";
const STAMP: &str = "version";

/// An apt that knows Debian's suites and nothing of what is installed here.
pub(super) struct Apt {
    root: PathBuf,
    mirror: String,
    /// Of the metapackage, the newest first.
    versions: Vec<String>,
}

impl Apt {
    pub(super) fn open(root: &Path) -> Result<Self> {
        ensure!(
            Path::new(KEYRING).is_file(),
            "needs Debian's keys: apt-get install debian-archive-keyring"
        );
        let mirror = mirror()?;
        let mut apt = Self { root: root.to_owned(), mirror, versions: Vec::new() };
        for directory in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(root.join(directory))
                .with_context(|| format!("failed to create {}", root.display()))?;
        }
        let source = |suite| format!("deb [signed-by={KEYRING}] {} {suite} main\n", apt.mirror);
        fs::write(root.join("sources.list"), SUITES.map(source).concat())
            .context("failed to write apt's list of sources")?;
        eprintln!("==> looking for Debian's kernels on this machine's mirror");
        if let Err(error) = cmd::run(apt.command("apt-get").args(["-q", "update"])) {
            // What was fetched on an earlier run is as good.
            eprintln!("warning: {error:#}");
        }
        let listed = cmd::output(apt.command("apt-cache").args(["madison", METAPACKAGE]))?;
        apt.versions = versions(&listed);
        ensure!(!apt.versions.is_empty(), "{} is not reachable, or has no kernels", apt.mirror);
        Ok(apt)
    }

    pub(super) fn mirror(&self) -> &str {
        &self.mirror
    }

    pub(super) fn versions(&self) -> &[String] {
        &self.versions
    }

    pub(super) fn newest(&self, wanted: impl Fn(&str) -> bool) -> Option<&str> {
        self.versions.iter().map(String::as_str).find(|version| wanted(version))
    }

    /// Puts the packages of the kernel of that version into `directory`, unless the kernel is
    /// there already, unpacked.
    pub(super) fn fetch(&self, version: &str, directory: &Path) -> Result<()> {
        if is_unpacked(version, directory) {
            return Ok(());
        }
        if directory.exists() {
            fs::remove_dir_all(directory)
                .with_context(|| format!("failed to remove {}", directory.display()))?;
        }
        let debs = directory.join(DEBS);
        fs::create_dir_all(&debs)
            .with_context(|| format!("failed to create {}", debs.display()))?;
        let mut download = self.command("apt-get");
        download.args(["-q", "download"]).args(self.parts(version)?);
        cmd::run(download.current_dir(&debs))
    }

    /// The packages below the metapackage that a kernel is made of, as `name=version`.
    fn parts(&self, version: &str) -> Result<BTreeSet<String>> {
        let mut parts = BTreeSet::new();
        let mut next = vec![format!("{METAPACKAGE}={version}")];
        while let Some(package) = next.pop() {
            let shown = cmd::output(self.command("apt-cache").args([
                "show",
                "--no-all-versions",
                &package,
            ]))?;
            for part in dependencies(&shown) {
                if parts.insert(part.clone()) {
                    next.push(part);
                }
            }
        }
        ensure!(!parts.is_empty(), "{METAPACKAGE} {version} depends on no kernel");
        Ok(parts)
    }

    /// With options rather than a configuration file: these win over the machine's, and what
    /// they do not name (a proxy, say) stays as the machine has it.
    fn command(&self, program: &str) -> Command {
        let root = self.root.display();
        let mut apt = command(program);
        for option in [
            format!("Dir::State::Lists={root}/lists"),
            format!("Dir::Cache={root}/cache"),
            format!("Dir::Etc::SourceList={root}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            "Dir::Etc::Preferences=/dev/null".to_owned(),
            "Dir::Etc::PreferencesParts=/dev/null".to_owned(),
            "Dir::State::Status=/dev/null".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures=amd64".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false".to_owned(),
        ] {
            apt.args(["-o", &option]);
        }
        apt
    }
}

/// Where this machine gets Debian from.
pub(crate) fn mirror() -> Result<String> {
    let format = "$(LABEL) $(COMPONENT) $(REPO_URI)";
    let targets = cmd::output(command("apt-get").args([
        "indextargets",
        "--format",
        format,
        "Created-By: Packages",
    ]))?;
    let mirror = targets.lines().find_map(|line| line.strip_prefix("Debian main "));
    mirror.map(str::to_owned).context(
        "apt knows no mirror of Debian here (`apt-get indextargets` names none; on a Debian \
         without package lists `apt-get update` mends that)",
    )
}

/// From the table of `apt-cache madison`, which has the newest on top.
fn versions(madison: &str) -> Vec<String> {
    let mut versions = Vec::new();
    for line in madison.lines() {
        if let Some(version) = line.split('|').nth(1).map(str::trim) {
            if !versions.iter().any(|known| known == version) {
                versions.push(version.to_owned());
            }
        }
    }
    versions
}

/// The parts of a kernel that a package needs in an exact version, as `name=version`.
fn dependencies(shown: &str) -> Vec<String> {
    let Some(line) = shown.lines().find_map(|line| line.strip_prefix("Depends: ")) else {
        return Vec::new();
    };
    line.split(", ")
        .filter(|dependency| PARTS.iter().any(|part| dependency.starts_with(part)))
        .filter_map(|dependency| {
            let (name, version) = dependency.split_once(" (= ")?;
            Some(format!("{name}={}", version.strip_suffix(')')?))
        })
        .collect()
}

/// A kernel, unpacked.
pub(super) struct Kernel {
    /// As `uname -r` shows it.
    pub(super) release: String,
    /// Of the Debian package.
    pub(super) version: String,
    pub(super) image: PathBuf,
    directory: PathBuf,
}

/// A kernel module as the kernel takes it.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) image: Vec<u8>,
}

impl Kernel {
    /// The kernel whose packages were put into `directory`.
    pub(super) fn unpack(version: &str, directory: &Path) -> Result<Self> {
        if is_unpacked(version, directory) {
            return Self::unpacked(version, directory);
        }
        let debs = directory.join(DEBS);
        for deb in files_in(&debs)? {
            cmd::run(command("dpkg-deb").arg("-x").arg(&deb).arg(directory))?;
        }
        fs::remove_dir_all(&debs).context("failed to remove the unpacked packages")?;
        // Where packages of a merged /usr have their modules is not where depmod looks.
        if !directory.join("lib").exists() {
            symlink("usr/lib", directory.join("lib")).context("failed to link lib")?;
        }
        let kernel = Self::unpacked(version, directory)?;
        cmd::run(command(tool("depmod")?).arg("-b").arg(directory).arg(&kernel.release))?;
        fs::write(directory.join(STAMP), version)
            .context("failed to note the version of the kernel")?;
        Ok(kernel)
    }

    fn unpacked(version: &str, directory: &Path) -> Result<Self> {
        let modules = directory.join("lib/modules");
        let releases = files_in(&modules)?;
        let [release] = releases.as_slice() else {
            bail!("{} holds {} kernels, not one", modules.display(), releases.len())
        };
        let name = release.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let images = [directory.join(format!("boot/vmlinuz-{name}")), release.join("vmlinuz")];
        let image = images.into_iter().find(|image| image.is_file());
        let image = image.with_context(|| format!("{} has no kernel", directory.display()))?;
        let (version, directory) = (version.to_owned(), directory.to_owned());
        Ok(Self { release: name, version, image, directory })
    }

    /// `wanted` and all that they need, in an order in which they can be loaded.
    pub(super) fn modules(&self, wanted: &[&str]) -> Result<Vec<Module>> {
        let mut files: Vec<PathBuf> = Vec::new();
        for module in wanted {
            let mut modprobe = command(tool("modprobe")?);
            modprobe.arg("-d").arg(&self.directory).args(["-S", &self.release]);
            let shown = cmd::output(modprobe.args(["--show-depends", module]))?;
            // Lines that say `builtin` are for what the kernel has in itself.
            // Behind the file may be options, which this host's modprobe.d wants.
            let files_of =
                shown.lines().filter_map(|line| line.strip_prefix("insmod ")?.split(' ').next());
            for file in files_of {
                let file = PathBuf::from(file);
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        files.iter().map(|file| module(file)).collect()
    }
}

fn is_unpacked(version: &str, directory: &Path) -> bool {
    fs::read_to_string(directory.join(STAMP)).is_ok_and(|found| found == version)
}

fn module(file: &Path) -> Result<Module> {
    let full = file.file_name().unwrap_or_default().to_string_lossy();
    let (name, packed) = full.split_once(".ko").unwrap_or((&full, ""));
    let image = match packed {
        "" => fs::read(file).with_context(|| format!("failed to read {}", file.display()))?,
        ".xz" => unpacked("xz", file)?,
        ".zst" => unpacked("zstd", file)?,
        _ => bail!("{}: packed in an unknown way", file.display()),
    };
    Ok(Module { name: name.to_owned(), image })
}

fn unpacked(program: &str, file: &Path) -> Result<Vec<u8>> {
    let mut unpack = command(program);
    unpack.arg("-dc").arg(file);
    let output = unpack.output().with_context(|| cmd::failed(&unpack))?;
    ensure!(output.status.success(), "{} ({})", cmd::failed(&unpack), output.status);
    Ok(output.stdout)
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("failed to read {}", directory.display());
    let entries = fs::read_dir(directory).with_context(failed)?;
    entries.map(|entry| Ok(entry.with_context(failed)?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_of_the_mirror_is_known_once_and_the_newest_is_first() {
        let table = "p | 7.3.4-1~bpo13+1 | mirror trixie-backports/main amd64 Packages\n\
            p |   7.2.13-1 | mirror sid/main amd64 Packages\n\
            p |   7.2.13-1 | mirror forky/main amd64 Packages\n";
        assert_eq!(versions(table), ["7.3.4-1~bpo13+1", "7.2.13-1"]);
        assert!(versions("").is_empty());
    }

    #[test]
    fn a_kernel_in_several_packages_is_found_whole() {
        let shown = "Package: linux-image-7\nDepends: dracut | initramfs-tools (>= 0.120), \
            linux-base-7 (= 7-1), linux-binary-7 (= 7-1), linux-modules-7 (= 7-1)\n";
        let parts = ["linux-base-7=7-1", "linux-binary-7=7-1", "linux-modules-7=7-1"];
        assert_eq!(dependencies(shown), parts);
        assert!(dependencies("Package: a\n").is_empty());
    }
}
