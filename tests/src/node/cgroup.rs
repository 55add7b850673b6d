//! The cgroup that a node lives in: one kill ends every process in it, however it was started.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::{orphans, own_prefix};
use crate::vm::patient;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// How long the kernel may take to empty a killed cgroup.
const LIMIT: Duration = Duration::from_secs(10);

/// A cgroup of version 2 with everything below it; killed and removed on drop.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes `weirlab-PID-START-N-node` at the top of the hierarchy, and removes those of dead processes.
    pub(super) fn create() -> Result<Self> {
        let top = top()?;
        for name in orphans(&top)? {
            // Another process may be sweeping the same one.
            remove(&top.join(name)).ok();
        }
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = top.join(format!("{}{number}-node", own_prefix()?));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self { path })
    }

    /// Kills what is in it, then removes it; it may be gone already.
    pub(super) fn remove(&self) -> Result<()> {
        if self.path.exists() { remove(&self.path) } else { Ok(()) }
    }

    /// Its folder as this process sees it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What fails here is found and removed by the next process's sweep.
        self.remove().ok();
    }
}

/// Where this machine has mounted cgroup version 2: at the top, or beside version 1.
fn top() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut places = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let place = fields.nth(1)?;
        (fields.next()? == "cgroup2").then_some(place)
    });
    places.next().map(PathBuf::from).context("no cgroup version 2 is mounted: mount one")
}

/// Kills what is in the cgroup and below, then removes all of it.
fn remove(path: &Path) -> Result<()> {
    let deadline = Instant::now() + patient(LIMIT);
    // A killed process leaves its cgroup when it has ended, and a poll(2) on cgroup.events would miss
    // the children that are removed in between.
    loop {
        kill_all(path).with_context(|| format!("killing the processes of {}", path.display()))?;
        let Err(error) = remove_tree(path) else { return Ok(()) };
        let busy = error.kind() == io::ErrorKind::ResourceBusy;
        ensure!(busy && Instant::now() < deadline, "removing {}: {error}", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Kills what is in the cgroup and below.
fn kill_all(path: &Path) -> io::Result<()> {
    let at_once = path.join("cgroup.kill");
    // Since Linux 5.14 (cgroup-v2.rst).
    if at_once.exists() {
        return fs::write(at_once, "1");
    }
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for pid in fs::read_to_string(path.join("cgroup.procs"))?.lines() {
        // It may have ended; what it has started meanwhile is found when the cgroup is not empty.
        pid.parse().map(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL)).ok();
    }
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            kill_all(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_tree(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
