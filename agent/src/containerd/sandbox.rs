//! A pod's sandbox, from what containerd stores of it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use containerd_client::services::v1::Container as Record;

use super::cgroup::{CgroupPath, CgroupPathError};
use super::id::{IdError, SandboxId};
use super::metadata::{self, Versioned};
use super::network::{Network, NetworkError};
use super::spec::Spec;

/// The extension that holds a sandbox's metadata.
const METADATA: &str = "io.cri-containerd.sandbox.metadata";

/// Why a sandbox could not be read. It may run all the same.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Not an id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Nothing is stored where the spec belongs.
    #[error("containerd has no OCI spec of it")]
    NoSpec,
    /// The spec is not the JSON of a Linux container's.
    #[error("reading its OCI spec")]
    Spec(#[source] serde_json::Error),
    /// The extension is not there.
    #[error("containerd has no CRI metadata of it")]
    NoMetadata,
    /// The metadata is not the JSON that it should be.
    #[error("reading its CRI metadata")]
    Metadata(#[source] serde_json::Error),
    /// A version of the metadata that weir does not know.
    #[error("its CRI metadata has version {0:?}, weir knows `{known}`", known = metadata::VERSION)]
    Version(String),
    /// The metadata is another sandbox's.
    #[error("its CRI metadata is that of {0:?}")]
    Owner(String),
    /// The pod's name, namespace or uid is empty.
    #[error("its CRI metadata does not name the pod")]
    Nameless,
    /// The cgroup.
    #[error("finding its pod's cgroup")]
    Cgroup(#[from] CgroupPathError),
    /// The network namespace.
    #[error("finding its network namespace")]
    Network(#[from] NetworkError),
    /// containerd does not know whether it runs: its shim does not answer.
    #[error("containerd does not know its state; its shim may hang")]
    UnknownState,
}

/// Which pod, as Kubernetes names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodName {
    /// The Kubernetes namespace.
    pub namespace: String,
    /// The pod's name, unique in its namespace at one time.
    pub name: String,
    /// The pod's uid, unique for ever. That of a static pod is a hash.
    pub uid: String,
}

/// A pod's sandbox of which something runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Its id.
    pub id: SandboxId,
    /// The pod that it belongs to.
    pub pod: PodName,
    /// The pod's labels, and those by which the kubelet names the pod (`io.kubernetes.pod.*`).
    pub labels: BTreeMap<String, String>,
    /// The pod's annotations, and those that the kubelet adds.
    pub annotations: BTreeMap<String, String>,
    /// How many sandboxes the pod had before.
    pub attempt: u32,
    /// The cgroup of the pod: all its containers, pause included, are below it.
    pub cgroup: CgroupPath,
    /// Its network.
    pub network: Network,
    /// The search list of its resolv.conf, as the kubelet gave it.
    pub searches: Vec<String>,
    /// The pause process, as containerd's pid namespace numbers it; once that has ended, the first process of
    /// a container that runs on in the sandbox's namespaces.
    pub pid: u32,
    /// When containerd made it.
    pub created: SystemTime,
}

impl Sandbox {
    /// Reads what containerd stores of a sandbox in whose namespaces a process with this id runs.
    ///
    /// # Errors
    ///
    /// [`SandboxError`].
    pub fn read(record: &Record, pid: u32) -> Result<Self, SandboxError> {
        let id = SandboxId::new(&record.id)?;
        if pid == 0 {
            return Err(SandboxError::UnknownState);
        }
        let spec = record.spec.as_ref().ok_or(SandboxError::NoSpec)?;
        let spec: Spec = serde_json::from_slice(&spec.value).map_err(SandboxError::Spec)?;
        let stored = record.extensions.get(METADATA).ok_or(SandboxError::NoMetadata)?;
        let stored: Versioned =
            serde_json::from_slice(&stored.value).map_err(SandboxError::Metadata)?;
        if stored.version != metadata::VERSION {
            return Err(SandboxError::Version(stored.version));
        }
        let stored = stored.metadata;
        if stored.id != id.as_str() {
            return Err(SandboxError::Owner(stored.id));
        }
        let metadata::PodMetadata { name, uid, namespace, attempt } = stored.config.metadata;
        if name.is_empty() || uid.is_empty() || namespace.is_empty() {
            return Err(SandboxError::Nameless);
        }
        let parent = stored.config.linux.map(|linux| linux.cgroup_parent).unwrap_or_default();
        let cgroup = CgroupPath::of_pod(&spec.linux.cgroups_path, id.as_str(), &parent, &uid)?;
        let network = Network::read(&spec.linux.namespaces, &stored.network_namespace, pid)?;
        Ok(Self {
            id,
            pod: PodName { namespace, name, uid },
            labels: stored.config.labels.unwrap_or_default(),
            annotations: stored.config.annotations.unwrap_or_default(),
            attempt,
            cgroup,
            network,
            searches: stored.config.dns.unwrap_or_default().searches.unwrap_or_default(),
            pid,
            created: created(record),
        })
    }
}

/// When containerd stored the record; the epoch when it does not say.
fn created(record: &Record) -> SystemTime {
    let Some(stamp) = &record.created_at else { return UNIX_EPOCH };
    let seconds = u64::try_from(stamp.seconds).unwrap_or_default();
    let nanoseconds = u32::try_from(stamp.nanos).unwrap_or_default().min(999_999_999);
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds)).unwrap_or(UNIX_EPOCH)
}

/// A sandbox of a pod in a namespace, for tests of those who select by it.
#[cfg(test)]
pub(crate) fn sandbox_in(namespace: &str) -> Sandbox {
    let id = SandboxId::new("5b1a").expect("an id");
    let cgroup = CgroupPath::of_pod("/pod1/5b1a", "5b1a", "/pod1", "1").expect("a pod's cgroup");
    Sandbox {
        id,
        pod: PodName {
            namespace: namespace.to_owned(),
            name: "job".to_owned(),
            uid: "1".to_owned(),
        },
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        attempt: 0,
        cgroup,
        network: Network::Host,
        searches: Vec::new(),
        pid: 1,
        created: UNIX_EPOCH,
    }
}
