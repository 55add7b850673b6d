//! Which pods are selected.

use super::Select;
use crate::containerd::{Container, Sandbox};

/// The name of the barrier among a pod's containers.
const BARRIER: &str = "weir-initc";

impl Select {
    /// Whether a pod is selected: its namespace is listed and it carries all the labels. With no namespace
    /// listed none is.
    #[must_use]
    pub fn matches(&self, sandbox: &Sandbox) -> bool {
        let carries = |(key, value): (&String, &String)| sandbox.labels.get(key) == Some(value);
        self.namespaces.contains(&sandbox.pod.namespace) && self.pod_labels.iter().all(carries)
    }

    /// Whether a container is the barrier, by whose name a pod asks to be enforced, selected or not. A pod that calls
    /// its barrier otherwise waits for it in vain.
    #[must_use]
    pub fn is_barrier(container: &Container) -> bool {
        container.name == BARRIER
    }
}
