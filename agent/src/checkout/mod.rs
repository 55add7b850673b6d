//! A first profile from what a checkout says of itself, without any traffic.
//!
//! `walk` finds the files that clients read or write: lock files, settings, remotes, image references. `sources` has
//! one reader for each format; it notes every host that a file names, with its line, and every default that
//! the file leaves to its client. `clients` asks the clients of this machine for those defaults, outside the
//! checkout and without letting them reach a network. `render` writes the profile; what nobody could say becomes a
//! comment to fill in.
//!
//! Invariant: weir has no table of registries. Each host of the output was read in a file or told by a client,
//! and the output says which.
//! Invariant: nothing of the checkout is executed: its files are read by weir alone, and no client is started
//! in its folder or from it.
//! Invariant: the text is a valid profile, whatever the files hold.

use std::io;
use std::path::{Path, PathBuf};

mod clients;
mod document;
mod endpoint;
mod expand;
mod findings;
mod notes;
mod purpose;
mod read;
mod render;
mod sources;
#[cfg(test)]
mod tests;
mod walk;

pub use clients::Clients;
use findings::Findings;

/// Why a checkout could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The folder is not there, or may not be entered.
    #[error("opening the project {}", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What was named is no folder.
    #[error("the project {} is not a folder; name the folder of a checkout", .0.display())]
    NotAFolder(PathBuf),
}

/// A profile for review, and what could not be read on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The profile, as YAML.
    pub text: String,
    /// One line each: files that could not be read, and bounds that were met.
    pub warnings: Vec<String>,
}

/// Suggests a profile for the checkout in the folder `project`; `name` becomes `metadata.name` if it is a profile
/// name, else `suggested` does.
///
/// # Errors
/// [`CheckoutError`] if `project` is no folder that can be read. Files in it that cannot be read are warnings.
pub fn suggest(project: &Path, name: &str, clients: &Clients) -> Result<Suggestion, CheckoutError> {
    let open = |source| CheckoutError::Open { path: project.to_path_buf(), source };
    // One spelling of the folder: whether a link leads out of it is told by its path.
    let root = project.canonicalize().map_err(open)?;
    if !root.is_dir() {
        return Err(CheckoutError::NotAFolder(project.to_path_buf()));
    }
    root.read_dir().map_err(open)?;
    let mut findings = Findings::default();
    sources::read_all(&root, &mut findings);
    clients.answer(&root, &mut findings);
    let warnings = findings.take_warnings();
    Ok(Suggestion { text: render::render(name, &findings), warnings })
}
