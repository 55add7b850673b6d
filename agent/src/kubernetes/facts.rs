//! The metadata of one pod, as far as records tell it.

use std::collections::BTreeMap;

use kube::core::ObjectMeta;

/// What the API server says of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The object that made it.
    pub owner: Option<Owner>,
}

/// The controller of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// `Job`, `ReplicaSet`, `EphemeralRunner`.
    pub kind: String,
    /// Its name, in the pod's namespace.
    pub name: String,
}

impl PodFacts {
    /// The uid of a pod, and its facts; `None` without a uid, which the API server gives every object.
    pub(super) fn read(metadata: ObjectMeta) -> Option<(String, Self)> {
        let owners = metadata.owner_references.unwrap_or_default();
        let owner = owners.into_iter().find(|owner| owner.controller == Some(true));
        let facts = Self {
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            owner: owner.map(|owner| Owner { kind: owner.kind, name: owner.name }),
        };
        Some((metadata.uid?, facts))
    }
}
