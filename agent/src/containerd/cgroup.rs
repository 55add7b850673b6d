//! Where the cgroups of pods and containers are, from the `cgroupsPath` of an OCI spec.
//!
//! containerd writes `<parent>/<id>` for the cgroupfs driver, and `<slice>:cri-containerd:<id>` with only the
//! last slice's name for systemd, whose name lists its ancestors dash by dash (systemd.slice(5)).

use std::fmt;
use std::path::{Path, PathBuf};

/// Why the cgroup of a pod is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CgroupPathError {
    /// Neither of the two forms.
    #[error(
        "the cgroup path {0:?} has neither the form `<parent>/<id>` nor `<slice>:<prefix>:<id>`"
    )]
    Form(String),
    /// A part that is empty, `.`, `..`, or holds what no cgroup's name does.
    #[error("the cgroup path {0:?} has a part that is no cgroup's name")]
    Part(String),
    /// A name that systemd would not take for a slice.
    #[error("{0:?} is not the name of a systemd slice below the root")]
    Slice(String),
    /// The path ends in something else than the id of whose it is.
    #[error("the cgroup path {path:?} is not that of {id}")]
    Owner {
        /// The path.
        path: String,
        /// The id.
        id: String,
    },
    /// The kubelet named no parent: the pod has no cgroup of its own.
    #[error(
        "the pod has no cgroup of its own: the kubelet gave no cgroup parent (cgroupsPerQOS is off?)"
    )]
    NoParent,
    /// The spec's path does not lie in the parent that the kubelet named.
    #[error("the OCI spec puts the pod into {spec}, the CRI metadata into {metadata:?}")]
    Disagree {
        /// From the spec.
        spec: CgroupPath,
        /// From the metadata.
        metadata: String,
    },
    /// The cgroup is not named after the pod, so that others may be in it.
    #[error("the cgroup {path} is not named after the pod {uid}; others may be in it")]
    NotThePods {
        /// The cgroup.
        path: CgroupPath,
        /// The pod's uid.
        uid: String,
    },
}

/// A cgroup below the root of version 2, never the root itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CgroupPath(PathBuf);

impl CgroupPath {
    /// The path relative to the mount of cgroup2; it has no leading slash, no `.` and no `..`.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The folder below a mount of cgroup2.
    #[must_use]
    pub fn below(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }

    /// The cgroup of one container, from its spec.
    ///
    /// # Errors
    ///
    /// [`CgroupPathError`] if the path has no known form or is not that of the container.
    pub(super) fn of_container(cgroups_path: &str, id: &str) -> Result<Self, CgroupPathError> {
        match split(cgroups_path, id)? {
            (parent, Leaf::Folder) => Ok(Self(parent.0.join(id))),
            (parent, Leaf::Scope(prefix)) => {
                Ok(Self(parent.0.join(format!("{prefix}-{id}.scope"))))
            }
        }
    }

    /// The cgroup of a pod, from its sandbox's spec, if the kubelet's `cgroup_parent` says the same and the
    /// cgroup is named after the pod.
    ///
    /// # Errors
    ///
    /// [`CgroupPathError`].
    pub(super) fn of_pod(
        cgroups_path: &str,
        id: &str,
        cgroup_parent: &str,
        uid: &str,
    ) -> Result<Self, CgroupPathError> {
        if cgroup_parent.is_empty() {
            return Err(CgroupPathError::NoParent);
        }
        let (path, leaf) = split(cgroups_path, id)?;
        let metadata = match leaf {
            Leaf::Folder => relative(cgroup_parent)?,
            // containerd hands on the last part only, and the kubelet the whole path or that part.
            Leaf::Scope(_) => slice(cgroup_parent.rsplit('/').next().unwrap_or_default())?,
        };
        let whole = matches!(leaf, Leaf::Folder) || !cgroup_parent.contains('/');
        if metadata != path || !(whole || relative(cgroup_parent)? == path) {
            let metadata = cgroup_parent.to_owned();
            return Err(CgroupPathError::Disagree { spec: path, metadata });
        }
        if !path.is_named_after(uid) {
            return Err(CgroupPathError::NotThePods { path, uid: uid.to_owned() });
        }
        Ok(path)
    }

    /// The kubelet ends the cgroup's name in `pod<uid>`; in a slice's name dashes become underscores
    /// (kubelet, `cm.NewCgroupName`, `escapeSystemdCgroupName`).
    fn is_named_after(&self, uid: &str) -> bool {
        let Some(name) = self.0.file_name().and_then(|name| name.to_str()) else { return false };
        let wanted = match name.strip_suffix(".slice") {
            Some(slice) => (slice.rsplit('-').next(), uid.replace('-', "_")),
            None => (Some(name), uid.to_owned()),
        };
        wanted.0.and_then(|last| last.strip_prefix("pod")) == Some(wanted.1.as_str())
            && !uid.is_empty()
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.display().to_string().escape_debug())
    }
}

/// How the last part of a path is made from an id.
enum Leaf<'a> {
    Folder,
    Scope(&'a str),
}

/// The parent of a `cgroupsPath` whose last part belongs to `id`.
fn split<'a>(path: &'a str, id: &str) -> Result<(CgroupPath, Leaf<'a>), CgroupPathError> {
    let owner = || CgroupPathError::Owner { path: path.to_owned(), id: id.to_owned() };
    if path.starts_with('/') {
        let (parent, last) = path.rsplit_once('/').unwrap_or_default();
        if last != id {
            return Err(owner());
        }
        return Ok((relative(parent)?, Leaf::Folder));
    }
    let parts: Vec<&str> = path.split(':').collect();
    let [parent, prefix, last] = parts.as_slice() else {
        return Err(CgroupPathError::Form(path.to_owned()));
    };
    if *last != id {
        return Err(owner());
    }
    if !is_name(prefix) {
        return Err(CgroupPathError::Part(path.to_owned()));
    }
    Ok((slice(parent)?, Leaf::Scope(prefix)))
}

/// A path from the root of the hierarchy, without its slash.
fn relative(path: &str) -> Result<CgroupPath, CgroupPathError> {
    let inner = path.strip_prefix('/').ok_or_else(|| CgroupPathError::Form(path.to_owned()))?;
    if inner.split('/').all(is_name) {
        Ok(CgroupPath(PathBuf::from(inner)))
    } else {
        Err(CgroupPathError::Part(path.to_owned()))
    }
}

/// `a-b.slice` is `a.slice/a-b.slice`.
fn slice(name: &str) -> Result<CgroupPath, CgroupPathError> {
    let wrong = || CgroupPathError::Slice(name.to_owned());
    let stem = name.strip_suffix(".slice").filter(|_| is_name(name)).ok_or_else(wrong)?;
    // `-.slice` is the root, and an empty part names nothing.
    if stem.split('-').any(str::is_empty) {
        return Err(wrong());
    }
    let ends = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
    Ok(CgroupPath(
        ends.map(|end| format!("{}.slice", stem.get(..end).unwrap_or_default())).collect(),
    ))
}

/// Whether text can be one cgroup's name.
fn is_name(part: &str) -> bool {
    const LONGEST: usize = 255;
    !part.is_empty()
        && part.len() <= LONGEST
        && part != "."
        && part != ".."
        && !part.contains(|character: char| character == '/' || character.is_control())
}

#[cfg(test)]
mod tests;
