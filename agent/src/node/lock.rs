//! One agent on a node: a lock that ends with its process.

use std::{
    fs::{File, OpenOptions},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use super::error::NodeError;

/// Takes the lock, for as long as the value lives.
pub(super) fn take(path: &Path) -> Result<Flock<File>, NodeError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(NodeError::path("opening", path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
        Errno::EWOULDBLOCK => NodeError::Running(path.to_owned()),
        error => NodeError::path("locking", path)(error.into()),
    })
}
