//! `--suggest`: a profile that allows exactly what was seen.

use std::{fs::OpenOptions, path::Path};

use super::error::RunError;
use crate::pod::records::Account;

/// Makes sure before the run that the suggestion can be written after it.
pub(super) fn check_writable(path: &Path) -> Result<(), RunError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map(drop)
        .map_err(RunError::path("opening the file for the suggested profile", path))
}

/// Writes the profile.
pub(super) fn write(path: &Path, accounts: &[Account]) -> Result<(), RunError> {
    let text = format!("{}", accounts.len());
    std::fs::write(path, text).map_err(RunError::path("writing the suggested profile", path))
}
