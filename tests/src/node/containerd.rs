//! A node's containerd: which one, its configuration, and its process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::image::Image;
use super::network::{CONFIGURATIONS, PLUGINS};
use super::stock::Stock;
use super::view::{FOLDER, View};
use crate::exec::{self, DEFAULT_LIMIT, Running};
use crate::packages::{self, Package};
use crate::programs::target_folder;
use crate::vm::guest_folder;

/// Where containerd listens, in the view: its usual place.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";
/// What containerd keeps, in the view.
pub(super) const ROOT: &str = "/run/node/containerd";
const CONFIG: &str = "/run/node/containerd.toml";
const LOG: &str = "/run/node/containerd.log";
/// Names the OCI runtime of a node's containers, in containerd's environment: runc, or crun where the machine is
/// emulated. Clusters have either, and the two do not enter a pod's cgroup alike.
pub const RUNTIME: &str = "WEIR_LAB_RUNTIME";
/// The program of this package that takes its place.
const RUNC: &str = "weir-lab-runc";

/// Releases of containerd that differ in what an agent meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// 1.6, the oldest with CRI v1.
    V1_6,
    /// 1.7.
    V1_7,
    /// 2.
    V2,
}

impl Series {
    /// All of them, the oldest first.
    pub const ALL: [Self; 3] = [Self::V1_6, Self::V1_7, Self::V2];

    /// How its versions begin, and the Debian release that has it.
    const fn source(self) -> (&'static str, &'static str) {
        match self {
            Self::V1_6 => ("1.6.", "bookworm"),
            Self::V1_7 => ("1.7.", "trixie"),
            Self::V2 => ("2.", "sid"),
        }
    }
}

/// The programs of one containerd.
#[derive(Clone, Debug, Default)]
pub struct Containerd {
    /// Where they were unpacked; none for the installed ones.
    unpacked: Option<Package>,
}

impl Containerd {
    /// The one that is installed.
    #[must_use]
    pub fn installed() -> Self {
        Self::default()
    }

    /// One of `series`: the installed one if it is, else one that is fetched and kept beside the build
    /// results. None where no Debian mirror gives it.
    pub fn find(series: Series) -> Result<Option<Self>> {
        let (prefix, suite) = series.source();
        if installed_version()?.starts_with(prefix) {
            return Ok(Some(Self::installed()));
        }
        let Some(package) = packages::find(suite, "containerd")? else { return Ok(None) };
        ensure!(package.version.starts_with(prefix), "{suite} has containerd {}", package.version);
        Ok(Some(Self { unpacked: Some(package) }))
    }

    /// The version, as Debian or the program writes it.
    pub fn version(&self) -> Result<String> {
        self.unpacked.as_ref().map_or_else(installed_version, |package| Ok(package.version.clone()))
    }

    /// The program.
    fn program(&self) -> Result<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = self.folder().into_iter().chain(std::env::split_paths(&path));
        let mut programs = folders.map(|folder| folder.join("containerd"));
        programs.find(|program| program.is_file()).context("no containerd: install it")
    }

    /// The folder of containerd, its shim and ctr, where that is not in PATH.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        self.unpacked.as_ref().map(|package| package.folder.join("usr/bin"))
    }
}

/// `containerd MODULE VERSION REVISION` is what it says of itself.
fn installed_version() -> Result<String> {
    let mut ask = Command::new("containerd");
    ask.arg("--version");
    let said = exec::run(ask, DEFAULT_LIMIT)?.expect_code(0)?.stdout;
    let version = said.split(' ').nth(2).context("containerd does not tell its version")?;
    Ok(version.trim_start_matches('v').to_owned())
}

/// What becomes of the limits that containers ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limits {
    /// `src/bin/runc.rs` takes them out.
    Dropped,
    /// runc sets them.
    Kept,
}

/// Writes what containerd needs into the view.
pub(super) fn configure(view: &View, limits: Limits) -> Result<()> {
    let runc = match limits {
        Limits::Dropped => target_folder()?.join(RUNC),
        Limits::Kept => "runc".into(),
    };
    view.write(CONFIG, configuration(&runc.to_string_lossy()).as_bytes(), 0o644)
}

/// The stock of `images` for a containerd.
pub(super) fn stock(containerd: &Containerd, images: &[&Image]) -> Result<Stock> {
    Stock::of(&containerd.program()?, &configuration(RUNC), images)
}

/// Containers of a node without `CAP_SYS_RESOURCE` cannot lower their OOM score.
fn configuration(runc: &str) -> String {
    let pause = Image::pause();
    let pause = pause.reference();
    format!(
        r#"version = 2
root = "{ROOT}"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
]

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
path = "{FOLDER}/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
disable_apparmor = true
tolerate_missing_hugetlb_controller = true
disable_hugetlb_controller = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{CONFIGURATIONS}"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false
"#
    )
}

/// A running containerd; its shims outlive it, as they do on a node.
#[derive(Debug)]
pub(super) struct Process {
    process: Running,
}

impl Process {
    /// Starts it; it is not ready yet.
    pub(super) fn start(view: &View) -> Result<Self> {
        let mut command = view.command("sh");
        command.args(["-c", &format!("exec containerd --config {CONFIG} >> {LOG} 2>&1")]);
        command.env(RUNTIME, if guest_folder().is_some() { "crun" } else { "runc" });
        let process = exec::spawn_as(command, "containerd".to_owned());
        Ok(Self { process: process.context("starting containerd")? })
    }

    /// Fails once the process has ended.
    pub(super) fn check(&self, view: &View) -> Result<()> {
        let ended = kill(Pid::from_raw(self.process.pid()), None).is_err();
        ensure!(!ended, "containerd ended:\n{}", log(view));
        Ok(())
    }

    /// Ends it by SIGTERM.
    pub(super) fn stop(self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.finish(Duration::from_secs(20))?;
        Ok(())
    }

    /// Ends it by SIGKILL.
    pub(super) fn kill(self) -> Result<()> {
        self.process.signal(Signal::SIGKILL)?;
        self.process.finish(Duration::from_secs(20))?;
        Ok(())
    }

    /// Its process id.
    pub(super) fn pid(&self) -> i32 {
        self.process.pid()
    }
}

/// What containerd has written so far.
pub(super) fn log(view: &View) -> String {
    fs::read_to_string(view.path(Path::new(LOG))).unwrap_or_default()
}
