//! What a run leaves on the machine, written down before it is made, so that the next run can clear it
//! after a SIGKILL.
//!
//! Each run holds a lock on its note for as long as it lives. A note that can be locked is that of a
//! dead run: its processes are killed first, then the links are unpinned, then the cgroup is removed;
//! in that order nothing that is left of it is ever open.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use super::{bpffs, error::RunError};
use crate::system::cgroup;

/// Where the notes are.
pub(super) const NOTES: &str = "/run/weir/run";

/// How long killed processes may take to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(5);

/// What a run makes on the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Belongings {
    /// Its cgroup.
    pub(super) cgroup: PathBuf,
    /// Its folder on bpffs.
    pub(super) pins: PathBuf,
}

/// The note of a living run. Dropped, the belongings are removed.
#[derive(Debug)]
pub(super) struct Note {
    file: Option<Flock<File>>,
    path: PathBuf,
    belongings: Belongings,
}

impl Note {
    /// Writes down what is about to be made, and makes it.
    pub(super) fn write(belongings: Belongings, id: &str) -> Result<Self, RunError> {
        let folder = Path::new(NOTES);
        bpffs::make(folder)?;
        let path = folder.join(id);
        let file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&path)
            .map_err(RunError::path("creating", &path))?;
        let mut file = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| RunError::path("locking", &path)(error.into()))?;
        let text = serde_json::to_vec(&belongings).map_err(io::Error::other);
        text.and_then(|text| file.write_all(&text)).map_err(RunError::path("writing", &path))?;
        let note = Self { file: Some(file), path, belongings };
        let Belongings { cgroup, pins } = &note.belongings;
        fs::create_dir(cgroup).map_err(RunError::path("making the cgroup", cgroup))?;
        bpffs::make(pins)?;
        Ok(note)
    }

    pub(super) const fn belongings(&self) -> &Belongings {
        &self.belongings
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        match remove(&self.belongings) {
            Ok(()) => {
                if let Err(error) = fs::remove_file(&self.path) {
                    tracing::warn!(path = %self.path.display(), %error, "a note was left behind");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "something was left behind; the next run will clear it");
            }
        }
        self.file = None;
    }
}

/// Clears what dead runs left. One that cannot be cleared is left for the next time, with a warning.
pub(super) fn clear() -> Result<(), RunError> {
    let entries = match fs::read_dir(NOTES) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(RunError::path("reading", Path::new(NOTES))(error)),
    };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if let Err(error) = clear_one(&path) {
            tracing::warn!(path = %path.display(), %error, "the leftovers of a dead run stay");
        }
    }
    Ok(())
}

fn clear_one(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => file,
        // The run is alive.
        Err((_, Errno::EWOULDBLOCK)) => return Ok(()),
        Err((_, error)) => return Err(error.into()),
    };
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    match serde_json::from_str(&text) {
        Ok(belongings) => remove(&belongings)?,
        // Killed before it had written: nothing was made yet.
        Err(_unwritten) if text.is_empty() => {}
        Err(error) => return Err(error.into()),
    }
    fs::remove_file(path)
}

fn remove(belongings: &Belongings) -> io::Result<()> {
    let Belongings { cgroup, pins } = belongings;
    if cgroup.exists() {
        kill_all(cgroup)?;
    }
    if pins.exists() {
        for pin in fs::read_dir(pins)? {
            fs::remove_file(pin?.path())?;
        }
        fs::remove_dir(pins)?;
    }
    if cgroup.exists() { cgroup::remove(cgroup) } else { Ok(()) }
}

/// Kills every process of the cgroup and waits until the kernel says that it is empty.
fn kill_all(cgroup: &Path) -> io::Result<()> {
    let deadline = Instant::now() + KILL_DEADLINE;
    loop {
        let processes = cgroup::processes(cgroup)?;
        if processes.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("processes {processes:?} in {} do not end", cgroup.display()),
            ));
        }
        for process in processes {
            match kill(Pid::from_raw(process), Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        cgroup::wait_for_change(cgroup, Duration::from_millis(100))?;
    }
}
