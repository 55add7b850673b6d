//! The BPF file system, where links are pinned so that enforcement outlives this process.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::mount::{MsFlags, mount};

use super::error::RunError;
use crate::system::mounts;

/// Where systemd mounts it, and everybody looks.
const MOUNT_POINT: &str = "/sys/fs/bpf";

/// weir's folder on bpffs. Mounts bpffs where nobody has.
pub(super) fn folder() -> Result<PathBuf, RunError> {
    let root = Path::new(MOUNT_POINT);
    let mounted = mounts::is_mounted("bpf", root)
        .map_err(RunError::path("reading", Path::new("/proc/self/mountinfo")))?;
    if !mounted {
        let flags =
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RELATIME;
        mount(Some("bpf"), root, Some("bpf"), flags, Some("mode=700"))
            .map_err(io::Error::from)
            .map_err(RunError::path("mounting bpffs at", root))?;
    }
    let folder = root.join("weir");
    make(&folder)?;
    Ok(folder)
}

/// Makes a folder unless it is there.
pub(super) fn make(folder: &Path) -> Result<(), RunError> {
    fs::create_dir_all(folder).map_err(RunError::path("making the folder", folder))
}
