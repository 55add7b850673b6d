//! Where records are read from.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader},
    path::PathBuf,
};

use crate::yaml::Printable;

/// How much is asked of a file at once.
const BUFFER: usize = 128 * 1024;

/// A file of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// A file of records that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("reading event records from {name}")]
pub struct ReadError {
    /// The file.
    name: String,
    /// What the system said.
    #[source]
    source: io::Error,
}

impl From<PathBuf> for Source {
    /// `-` is standard input.
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::File(path) }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => write!(f, "{}", Printable(&path.to_string_lossy())),
        }
    }
}

impl Source {
    pub(super) fn open(&self) -> Result<Box<dyn BufRead>, ReadError> {
        match self {
            Self::Stdin => Ok(Box::new(io::stdin().lock())),
            Self::File(path) => {
                let file = File::open(path).map_err(|error| self.failed(error))?;
                Ok(Box::new(BufReader::with_capacity(BUFFER, file)))
            }
        }
    }

    pub(super) fn failed(&self, source: io::Error) -> ReadError {
        ReadError { name: self.to_string(), source }
    }
}
