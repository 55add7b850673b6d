//! All profiles of a node, and who gets which.
//!
//! Invariant: a bundle is whole. One bad file, or one name that leads nowhere, and there is none; whoever
//! has an older one keeps it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{self, DENY_ALL};
use crate::containerd::Sandbox;
use crate::policy::{PolicyError, Profile, digest};

#[cfg(test)]
mod tests;

/// Profiles that one folder may hold.
const PROFILES: usize = 1024;

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The folder cannot be read.
    #[error("reading the policy folder {}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// More files than a bundle may hold.
    #[error("the policy folder {} holds more than {PROFILES} profiles", dir.display())]
    TooMany {
        /// The folder.
        dir: PathBuf,
    },
    /// A file is no profile.
    #[error(transparent)]
    Profile(#[from] PolicyError),
    /// Two files give the same name.
    #[error(
        "{} and {} both name their profile `{name}`; give one of them another `metadata.name`",
        first.display(), second.display()
    )]
    Duplicate {
        /// The name.
        name: String,
        /// The first file, in the order of their names.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A file gives the name of the built-in profile.
    #[error("{}: the name `{DENY_ALL}` is that of the built-in profile; give another `metadata.name`", file.display())]
    Reserved {
        /// The file.
        file: PathBuf,
    },
    /// The configuration names a profile that no file has.
    #[error("{key} names the profile `{name}`, which no file in {} has", dir.display())]
    Unknown {
        /// The configuration's key.
        key: String,
        /// The name.
        name: String,
        /// The folder.
        dir: PathBuf,
    },
}

/// All profiles, and who gets which.
#[derive(Clone, Debug)]
pub struct Bundle {
    profiles: BTreeMap<String, Arc<Profile>>,
    default: Arc<Profile>,
    namespaces: BTreeMap<String, Arc<Profile>>,
    digest: String,
}

impl Bundle {
    /// Reads the folder's `*.yaml` files, in the order of their names. Hidden files are no profiles.
    ///
    /// # Errors
    ///
    /// [`BundleError`] for the first thing that is wrong.
    pub fn load(policy: &config::Policy) -> Result<Self, BundleError> {
        let dir = &policy.dir;
        let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut profiles = BTreeMap::from([(DENY_ALL.to_owned(), Arc::new(Profile::deny_all()))]);
        for file in profile_files(dir)? {
            let profile = Profile::from_file(&file)?;
            let name = profile.name().to_owned();
            if name == DENY_ALL {
                return Err(BundleError::Reserved { file });
            }
            if let Some(first) = files.insert(name.clone(), file.clone()) {
                return Err(BundleError::Duplicate { name, first, second: file });
            }
            profiles.insert(name, Arc::new(profile));
        }
        let named = |key: &dyn Fn() -> String, name: &str| {
            let unknown =
                || BundleError::Unknown { key: key(), name: name.to_owned(), dir: dir.clone() };
            profiles.get(name).map(Arc::clone).ok_or_else(unknown)
        };
        let default = named(&|| "`policy.default`".to_owned(), &policy.default)?;
        let mut namespaces = BTreeMap::new();
        for (namespace, name) in &policy.namespaces {
            let key = || format!("`policy.namespaces.{namespace}`");
            namespaces.insert(namespace.clone(), named(&key, name)?);
        }
        Ok(Self::new(profiles, default, namespaces))
    }

    /// The bundle of a node that has none: everybody gets `deny-all`.
    #[must_use]
    pub fn deny_all() -> Self {
        let profile = Arc::new(Profile::deny_all());
        let profiles = BTreeMap::from([(DENY_ALL.to_owned(), Arc::clone(&profile))]);
        Self::new(profiles, profile, BTreeMap::new())
    }

    fn new(
        profiles: BTreeMap<String, Arc<Profile>>,
        default: Arc<Profile>,
        namespaces: BTreeMap<String, Arc<Profile>>,
    ) -> Self {
        // One line each, in the order of the keys; neither names nor digests hold spaces or line ends.
        let mut summary = String::new();
        for (name, profile) in &profiles {
            let _infallible = writeln!(summary, "profile {name} {}", profile.digest());
        }
        let _infallible = writeln!(summary, "default {}", default.name());
        for (namespace, profile) in &namespaces {
            let _infallible = writeln!(summary, "namespace {namespace} {}", profile.name());
        }
        Self { profiles, default, namespaces, digest: digest(summary.as_bytes()) }
    }

    /// The profile of a pod: that of its namespace, else the default. Nothing that a job can set decides.
    #[must_use]
    pub fn profile_for(&self, sandbox: &Sandbox) -> Arc<Profile> {
        Arc::clone(self.namespaces.get(&sandbox.pod.namespace).unwrap_or(&self.default))
    }

    /// A profile by its name.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&Arc<Profile>> {
        self.profiles.get(name)
    }

    /// All profiles in the order of their names, `deny-all` among them.
    pub fn profiles(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles.values()
    }

    /// `sha256:` and a hex digest of all that the bundle says: equal bundles, and only these, have equal
    /// ones, whatever their files are called.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// The files of a folder that are profiles, sorted. Kubernetes mounts a `ConfigMap` with links into the
/// folder behind `..data`, which it replaces whole: that folder is read, so that no mix of two versions is.
fn profile_files(dir: &Path) -> Result<Vec<PathBuf>, BundleError> {
    let failed = |source| BundleError::Folder { dir: dir.to_owned(), source };
    let version = match dir.join("..data").canonicalize() {
        Ok(version) => version,
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
