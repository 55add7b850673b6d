//! The command's view of the file system: cgroups read-only, name service daemons and weir's own
//! folders out of reach, `/proc` of its own pid namespace.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::mount::{MsFlags, mount};

use super::LaunchError;
use crate::system::mounts::{MountInfo, mounts_of_this_process};

/// Sockets by which libc would ask another process to resolve names for it, past the resolver: nscd,
/// systemd-resolved (varlink), sssd and avahi. Hidden, libc falls back to DNS.
pub const NAME_SERVICE_SOCKETS: [&str; 6] = [
    "/run/nscd/socket",
    "/var/run/nscd/socket",
    "/run/systemd/resolve/io.systemd.Resolve",
    "/run/systemd/resolve/io.systemd.Resolve.Monitor",
    "/var/lib/sss/pipes/nss",
    "/run/avahi-daemon/socket",
];

/// Prepares the mount namespace that this process has just entered.
pub(super) fn prepare(hidden: &[PathBuf]) -> Result<(), LaunchError> {
    // Nothing done here may show outside, and nothing done outside may undo it.
    change("making private", Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    for mounted in
        mounts_of_this_process().map_err(failed("reading", Path::new("/proc/self/mountinfo")))?
    {
        if matches!(mounted.kind.as_str(), "cgroup" | "cgroup2") {
            read_only(&mounted)?;
        }
    }
    for socket in NAME_SERVICE_SOCKETS {
        hide_file(Path::new(socket))?;
    }
    for folder in hidden {
        hide_folder(folder)?;
    }
    let proc_flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), proc_flags, None::<&str>)
        .map_err(|error| failed("mounting", Path::new("/proc"))(error.into()))
}

fn read_only(mounted: &MountInfo) -> Result<(), LaunchError> {
    // A remount replaces all flags of the mount, so those it has are given again.
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | mounted.flags;
    change("making read-only", &mounted.path, flags)
}

/// Puts an empty device in place of a socket: a connect to it is refused.
fn hide_file(path: &Path) -> Result<(), LaunchError> {
    if !path.exists() {
        return Ok(());
    }
    mount(Some("/dev/null"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(|error| failed("hiding", path)(error.into()))
}

/// Puts an empty read-only file system in place of a folder.
fn hide_folder(path: &Path) -> Result<(), LaunchError> {
    if !fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("none"), path, Some("tmpfs"), flags, Some("size=4k,mode=0555"))
        .map_err(|error| failed("hiding", path)(error.into()))
}

fn change(action: &'static str, path: &Path, flags: MsFlags) -> Result<(), LaunchError> {
    mount(None::<&str>, path, None::<&str>, flags, None::<&str>)
        .map_err(|error| failed(action, path)(error.into()))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LaunchError {
    let path = path.to_owned();
    move |source| LaunchError::Mount { action, path, source }
}
