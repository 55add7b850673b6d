//! Why a configuration could not be read.

use std::io;
use std::path::{Path, PathBuf};

use super::problem::Report;
use crate::yaml::{self, Printable, ReadError};

/// The largest configuration, in bytes.
const FILE_BYTES: usize = 1 << 20;

/// Why a configuration could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be opened or read.
    #[error("reading configuration {path}", path = Printable(&.path.to_string_lossy()))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is larger than any configuration.
    #[error("{name}: a configuration is at most {most} MiB", name = Printable(name), most = FILE_BYTES >> 20)]
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
    /// The text is not a configuration.
    #[error(transparent)]
    Invalid(#[from] Report),
}

/// The file's name for messages, and its text.
pub(super) fn read_file(path: &Path) -> Result<(String, String), ConfigError> {
    let name = path.to_string_lossy().into_owned();
    match yaml::read(path, FILE_BYTES) {
        Ok(text) => Ok((name, text)),
        Err(ReadError::Io(source)) => Err(ConfigError::Read { path: path.to_owned(), source }),
        Err(ReadError::TooLarge) => Err(ConfigError::TooLarge { name }),
        Err(ReadError::NotUtf8(line)) => Err(ConfigError::NotUtf8 { name, line }),
    }
}
