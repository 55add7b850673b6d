//! Why a profile could not be read.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::limits;
use super::problem::Report;
use crate::yaml::{self, Printable, ReadError};

/// Why a profile could not be read or compiled.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be opened or read.
    #[error("reading profile {path}", path = Printable(&.path.to_string_lossy()))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is larger than [`limits::FILE_BYTES`].
    #[error("{name}: a profile is at most {most} MiB", name = Printable(name), most = limits::FILE_BYTES >> 20)]
    TooLarge {
        /// The file.
        name: String,
    },
    /// The file is not text.
    #[error("{name}:{line}: the file is not UTF-8 text", name = Printable(name))]
    NotUtf8 {
        /// The file.
        name: String,
        /// The line of the first byte that is no text, from 1.
        line: usize,
    },
    /// It needs others.
    #[error(
        "{name}: the profile includes others, which are read with a whole policy folder alone; give the folder, or copy their rules",
        name = Printable(name)
    )]
    Includes {
        /// The file.
        name: String,
    },
    /// The text is not a profile.
    #[error(transparent)]
    Invalid(#[from] Report),
}

/// An error with everything behind it, on one line where the errors are.
#[derive(Debug)]
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// The file's name for messages, and its text. Reads no further than the limit, whatever the file is.
pub(super) fn read_file(path: &Path) -> Result<(String, String), PolicyError> {
    let name = path.to_string_lossy().into_owned();
    match yaml::read(path, limits::FILE_BYTES) {
        Ok(text) => Ok((name, text)),
        Err(ReadError::Io(source)) => Err(PolicyError::Read { path: path.to_owned(), source }),
        Err(ReadError::TooLarge) => Err(PolicyError::TooLarge { name }),
        Err(ReadError::NotUtf8(line)) => Err(PolicyError::NotUtf8 { name, line }),
    }
}
