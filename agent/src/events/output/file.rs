//! A file that is appended to, and replaced before it grows too large.
//!
//! `events.jsonl` is the newest, `events.jsonl.1` the one before it, and so on. Whoever else moves the file away
//! (logrotate) finds a new one made within a second.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Line, Output, Refused};

#[cfg(test)]
mod tests;

/// How often it is looked whether the file is still where it was.
const LOOK: Duration = Duration::from_secs(1);

/// When a file is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::events) struct Rotation {
    /// The size that it does not outgrow, in bytes; a single record may.
    pub(in crate::events) size: u64,
    /// How many older ones are kept.
    pub(in crate::events) keep: u32,
}

/// The file.
#[derive(Debug)]
pub(in crate::events) struct RotatingFile {
    path: PathBuf,
    rotation: Option<Rotation>,
    file: File,
    written: u64,
    looked: Instant,
}

impl RotatingFile {
    /// Opens the file, which may be there already; without a rotation it grows for ever.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub(in crate::events) fn open(path: &Path, rotation: Option<Rotation>) -> io::Result<Self> {
        let (file, written) = append(path)?;
        Ok(Self { path: path.to_owned(), rotation, file, written, looked: Instant::now() })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let bytes = u64::try_from(line.len()).unwrap_or(u64::MAX);
        match self.rotation {
            Some(rotation)
                if self.written > 0 && self.written.saturating_add(bytes) > rotation.size =>
            {
                self.rotate(rotation.keep)?;
            }
            _ if self.looked.elapsed() > LOOK => self.look()?,
            _ => {}
        }
        // Counted before: a write that fails may have written some of it.
        self.written = self.written.saturating_add(bytes);
        self.file.write_all(line)
    }

    /// Makes a new file if somebody moved this one away.
    fn look(&mut self) -> io::Result<()> {
        self.looked = Instant::now();
        let (own, found) = (self.file.metadata()?, fs::metadata(&self.path));
        let is_same = found.is_ok_and(|found| (found.dev(), found.ino()) == (own.dev(), own.ino()));
        if !is_same {
            (self.file, self.written) = append(&self.path)?;
        }
        Ok(())
    }

    /// Numbers all files anew and begins another. If that fails the next record tries again.
    fn rotate(&mut self, keep: u32) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut path = self.path.clone().into_os_string();
            path.push(format!(".{number}"));
            PathBuf::from(path)
        };
        for number in (1..keep).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if keep == 0 {
            fs::remove_file(&self.path)?;
        } else {
            fs::rename(&self.path, numbered(1))?;
        }
        (self.file, self.written) = append(&self.path)?;
        Ok(())
    }
}

impl Output for RotatingFile {
    fn take(&mut self, records: &[Line], _is_ending: &dyn Fn() -> bool) -> Result<(), Refused> {
        let mut refused: Result<(), Refused> = Ok(());
        for line in records {
            if let Err(error) = self.write(line) {
                let records = refused.map_or_else(|refused| refused.records, |()| 0);
                refused = Err(Refused { records: records + 1, error });
            }
        }
        refused
    }
}

/// Opens a file to append to; with its size.
fn append(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}
