//! The files of a policy folder.

use std::io;
use std::path::{Path, PathBuf};

use super::BundleError;

/// Profiles that one folder may hold.
pub(super) const PROFILES: usize = 1024;
/// The link that Kubernetes replaces when a `ConfigMap` changes.
pub(super) const VERSION: &str = "..data";

/// The files of a folder that are profiles, sorted: `*.yaml`, unless hidden.
///
/// Kubernetes mounts a `ConfigMap` with links into the folder behind `..data`, which it replaces whole: that folder is
/// read, so that no mix of two versions is.
pub(super) fn profile_files(dir: &Path) -> Result<Vec<PathBuf>, BundleError> {
    let failed = |source| BundleError::Folder { dir: dir.to_owned(), source };
    let link = dir.join(VERSION);
    let version = match link.symlink_metadata() {
        Ok(_) => link.canonicalize().map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => dir.to_owned(),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in version.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        if files.len() == PROFILES {
            return Err(BundleError::TooMany { dir: dir.to_owned() });
        }
        files.push(path);
    }
    files.sort();
    Ok(files)
}
