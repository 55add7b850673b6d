//! Several profiles, each in a file of its own.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::Learned;
use crate::{
    policy::{Heading, Wildcards, Written, limits},
    yaml::Printable,
};

/// A profile and the name of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Without folders.
    pub name: String,
    /// The profile.
    pub profile: Written,
}

/// Why profiles could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// There is a file of that name, which somebody may have reviewed.
    #[error("{} is there already; nothing was written. Name a folder without it, or remove it", Printable(&path.to_string_lossy()))]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("writing {}", Printable(&path.to_string_lossy()))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A profile for each group, by its name.
#[must_use]
pub fn files(learned: &Learned, wildcards: Wildcards) -> Vec<File> {
    let mut taken = BTreeSet::new();
    let mut files = Vec::new();
    for (group, lesson) in &learned.lessons {
        let name = unique(&group.profile_name(&lesson.paths), &mut taken);
        let mut notes = group.notes(&lesson.paths);
        notes.extend(lesson.notes());
        let selector = group.selector(&lesson.paths);
        let heading = Heading { name: name.clone(), selector, notes };
        let profile = lesson.suggestion.write(&heading, wildcards);
        files.push(File { name: file_name(&name), profile });
    }
    files
}

/// The name, numbered where a file of another has what its own would be.
fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    /// Room for the number.
    const ROOM: usize = 8;
    let mut numbered = name.to_owned();
    let mut number = 2;
    while !taken.insert(file_name(&numbered)) {
        let short = name.get(..limits::PROFILE_NAME_BYTES - ROOM).unwrap_or(name);
        numbered = format!("{}-{number}", short.trim_end_matches(|c: char| !c.is_alphanumeric()));
        number += 1;
    }
    numbered
}

fn file_name(profile: &str) -> String {
    format!("{}.yaml", profile.replace('/', "-"))
}

/// Writes the files into a folder, which is made if it is not there. Where one of them is there already, none is written.
///
/// # Errors
/// [`OutputError`].
pub fn write_all(folder: &Path, files: &[File]) -> Result<(), OutputError> {
    let failed = |path: &Path, source| OutputError::Io { path: path.to_owned(), source };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let paths: Vec<PathBuf> = files.iter().map(|file| folder.join(&file.name)).collect();
    // A dangling link counts as well: what it leads to is nobody's business here.
    if let Some(path) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(OutputError::Exists { path: path.clone() });
    }
    for (path, file) in paths.iter().zip(files) {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .and_then(|mut opened| opened.write_all(file.profile.text.as_bytes()))
            .map_err(|error| failed(path, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
