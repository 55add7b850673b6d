//! Control groups, version 2 (the kernel's Documentation/admin-guide/cgroup-v2.rst).

use std::{
    fs,
    io::{self, Read as _, Seek as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::mounts;

/// Why the cgroup of this process is not known.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No cgroup2 file system is mounted.
    #[error(
        "no cgroup v2 file system is mounted; mount one with `mount -t cgroup2 none /sys/fs/cgroup/unified`"
    )]
    NotMounted,
    /// Something could not be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// This process is in no cgroup of version 2.
    #[error("this process is in no cgroup of version 2")]
    NoMembership,
}

/// Where cgroup version 2 is mounted, on pure and on hybrid machines.
///
/// # Errors
///
/// [`CgroupError`].
pub fn root() -> Result<PathBuf, CgroupError> {
    let unreadable =
        |source| CgroupError::Read { path: PathBuf::from("/proc/self/mountinfo"), source };
    mounts::find("cgroup2").map_err(unreadable)?.ok_or(CgroupError::NotMounted)
}

/// The folder of this process's own cgroup.
///
/// # Errors
///
/// [`CgroupError`].
pub fn own() -> Result<PathBuf, CgroupError> {
    let file = PathBuf::from("/proc/self/cgroup");
    let text =
        fs::read_to_string(&file).map_err(|source| CgroupError::Read { path: file, source })?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    let path = path.ok_or(CgroupError::NoMembership)?;
    Ok(root()?.join(path.trim_start_matches('/')))
}

/// The processes in a cgroup and below it.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn processes(cgroup: &Path) -> io::Result<Vec<i32>> {
    let mut pids: Vec<i32> = fs::read_to_string(cgroup.join("cgroup.procs"))?
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    for child in children(cgroup)? {
        pids.extend(processes(&child)?);
    }
    Ok(pids)
}

/// Removes an empty cgroup and the empty ones below it.
///
/// # Errors
///
/// `EBUSY` while a process is left in one of them.
pub fn remove(cgroup: &Path) -> io::Result<()> {
    for child in children(cgroup)? {
        remove(&child)?;
    }
    fs::remove_dir(cgroup)
}

fn children(cgroup: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// Whether any process is left in a cgroup or below it: none is in one that is gone.
///
/// # Errors
///
/// When the cgroup's events cannot be read.
pub fn is_populated(cgroup: &Path) -> io::Result<bool> {
    match fs::File::open(cgroup.join(EVENTS)) {
        Ok(mut events) => is_populated_now(&mut events),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits until no process is left in a cgroup and below it. Needs a tokio runtime.
///
/// # Errors
///
/// When the cgroup's events cannot be watched.
pub async fn emptied(cgroup: &Path) -> io::Result<()> {
    let events = match fs::File::open(cgroup.join(EVENTS)) {
        Ok(events) => events,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    // SAFETY: the file is owned by the `AsyncFd` and closed only after deregistration.
    let mut events = unsafe { AsyncFd::register_with_interest(events, Interest::PRIORITY) }?;
    // Read before each wait: the kernel reports only what has changed since.
    while is_populated_now(events.get_mut())? {
        events.ready(Interest::PRIORITY).await?.clear_ready();
    }
    Ok(())
}

/// The file that tells whether a cgroup is populated (cgroup-v2.rst, "Un-populated Notification").
const EVENTS: &str = "cgroup.events";

fn is_populated_now(events: &mut fs::File) -> io::Result<bool> {
    let mut text = String::new();
    events.rewind()?;
    match events.read_to_string(&mut text) {
        Ok(_) => Ok(!text.contains("populated 0")),
        // The cgroup was removed, which it can only be when it is empty.
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits until the kernel reports a change of the cgroup's `populated` state, or for so long.
///
/// # Errors
///
/// When the cgroup's events cannot be watched.
pub fn wait_for_change(cgroup: &Path, at_most: Duration) -> io::Result<()> {
    // The file must have been read once for a change of it to be reported (cgroup-v2.rst, "populated").
    let mut events = fs::File::open(cgroup.join(EVENTS))?;
    if !is_populated_now(&mut events)? {
        return Ok(());
    }
    let mut watched = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
    let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
    poll(&mut watched, timeout)?;
    Ok(())
}
