//! What the files of the last good bundle said, for an agent that begins beside a folder it cannot use.
//!
//! Without it pods that an earlier agent held under good policies would lose what they are allowed when the agent is
//! replaced, though a bad folder changes nothing while it runs. The folder looks like a mounted `ConfigMap`: a version, and
//! the link to it, which is replaced in one step, so that a copy cut short is never read. It lasts as long as the pods
//! may: until the node's next start.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::folder::VERSION;
use crate::policy::{Source, digest};

/// Where they are kept.
#[derive(Clone, Debug)]
pub struct Kept(PathBuf);

impl Kept {
    /// In this folder, which need not be there and is nobody else's.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The folder, to be read as any policy folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// When they were kept; nothing where there are none.
    #[must_use]
    pub fn since(&self) -> Option<SystemTime> {
        self.0.join(VERSION).symlink_metadata().and_then(|link| link.modified()).ok()
    }

    /// Keeps these in the place of what was kept before; does nothing where they are the same.
    ///
    /// # Errors
    ///
    /// What the system says; what was kept before stays then.
    pub(super) fn replace<'f>(
        &self,
        files: impl Iterator<Item = (&'f Path, &'f Source)> + Clone,
    ) -> io::Result<()> {
        let version = version(files.clone());
        let link = self.0.join(VERSION);
        if fs::read_link(&link).is_ok_and(|now| now == Path::new(&version)) {
            return Ok(());
        }
        let folder = self.0.join(&version);
        remove(&folder)?;
        fs::create_dir_all(&folder)?;
        for (path, source) in files {
            fs::write(folder.join(path.file_name().unwrap_or_default()), source.text())?;
        }
        let new = self.0.join("..new");
        remove(&new)?;
        symlink(&version, &new)?;
        fs::rename(&new, &link)?;
        for entry in self.0.read_dir()? {
            let entry = entry?;
            if entry.file_name() != OsStr::new(VERSION) && entry.file_name() != OsStr::new(&version)
            {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// A hidden name that is another one for other files.
fn version<'f>(files: impl Iterator<Item = (&'f Path, &'f Source)>) -> String {
    let mut all = Vec::new();
    for (path, source) in files {
        // No name of a file holds a zero byte.
        all.extend_from_slice(path.file_name().unwrap_or_default().as_encoded_bytes());
        all.push(0);
        all.extend_from_slice(source.digest().as_bytes());
    }
    format!("..{}", digest(&all).replace(':', "-"))
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests;
