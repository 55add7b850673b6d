//! The text of one file of the checkout: inside it, regular, and no larger than a bound.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Size of one file, in bytes; the lock files of the largest monorepos have half of it.
const FILE_BYTES: u64 = 32 * 1024 * 1024;
/// Size of all files together.
const ALL_BYTES: u64 = 512 * 1024 * 1024;

/// Why a file of the checkout was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it leads out of the project's folder")]
    LeadsOut,
    #[error("it is no regular file")]
    NotAFile,
    #[error("it has more than {} MiB", FILE_BYTES / 1024 / 1024)]
    TooLarge,
    #[error("the files before it have {} MiB", ALL_BYTES / 1024 / 1024)]
    Spent,
    #[error("it is no text")]
    NotText,
}

/// Reads files below one folder until their sizes add up to a bound.
#[derive(Debug)]
pub(super) struct Budget {
    root: PathBuf,
    left: u64,
}

impl Budget {
    /// `root` is a canonical path.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf(), left: ALL_BYTES }
    }

    /// The text of the file at `path`, from the folder. A link is followed if it stays in the folder.
    pub(super) fn read(&mut self, path: &str) -> Result<String, Unread> {
        let path = fs::canonicalize(self.root.join(path))?;
        if !path.starts_with(&self.root) {
            return Err(Unread::LeadsOut);
        }
        let bytes =
            read_regular(&path, FILE_BYTES.min(self.left)).map_err(|error| match error {
                Unread::TooLarge if self.left < FILE_BYTES => Unread::Spent,
                error => error,
            })?;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        String::from_utf8(bytes).map_err(|_error| Unread::NotText)
    }
}

/// The text of a file of the user's own, outside any checkout, of at most `limit` bytes.
pub(super) fn own_file(path: &Path, limit: u64) -> Result<String, Unread> {
    let bytes = read_regular(&fs::canonicalize(path)?, limit)?;
    String::from_utf8(bytes).map_err(|_error| Unread::NotText)
}

fn read_regular(path: &Path, limit: u64) -> Result<Vec<u8>, Unread> {
    // Not blocking: opening a pipe would wait for its writer.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Unread::NotAFile);
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(Unread::TooLarge) } else { Ok(bytes) }
}
