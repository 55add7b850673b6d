//! Debian's cloud kernels: fetched, unpacked and kept, with the modules that a machine needs before it has a root.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::exec::{self, DEFAULT_LIMIT};
use crate::packages;

/// What the first process needs: the bus, the file system that brings this machine's root, and what makes
/// that root writable. Kernels have them built in or as modules, later ones more of them built in.
const NEEDED_TO_BOOT: [&str; 3] = ["virtio_pci", "virtiofs", "overlay"];

/// A series of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// 6.12, of Debian 13.
    V6_12,
}

impl Series {
    /// The release that has it, and how its packages' names begin and end.
    const fn source(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::V6_12 => ("trixie", "linux-image-6.12.", "-cloud-amd64"),
        }
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
        let (suite, prefix, suffix) = series.source();
        let label = format!("{prefix}N{suffix}");
        let found = packages::find_as(suite, &label, |archive| {
            let names = archive.names(prefix)?;
            let names = names.into_iter().filter(|name| name.ends_with(suffix));
            Ok(names.max_by_key(|name| numbers(name)))
        })?;
        let Some(package) = found else { return Ok(None) };
        let root = package.folder;
        let modules = fs::read_dir(root.join("usr/lib/modules"))?;
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

/// The numbers in a package's name, for comparison.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|sign: char| !sign.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}
