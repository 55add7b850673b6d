//! Starts the launcher, which becomes the command.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Child, Command},
};

use super::error::RunError;

/// The hidden subcommand by which this program starts itself as launcher.
pub const LAUNCH: &str = "launch-confined";

/// Starts the launcher. Must be called from the main thread: the kernel kills the launcher when the
/// thread that started it ends.
pub(super) fn start(
    cgroup: &Path,
    keep_capabilities: bool,
    hidden: &[PathBuf],
    command: &[OsString],
) -> Result<Child, RunError> {
    let mut launcher = Command::new("/proc/self/exe");
    launcher.arg(LAUNCH).arg("--cgroup").arg(cgroup);
    if keep_capabilities {
        launcher.arg("--keep-caps");
    }
    for folder in hidden {
        launcher.arg("--hide").arg(folder);
    }
    launcher.arg(OsStr::new("--")).args(command);
    launcher.spawn().map_err(RunError::system("starting the launcher"))
}
