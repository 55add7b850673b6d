//! A folder of bpffs with pins, and whether anything in it has changed.

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::syscall;

/// Longer than the step of the clock that folders are stamped by (a jiffy, at most 10 ms), however late this looks.
const SETTLED: Duration = Duration::from_millis(100);

/// Where links are pinned.
#[derive(Debug)]
pub(super) struct PinFolder {
    path: PathBuf,
    /// The stamp that it had when every pin in it was as it is to be.
    seen: Option<Stamp>,
}

/// By which a change shows: the folder itself, and when an entry of it came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified: SystemTime,
}

impl PinFolder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks whether each of these links is pinned under its name, and pins it where it is not; how many were not. Pins
    /// are opened only when an entry of the folder has come or gone since the last look.
    pub(super) fn keep(&mut self, links: &[(&str, BorrowedFd<'_>)]) -> io::Result<u64> {
        let stamp = Stamp::of(&self.path);
        if stamp.is_some() && stamp == self.seen {
            return Ok(0);
        }
        let mut repaired = 0;
        for (name, link) in links {
            let path = self.path.join(name);
            if !is_pinned(&path, *link) {
                self.replace(name, *link)?;
                repaired += 1;
            }
        }
        // One that was made in the same step of the clock as a later change would hide it.
        self.seen = stamp.filter(|stamp| repaired == 0 && stamp.is_settled());
        Ok(repaired)
    }

    /// Pins a link in the place of whatever is there.
    pub(super) fn replace(&mut self, name: &str, link: BorrowedFd<'_>) -> io::Result<()> {
        let path = self.path.join(name);
        self.seen = None;
        fs::create_dir_all(&self.path)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        syscall::pin(link, &path)
    }
}

impl Stamp {
    fn of(folder: &Path) -> Option<Self> {
        let metadata = fs::metadata(folder).ok()?;
        Some(Self { inode: metadata.ino(), modified: metadata.modified().ok()? })
    }

    fn is_settled(self) -> bool {
        self.modified.elapsed().is_ok_and(|age| age > SETTLED)
    }
}

/// Whether this very link is pinned there.
fn is_pinned(path: &Path, link: BorrowedFd<'_>) -> bool {
    // What cannot be opened, or is no link, is not ours.
    let Ok(pinned) = syscall::open_pin(path) else { return false };
    let there = syscall::link_info(pinned.as_fd()).map(|info| info.id);
    there.is_ok_and(|there| syscall::link_info(link).is_ok_and(|own| own.id == there))
}
