//! Debian's cloud kernels: fetched, unpacked and kept, with the modules that a machine needs before it has a root.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result};

use crate::exec::{self, DEFAULT_LIMIT};
use crate::packages;

/// What the first process needs: the bus, the file system that brings this machine's root, and what makes
/// that root writable. Kernels have them built in or as modules, later ones more of them built in.
const NEEDED_TO_BOOT: [&str; 3] = ["virtio_pci", "virtiofs", "overlay"];

/// A series of kernels that clusters run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// 5.10, of Debian 11.
    V5_10,
    /// 6.1, of Debian 12.
    V6_1,
    /// 6.12, of Debian 13.
    V6_12,
    /// 6.18, which Debian 13 had as a backport.
    V6_18,
    /// The newest 7.x that Debian 13 has as a backport.
    V7,
}

/// Where a series is had.
struct Source {
    suite: &'static str,
    /// How the version in its packages' names begins.
    version: &'static str,
    /// How the names of the packages begin that are needed, before the version.
    packages: &'static [&'static str],
}

/// How the packages' names end.
const FLAVOUR: &str = "-cloud-amd64";

impl Series {
    /// All of them, the oldest first.
    pub const ALL: [Self; 5] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::V6_18, Self::V7];

    /// `5.10`, `6.1`, `6.12`, `6.18` or `7.x`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V6_18 => "6.18",
            Self::V7 => "7.x",
        }
    }

    const fn source(self) -> Source {
        let one: &[&str] = &["linux-image-"];
        match self {
            Self::V5_10 => Source { suite: "bullseye-security", version: "5.10.", packages: one },
            Self::V6_1 => Source { suite: "bookworm", version: "6.1.", packages: one },
            Self::V6_12 => Source { suite: "trixie", version: "6.12.", packages: one },
            Self::V6_18 => Source { suite: "trixie-backports", version: "6.18.", packages: one },
            Self::V7 => Source {
                suite: "trixie-backports",
                version: "7.",
                packages: &["linux-modules-", "linux-base-", "linux-binary-"],
            },
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Series {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|series| series.as_str() == text);
        found.with_context(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("no series of kernels is called `{text}`; there are {known}")
        })
    }
}

/// An unpacked kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    version: String,
    /// The folder that has `boot` and `usr`.
    root: PathBuf,
}

impl Kernel {
    /// The newest of `series`; none where no Debian mirror gives it.
    pub fn find(series: Series) -> Result<Option<Self>> {
        let Source { suite, version, packages } = series.source();
        let label = format!("linux-image-{version}N{FLAVOUR}");
        let found = packages::find_as(suite, &label, |archive| {
            let first = packages.first().copied().unwrap_or_default();
            let names = archive.names(&format!("{first}{version}"))?;
            let versions = names.iter().filter_map(|name| name.strip_prefix(first));
            let versions = versions.filter(|version| version.ends_with(FLAVOUR));
            let newest = versions.max_by_key(|version| numbers(version));
            let all = |version| packages.iter().map(move |begin| format!("{begin}{version}"));
            Ok(newest.into_iter().flat_map(all).collect())
        })?;
        let Some(package) = found else { return Ok(None) };
        let root = package.folder;
        // Packages before Debian 12 have them outside `usr`.
        let below = root.join("usr/lib");
        if !below.join("modules").exists() {
            fs::create_dir_all(&below)?;
            fs::rename(root.join("lib/modules"), below.join("modules"))
                .context("a kernel without modules")?;
        }
        let modules = fs::read_dir(below.join("modules"))?;
        let names = modules.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let version = names.max().context("a kernel without modules")?;
        let kernel = Self { version, root };
        if !kernel.modules().join("modules.dep").exists() {
            // As the package does when it is installed.
            let mut depmod = kernel.tool("depmod");
            depmod.arg("-b").arg(kernel.root.join("usr")).arg(&kernel.version);
            exec::run(depmod, DEFAULT_LIMIT)?.expect_code(0)?;
        }
        Ok(Some(kernel))
    }

    /// The version as `uname` tells it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The kernel itself.
    pub(super) fn image(&self) -> PathBuf {
        let of_its_own = self.modules().join("vmlinuz");
        if of_its_own.exists() {
            return of_its_own;
        }
        self.root.join("boot").join(format!("vmlinuz-{}", self.version))
    }

    /// The folder of its modules, to be found as `/lib/modules/VERSION` by whoever loads them.
    pub(super) fn modules(&self) -> PathBuf {
        self.root.join("usr/lib/modules").join(&self.version)
    }

    /// The files of the modules needed to boot, in the order in which they must be loaded.
    pub(super) fn modules_to_boot(&self) -> Result<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> = Vec::new();
        for name in NEEDED_TO_BOOT {
            let mut ask = self.tool("modprobe");
            ask.arg("-d").arg(self.root.join("usr")).args(["-S", &self.version]);
            ask.args(["--show-depends", name]);
            let said = exec::run(ask, DEFAULT_LIMIT)?.expect_code(0)?.stdout;
            // `insmod FILE`, those that others need first, or `builtin NAME`.
            for file in said.lines().filter_map(|line| line.strip_prefix("insmod ")) {
                let file = PathBuf::from(file.trim());
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        Ok(files)
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new("env");
        // Where the administrator's programs are is not in everybody's PATH.
        command.arg("PATH=/usr/sbin:/sbin:/usr/bin:/bin").arg(name).current_dir(&self.root);
        command
    }
}

/// The numbers in a version, for comparison.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|sign: char| !sign.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}
