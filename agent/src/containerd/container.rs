//! A container of a sandbox, so that records can name it by its cgroup.

use containerd_client::services::v1::Container as Record;

use super::cgroup::{CgroupPath, CgroupPathError};
use super::id::{ContainerId, IdError, SandboxId};
use super::spec::Spec;

/// Annotations that containerd's CRI plug-in gives a container's spec.
const SANDBOX_ID: &str = "io.kubernetes.cri.sandbox-id";
const NAME: &str = "io.kubernetes.cri.container-name";

/// Why a container could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Its id or its sandbox's is none.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Nothing is stored where the spec belongs.
    #[error("containerd has no OCI spec of it")]
    NoSpec,
    /// The spec is not the JSON of a Linux container's.
    #[error("reading its OCI spec")]
    Spec(#[source] serde_json::Error),
    /// An annotation is missing.
    #[error("its OCI spec has no annotation `{0}`")]
    NoAnnotation(&'static str),
    /// The cgroup.
    #[error("finding its cgroup")]
    Cgroup(#[from] CgroupPathError),
}

/// A container of a pod, not its pause container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// The sandbox that it runs in.
    pub sandbox: SandboxId,
    /// Its name in the pod.
    pub name: String,
    /// Its first process, as containerd's pid namespace numbers it; 0 before there is one, and when containerd does
    /// not know.
    pub pid: u32,
    /// Its own cgroup.
    pub cgroup: CgroupPath,
}

impl Container {
    /// Reads what containerd stores of a container whose first process has this id.
    ///
    /// # Errors
    ///
    /// [`ContainerError`].
    pub fn read(record: &Record, pid: u32) -> Result<Self, ContainerError> {
        let id = ContainerId::new(&record.id)?;
        let spec = spec(record)?;
        let sandbox = SandboxId::new(annotation(&spec, SANDBOX_ID)?)?;
        let name = annotation(&spec, NAME)?.clone();
        let cgroup = CgroupPath::of_container(&spec.linux.cgroups_path, id.as_str())?;
        Ok(Self { id, sandbox, name, pid, cgroup })
    }

    /// The sandbox of a container that may be unreadable otherwise.
    ///
    /// # Errors
    ///
    /// [`ContainerError`].
    pub(super) fn sandbox_of(record: &Record) -> Result<SandboxId, ContainerError> {
        Ok(SandboxId::new(annotation(&spec(record)?, SANDBOX_ID)?)?)
    }
}

fn spec(record: &Record) -> Result<Spec, ContainerError> {
    let spec = record.spec.as_ref().ok_or(ContainerError::NoSpec)?;
    serde_json::from_slice(&spec.value).map_err(ContainerError::Spec)
}

fn annotation<'a>(spec: &'a Spec, name: &'static str) -> Result<&'a String, ContainerError> {
    spec.annotations.get(name).ok_or(ContainerError::NoAnnotation(name))
}
