//! What the API server knows of this node's pods beyond what containerd was told: who made them.
//!
//! Nothing waits for it but a pod's first records, and those not long. Which profile a pod gets is decided before,
//! by what containerd was told when the pod was made.
//!
//! Invariant: only the metadata of pods that are bound to this node is asked for.

mod facts;
mod pods;

pub use facts::{Owner, PodFacts};
pub use pods::{Access, AccessError, PodChange, follow};
