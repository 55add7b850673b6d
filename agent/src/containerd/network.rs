//! Which network namespace a pod has.

use std::path::{Component, Path, PathBuf};

use super::spec::Namespace;

/// Why the network namespace of a pod is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// More than one entry for the network.
    #[error("the OCI spec lists {0} network namespaces")]
    Several(usize),
    /// A path that names no file from the root.
    #[error("{0:?} is not an absolute path without `..`")]
    Path(PathBuf),
    /// The namespace is not made yet, or is known by no path.
    #[error("nothing names the pod's network namespace yet")]
    Unnamed,
    /// The spec has the host's network, the metadata a namespace.
    #[error("the OCI spec gives the pod the host's network, the CRI metadata {0:?}")]
    Disagree(PathBuf),
}

/// The network of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// The node's own (`hostNetwork`): it has no veth.
    Host,
    /// A namespace of its own, by a file that can be entered.
    Namespace(PathBuf),
}

impl Network {
    /// From the spec's namespaces and the CRI's path. With user namespaces the spec has the runtime make
    /// the namespace and gives no path; the CRI's is used then, or that of the pause process.
    pub(super) fn read(
        namespaces: &[Namespace],
        cri_path: &str,
        pid: Option<u32>,
    ) -> Result<Self, NetworkError> {
        let networks = namespaces.iter().filter(|namespace| namespace.kind == "network");
        let paths: Vec<&str> = networks.map(|namespace| namespace.path.as_str()).collect();
        let path = match paths.as_slice() {
            [] if cri_path.is_empty() => return Ok(Self::Host),
            [] => return Err(NetworkError::Disagree(PathBuf::from(cri_path))),
            [""] if cri_path.is_empty() => {
                let pid = pid.ok_or(NetworkError::Unnamed)?;
                PathBuf::from(format!("/proc/{pid}/ns/net"))
            }
            [""] => PathBuf::from(cri_path),
            [path] => PathBuf::from(path),
            several => return Err(NetworkError::Several(several.len())),
        };
        if is_plain(&path) { Ok(Self::Namespace(path)) } else { Err(NetworkError::Path(path)) }
    }
}

fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && !path.as_os_str().as_encoded_bytes().contains(&0)
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}
