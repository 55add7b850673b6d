//! The text of a file, read no further than a limit, whatever the file is.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Why the text of a file is not there.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The file cannot be opened or read.
    Io(io::Error),
    /// It holds more bytes than the limit.
    TooLarge,
    /// It is not text; the line of the first byte that is none, from 1.
    NotUtf8(usize),
}

/// The text of a file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<String, ReadError> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(ReadError::Io)?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    if bytes.len() > limit {
        return Err(ReadError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let lines = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count();
        ReadError::NotUtf8(lines + 1)
    })
}
