//! Why a profile could not be read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::diagnostic::{Printable, Report};
use super::limits;

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
    let failed = |source| PolicyError::Read { path: path.to_owned(), source };
    let name = path.to_string_lossy().into_owned();
    let limit = u64::try_from(limits::FILE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limits::FILE_BYTES {
        return Err(PolicyError::TooLarge { name });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let lines = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count();
            Err(PolicyError::NotUtf8 { name, line: lines + 1 })
        }
    }
}
