//! Which pods are selected.

use super::Select;
use crate::containerd::Sandbox;

impl Select {
    /// Whether a pod is selected: its namespace is listed and it carries all the labels. With no namespace
    /// listed none is.
    #[must_use]
    pub fn matches(&self, sandbox: &Sandbox) -> bool {
        let carries = |(key, value): (&String, &String)| sandbox.labels.get(key) == Some(value);
        self.namespaces.contains(&sandbox.pod.namespace) && self.pod_labels.iter().all(carries)
    }
}
